//! The first start of a formed cluster. Apart from the forming, so that a change here does not make
//! the cached disks anew.

use crate::agent;
use crate::client::Lab;
use crate::cluster::Node;
use crate::{progress, wait};
use anyhow::{Result, bail};
use std::time::Duration;

const STEP: Duration = Duration::from_secs(120);

/// From the loading of the resources to a voter: DRBD, the mount and the move of the databases. A
/// time-out, not a goal: other labs may start beside this one.
const VOTER: Duration = Duration::from_secs(420);

/// The last step of the administrator, on the running cluster: resources and constraints. Pacemaker
/// then promotes DRBD, mounts the volume and starts the voter, for the first time.
///
/// That has to happen where the data is, on the node that bootstrapped the k8s cluster. As in the
/// guide, the file system is moved there, and the constraint of the move is taken away at the end.
///
/// # Errors
/// When Pacemaker does not take them.
pub fn first_start(lab: &Lab) -> Result<()> {
    progress::step("waiting for the cluster manager", || {
        wait::quietly("a designated controller", STEP, || {
            let output = lab.try_run(Node::One, &["crmadmin", "-D", "-q", "-t", "5s"], STEP)?;
            let both_there = lab.try_run(Node::One, &["crm_node", "-p"], STEP)?;
            let members = both_there.out.split_whitespace().count();
            Ok(if output.code == 0 && members == 2 {
                wait::Seen::Ready(())
            } else {
                wait::Seen::NotYet(format!("{members} members; {}{}", output.out, output.err))
            })
        })
    })?;
    progress::step("loading the resources into Pacemaker", || {
        // In maintenance until the move stands: DRBD would be promoted on either node before it does.
        let script = "crm_attribute -n maintenance-mode -v true
            two-node-ha render pacemaker >/run/pacemaker.xml
            cibadmin -M -c -o configuration -p </run/pacemaker.xml 2>&1
            crm_resource --move -r fs_res -N haone 2>&1
            crm_attribute -n maintenance-mode -D";
        let output = lab.try_run(Node::One, &["sh", "-euc", script], STEP)?;
        if output.code != 0 {
            bail!(
                "Pacemaker refuses the rendered resources: exit {}\n{}{}",
                output.code,
                output.out,
                output.err
            );
        }
        Ok(())
    })?;
    agent::wait_for(lab, Node::One, "the voter", VOTER, agent::Status::is_voter)?;
    lab.run(
        Node::One,
        &["crm_resource", "--clear", "-r", "fs_res"],
        STEP,
    )
    .map(drop)
}
