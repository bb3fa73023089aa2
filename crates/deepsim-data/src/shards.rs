//! Tar shards in the naming of WebDataset.
