//! The systemd generator: from one TOML file to the units of this boot.

fn main() {}
