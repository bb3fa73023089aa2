//! x
// NOTE for whoever writes this crate: error.rs, euclidean.rs, sharpness.rs, lib.rs and Cargo.toml were
// overwritten by accident at 12:49 and put back to their state of 12:43; check them. Remove this note.
