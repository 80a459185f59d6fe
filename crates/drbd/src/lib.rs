//! Typed DRBD state for 8.4 and 9, in one model.
