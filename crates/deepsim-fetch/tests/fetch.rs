//! Downloads against a server on 127.0.0.1 that misbehaves, and disks that do.

#[path = "fetch/bench.rs"]
mod bench;
#[path = "fetch/disk.rs"]
mod disk;
#[path = "../../deepsim-data/tests/support/hear.rs"]
mod hear;
#[path = "fetch/network.rs"]
mod network;
#[path = "fetch/registry.rs"]
mod registry;
#[path = "fetch/resume.rs"]
mod resume;
#[path = "support/server.rs"]
mod server;
#[path = "fetch/unpack.rs"]
mod unpack;
