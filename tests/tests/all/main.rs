//! Everything that is tested across crates, in one program.

mod hostile;
mod programs;
mod resume;
