//! Prepared samples on disk.
