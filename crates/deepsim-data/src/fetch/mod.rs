//! Downloads that are verified or an error.
