//! fence-peer and unfence-peer: the real program and the real cibadmin, on a CIB in a file. What
//! needs a running cluster (the peer's controller, the fencer) is a stand-in, and so is cibadmin
//! where the point is how it fails.

mod constraints;
mod deadlines;
mod evidence;
mod node;
