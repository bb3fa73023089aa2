//! Everything that is tested across crates, in one program.

mod architecture;
mod hostile;
mod programs;
mod resume;
