//! What `plan` decides: the four ways through a node's life, the refusals, and, over every
//! combination of what can be observed, that no decision breaks an invariant.

mod ahead;
mod arrivals;
mod conditions;
mod configuration;
mod evidence;
mod exhaustive;
mod health;
mod life;
mod observations;
mod refusals;
mod rest;
mod silent;
