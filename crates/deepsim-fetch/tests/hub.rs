//! Files of a hub that the test is itself.
#![cfg(feature = "hub")]

#[path = "hub/download.rs"]
mod download;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../../deepsim-data/tests/support/hear.rs"]
mod hear;
#[path = "hub/server.rs"]
mod server;
