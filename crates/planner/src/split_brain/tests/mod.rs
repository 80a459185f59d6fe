//! Every way a resolution can go, and what must hold on each.

mod admission;
mod advice;
pub mod cases;
mod conditions;
mod model;
mod refusals;
