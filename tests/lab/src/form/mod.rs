//! Forming the cluster: what the administrator of two fresh nodes does, once, up to the moment
//! before the first start. The result is two disks in the cache, so that each later `up` begins
//! there.

mod start;

pub use start::first_start;

use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::image::{self, Kernel};
use crate::places::Places;
use crate::{both, host, progress, up, wait};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const STEP: Duration = Duration::from_secs(120);

/// DRBD's volume, as the cluster's TOML file has it.
const VOLUME: u32 = 192;

/// How much the nodes can hold, in MiB. Disks are sparse: what is not written costs the host nothing.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// The volume.
    pub volume: u32,
    /// What a node's disk has beyond its image, for the volume's copy and a spare's own directory.
    pub beyond: u32,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            volume: VOLUME,
            beyond: 0,
        }
    }
}

/// Disks of two nodes that are a cluster of k8s and of DRBD, have everything installed and
/// configured, and have never started as a highly available pair.
///
/// # Errors
/// When a step of the forming fails.
pub fn disks(
    places: &Places,
    plan: &up::Plan,
    kernel: &Kernel,
    system: &Path,
) -> Result<[PathBuf; 2]> {
    let toml = fs::read_to_string(places.repo.join("tests/lab/two-node-ha.toml"))
        .context("read the cluster's TOML file")?;
    let toml = with_volume(&toml, plan.room.volume)?;
    let mut recipe = image::Recipe::new("formed", 1);
    recipe.add(system.as_os_str().as_encoded_bytes());
    recipe.add(toml.as_bytes());
    recipe.add(&plan.room.beyond.to_le_bytes());
    recipe.add(include_bytes!("mod.rs"));
    let dir = image::cache_entry(
        &places.cache,
        "formed",
        "forming the cluster",
        recipe,
        |dir| {
            let forming = Places::new("forming")?;
            let lab = up::lay_out(&forming, plan, kernel, [system, system])?;
            for node in NODES {
                grow(
                    &forming.node(node.name()).join("disk.img"),
                    plan.room.beyond,
                )?;
            }
            form(&lab, &toml, plan.room)
                .inspect_err(|_| crate::artefacts::collect(&lab, "forming"))?;
            for node in NODES {
                fs::rename(
                    forming.node(node.name()).join("disk.img"),
                    dir.join(node.name()),
                )
                .with_context(|| format!("keep the disk of {node}"))?;
            }
            Ok(())
        },
    )?;
    Ok(NODES.map(|n| dir.join(n.name())))
}

/// The cluster's TOML file with a volume of this size.
fn with_volume(toml: &str, mib: u32) -> Result<String> {
    let usual = format!("size = \"{VOLUME}MiB\"");
    ensure!(toml.contains(&usual), "the TOML file has no {usual}");
    Ok(toml.replace(&usual, &format!("size = \"{mib}MiB\"")))
}

/// Makes a disk that nothing has mounted yet larger by so many MiB, its file system with it.
fn grow(disk: &Path, by: u32) -> Result<()> {
    if by == 0 {
        return Ok(());
    }
    let size = format!("--size=+{by}M");
    host::run("truncate", &[size.as_ref(), disk.as_os_str()])?;
    // The image is fresh from mke2fs: there is nothing for a check to find.
    host::run("resize2fs", &["-f".as_ref(), disk.as_os_str()])
        .with_context(|| format!("make {} larger", disk.display()))
        .map(drop)
}

fn form(lab: &Lab, toml: &str, room: Room) -> Result<()> {
    // Without a configuration of their own they would only cost time.
    up::boot_with(
        lab,
        &NODES,
        &[
            "systemd.mask=corosync.service",
            "systemd.mask=pacemaker.service",
        ],
    )?;
    kubernetes(lab)?;
    progress::step("configuring both nodes from one TOML file", || {
        both(|node| configure(lab, node, toml, room))?;
        share_keys(lab)
    })?;
    progress::step("first synchronisation of the volume", || volume(lab))?;
    progress::step("turning both nodes off", || {
        both(|node| {
            lab.sh(node, "systemctl poweroff --no-block", STEP)?;
            lab.wait_off(node, STEP)
        })
        .map(drop)
    })
}

