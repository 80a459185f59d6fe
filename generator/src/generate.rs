//! From a configuration to a tree of files: pure, so that every case can be tested without a
//! system, and so that nothing is written before all of it is known to be right.

mod gates;
mod invalid;
mod k8s;
mod volume;

pub use invalid::Problem;

use two_node_ha_config::{Config, Fallback};

use crate::salvage::Salvage;
use crate::tree::Tree;
use crate::unit::Refused;

/// What the files say about where they come from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The configuration file, as the running system knows it (never below a test's root).
    pub source: &'a str,
    /// `TWO_NODE_HA_NODE`, which the services have to be told as well.
    pub node: Option<&'a str>,
}

/// All that is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The drop-ins that keep the datastore from starting by itself. Apart, because they are
    /// written first and stay when writing the rest fails: a datastore that does not start is an
    /// outage, one that starts on the wrong data is a loss.
    pub gates: Tree,
    /// Everything else.
    pub units: Tree,
}

/// The tree of a valid configuration.
///
/// # Errors
/// A value that cannot stand in a unit file, or a path too long for the name of a unit.
pub fn valid(config: &Config, origin: Origin<'_>) -> Result<Output, Refused> {
    let mut output = Output::default();
    let services = gates::Services::of(config)?;
    gates::write(&mut output.gates, &services, origin);
    volume::write(&mut output.units, &config.volume, origin)?;
    k8s::write(&mut output.units, config, origin)?;
    Ok(output)
}

/// The tree of the configuration that was accepted last, while the file cannot be used: all of it, as
/// nothing that runs may change, and the error unit.
///
/// # Errors
/// As [`valid`].
pub fn accepted(
    config: &Config,
    fallback: &Fallback,
    origin: Origin<'_>,
) -> Result<Output, Refused> {
    let mut output = valid(config, origin)?;
    invalid::write_beside(&mut output.units, fallback, origin);
    Ok(output)
}

/// The tree of an invalid configuration: it makes the error seen, and keeps the datastore, the
/// agent and a DRBD without Pacemaker from starting. Cannot fail.
#[must_use]
pub fn invalid(problem: &Problem, salvage: &Salvage, origin: Origin<'_>) -> Output {
    let mut output = Output::default();
    gates::write(
        &mut output.gates,
        &gates::Services::salvaged(salvage),
        origin,
    );
    invalid::write(&mut output.units, problem, salvage, origin);
    output
}
