//! Parquet data sets.
#![cfg(feature = "parquet")]

#[path = "parquet/hostile.rs"]
mod hostile;
#[path = "parquet/rows.rs"]
mod rows;
#[path = "parquet/write.rs"]
mod write;
