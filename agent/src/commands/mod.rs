//! One command a file.

pub mod check;
pub mod render;
