//! Parquet data sets: local files, and those of a hub that the test is itself.
#![cfg(feature = "hub")]

#[path = "hub/download.rs"]
mod download;
#[path = "hub/hostile.rs"]
mod hostile;
#[path = "hub/rows.rs"]
mod rows;
#[path = "hub/server.rs"]
mod server;
#[path = "hub/write.rs"]
mod write;
