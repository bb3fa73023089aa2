//! Files of a hub that the test is itself.
#![cfg(feature = "hub")]

#[path = "hub/download.rs"]
mod download;
#[path = "hub/server.rs"]
mod server;
