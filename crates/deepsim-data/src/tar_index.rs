//! Where the members of a tar file are.
