//! The agent and the operator's commands.

fn main() {}
