//! Nothing but a place for `tests/all`: the tests that look at several crates at once.
