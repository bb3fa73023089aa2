//! Tests that need real weights and photographs, which may not be distributed.
//!
//! Each skips itself, and says so, where the data are missing; see `shared` in `support.rs`. The name of this
//! module is the word by which `cargo xtask test shared` finds them, and those of the same name elsewhere.

mod golden;
mod imagenet;
mod photographs;
mod preimages;
