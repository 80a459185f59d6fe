//! Every way a resolution can go, and what must hold on each.

mod advice;
pub mod cases;
mod model;
mod refusals;
