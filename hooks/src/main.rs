//! The DRBD handlers and the udev entry, one binary called by name.

fn main() {}
