//! The lab: two real nodes in User Mode Linux.

fn main() {}
