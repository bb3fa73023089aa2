//! Batches as candle tensors with the format of their values.
