//! Archives read entry by entry against a list of what may be in them.
