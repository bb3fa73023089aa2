//! A server on 127.0.0.1, for the tests of what is downloaded.

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../../crates/deepsim-fetch/tests/support/server.rs"]
pub(crate) mod server;
