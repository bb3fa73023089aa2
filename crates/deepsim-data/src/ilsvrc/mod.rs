//! ILSVRC-2012 as it is distributed.