/// The guide's prerequisite: both nodes are part of the Kubernetes cluster.
fn kubernetes(lab: &Lab) -> Result<()> {
    progress::step("forming the k8s cluster", || {
        let [one, two] = NODES;
        lab.run(
            one,
            &["lab-cluster", "bootstrap", one.name(), &one.address()],
            STEP,
        )?;
        let token = lab.run(one, &["lab-cluster", "join-token", two.name()], STEP)?;
        lab.run(
            two,
            &["lab-cluster", "join", token.trim(), &two.address()],
            STEP,
        )?;
        lab.run(one, &["lab-cluster", "wait", "--members", "2"], STEP)?;
        // The spare first, so that the voter has nobody to hand over to.
        lab.run(two, &["snap", "stop", "k8s"], STEP)?;
        lab.run(one, &["snap", "stop", "k8s"], STEP).map(drop)
    })
}

/// Everything that reads the TOML file on one node.
fn configure(lab: &Lab, node: Node, toml: &str, room: Room) -> Result<()> {
    let volume = room.volume;
    lab.write(node, "/etc/two-node-ha.toml", toml.as_bytes())?;
    lab.sh(
        node,
        &format!(
            "two-node-ha check
        mkdir -p /mnt/drbd0 /etc/multipath/conf.d
        fallocate -l {volume}MiB /opt/drbd0-backstore
        two-node-ha render drbd >/etc/drbd.d/r0.res
        two-node-ha render corosync >/etc/corosync/corosync.conf
        two-node-ha render multipath >/etc/multipath/conf.d/two-node-ha.conf
        systemctl daemon-reload
        systemctl start resource-agents-deps.target
        # A target starts though what it wants has failed.
        systemctl --failed --no-legend --plain | grep -F two-node-ha && exit 1
        test -b /dev/lodrbd
        drbdadm create-md --force r0 2>&1"
        ),
        STEP,
    )
    .map(drop)
}

/// Corosync's key, and the channel between the agents.
fn share_keys(lab: &Lab) -> Result<()> {
    let [one, two] = NODES;
    lab.sh(one, "corosync-keygen -l >/dev/null", STEP)?;
    let key = lab.sh(one, "base64 -w0 /etc/corosync/authkey", STEP)?;
    lab.sh(
        two,
        &format!(
            "umask 077; echo {} | base64 -d >/etc/corosync/authkey",
            key.trim()
        ),
        STEP,
    )?;
    for node in NODES {
        let bundle = lab.run(node, &["two-node-ha", "peer", "setup", "--export"], STEP)?;
        lab.write(node.peer(), "/run/peer-bundle", bundle.as_bytes())?;
        lab.run(
            node.peer(),
            &[
                "two-node-ha",
                "peer",
                "setup",
                "--import",
                "/run/peer-bundle",
            ],
            STEP,
        )?;
    }
    Ok(())
}

/// Once: both copies equal, a file system on them, everything down again.
fn volume(lab: &Lab) -> Result<()> {
    both(|node| lab.sh(node, "drbdadm up r0", STEP).map(drop))?;
    let shows = |wanted: &str| {
        wait::quietly(&format!("DRBD to be {wanted}"), STEP, || {
            let state = lab.read(Node::One, "/proc/drbd")?.unwrap_or_default();
            Ok(if state.contains(wanted) {
                wait::Seen::Ready(())
            } else {
                wait::Seen::NotYet(state)
            })
        })
    };
    shows("cs:Connected")?;
    // Both backing files are nothing but zeros: they are equal, and a first synchronisation would write
    // every one of them to the host's disk.
    lab.sh(
        Node::One,
        "drbdadm -- --clear-bitmap new-current-uuid r0/0
        drbdadm primary r0
        mkfs.ext4 -q -E nodiscard /dev/drbd0",
        STEP,
    )?;
    shows("ds:UpToDate/UpToDate")?;
    lab.sh(Node::One, "drbdadm secondary r0", STEP)?;
    // One after the other: two that disconnect at once refuse each other.
    for node in NODES {
        lab.sh(node, "drbdadm down r0", STEP)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_volume_is_the_one_that_the_labs_own_configuration_has() {
        let own = include_str!("../../two-node-ha.toml");
        assert_eq!(with_volume(own, VOLUME).unwrap(), own);
        let larger = with_volume(own, 1024).unwrap();
        assert!(larger.contains("size = \"1024MiB\""), "{larger}");
        assert!(with_volume("[volume]\nsize = \"1GiB\"", 1024).is_err());
    }
}
