//! Bringing an instance up.

use crate::client::Lab;
use crate::cluster::{NODES, Node};
use crate::image::{self, Parts};
use crate::places::Places;
use crate::supervisor::protocol::Spec;
use crate::supervisor::try_lock;
use crate::wait::{self, Seen};
use crate::{artefacts, form, host, progress};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A boot takes 15 s on an idle machine of two cores; this is for one that builds something else.
pub const BOOT_LIMIT: Duration = Duration::from_secs(240);

/// What an instance is to be made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Memory of each node, in MiB.
    pub memory: u32,
    /// The project's package; none for bare nodes.
    pub package: Option<PathBuf>,
    /// Room for the databases.
    pub room: form::Room,
}

/// Makes or finds the images.
///
/// # Errors
/// When one cannot be made.
pub fn images(places: &Places, plan: &Plan) -> Result<(image::Kernel, PathBuf)> {
    // Side by side: the one is waiting for a mirror, the other compiles.
    let (kernel, base, standins) = std::thread::scope(|scope| {
        let standins = scope.spawn(|| {
            let there = places.guest().join("standins/build.sh").is_file();
            there.then(|| image::standins(places)).transpose()
        });
        let made = image::kernel(places).and_then(|kernel| Ok((kernel, image::base(places)?)));
        let standins = standins
            .join()
            .unwrap_or_else(|_| bail!("the making of the stand-ins panicked"));
        let (kernel, base) = made?;
        anyhow::Ok((kernel, base, standins?))
    })?;
    let parts = Parts {
        base,
        standins,
        package: plan.package.clone(),
        kernel: kernel.clone(),
    };
    let system = image::system(places, &parts)?;
    Ok((kernel, system))
}

/// The kernel and both disks, made where they are not cached.
///
/// # Errors
/// When one cannot be made.
pub fn prepare(places: &Places, plan: &Plan) -> Result<(image::Kernel, [PathBuf; 2])> {
    let (kernel, system) = images(places, plan)?;
    let disks = match plan.package {
        Some(_) => form::disks(places, plan, &kernel, &system)?,
        None => [system.clone(), system],
    };
    Ok((kernel, disks))
}

/// The whole of it: images, disks, supervisor, both nodes booted.
///
/// # Errors
/// When any of it fails; nothing is left running then.
pub fn bring(places: &Places, plan: &Plan) -> Result<Lab> {
    let (kernel, disks) = prepare(places, plan)?;
    let lab = lay_out(places, plan, &kernel, [&disks[0], &disks[1]])?;
    boot(&lab, &NODES).inspect_err(|_| artefacts::collect(&lab, &places.name))?;
    Ok(lab)
}

/// Starts the supervisor and lays out the nodes with these disks; boots nothing yet.
///
/// # Errors
/// When the instance is up already or cannot be set up.
pub fn lay_out(
    places: &Places,
    plan: &Plan,
    kernel: &image::Kernel,
    disks: [&Path; 2],
) -> Result<Lab> {
    if Lab::is_up(places) {
        bail!(
            "the lab {:?} is up already; `two-node-ha-lab down` ends it",
            places.name
        );
    }
    fs::create_dir_all(&places.instance)
        .with_context(|| format!("make {}", places.instance.display()))?;
    if try_lock(&places.instance)?.is_none() {
        bail!(
            "the lab {:?} is just being started or ended by another process",
            places.name
        );
    }
    // Everything else of a crashed run died with its supervisor; the directory is what may be left.
    fs::remove_dir_all(&places.instance)
        .with_context(|| format!("remove {}", places.instance.display()))?;
    for (node, disk) in NODES.into_iter().zip(disks) {
        let bin = places.host_dir(node.name()).join("bin");
        fs::create_dir_all(&bin).with_context(|| format!("make {}", bin.display()))?;
        install_hands(&bin.join("lab"))?;
        copy_disk(disk, &places.node(node.name()).join("disk.img"))?;
    }
    let spec = Spec {
        kernel: kernel.program(),
        preload: kernel.preload(),
        memory: plan.memory,
        instance: places.name.clone(),
        dir: places.instance.clone(),
        socket: places.socket.clone(),
    };
    Lab::start(places, &spec)
}

/// Copies an image, sparse, sharing blocks where the file system can.
///
/// # Errors
/// When the copy fails.
pub fn copy_disk(from: &Path, to: &Path) -> Result<()> {
    host::run(
        "cp",
        &[
            "--sparse=always".as_ref(),
            "--reflink=auto".as_ref(),
            from.as_os_str(),
            to.as_os_str(),
        ],
    )
    .with_context(|| format!("copy {}", from.display()))
    .map(drop)
}

/// This program, where the nodes find it: it is their hands and their fence agent, too.
fn install_hands(to: &Path) -> Result<()> {
    // As `host::SELF`, but for another program to open.
    let own = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    // Smaller is faster: the nodes read it page by page through hostfs.
    if host::find("strip").is_none()
        || host::run("strip", &["-o".as_ref(), to.as_os_str(), own.as_os_str()]).is_err()
    {
        fs::copy(&own, to).with_context(|| format!("copy {}", own.display()))?;
    }
    Ok(())
}

/// Boots these nodes and waits until they have started everything.
///
/// # Errors
/// When one does not come up.
pub fn boot(lab: &Lab, nodes: &[Node]) -> Result<()> {
    boot_with(lab, nodes, &[])
}

/// As [`boot`], with more words on the kernels' command lines.
///
/// # Errors
/// As [`boot`].
pub fn boot_with(lab: &Lab, nodes: &[Node], words: &[&str]) -> Result<()> {
    let names: Vec<&str> = nodes.iter().map(|n| n.name()).collect();
    progress::step(&format!("booting {}", names.join(" and ")), || {
        for node in nodes {
            lab.boot(*node, words)?;
        }
        for node in nodes {
            hands(lab, *node)?;
        }
        for node in nodes {
            settled(lab, *node)?;
        }
        Ok(())
    })
}

/// Waits until the node's hands answer.
///
/// # Errors
/// When the node goes down again or takes too long.
pub fn hands(lab: &Lab, node: Node) -> Result<()> {
    wait::quietly(&format!("{node} to start"), BOOT_LIMIT, || {
        let status = lab.status()?;
        let status = status.node(node);
        if let Some(why) = &status.off_because {
            bail!("{node} went down while it started: {why}");
        }
        Ok(match &status.boot_id {
            Some(_) => Seen::Ready(()),
            None => Seen::NotYet("its hands have not reported yet".to_owned()),
        })
    })
}

/// Waits until the node has no start jobs left.
///
/// # Errors
/// When it takes too long; says which jobs are left.
pub fn settled(lab: &Lab, node: Node) -> Result<()> {
    let asked = ["systemctl", "is-system-running", "--wait"];
    wait::quietly(
        &format!("{node} to finish its start"),
        BOOT_LIMIT,
        || match lab.try_run(node, &asked, BOOT_LIMIT) {
            Ok(output) if ["running", "degraded"].contains(&output.out.trim()) => {
                Ok(Seen::Ready(()))
            }
            // It has ended without a word at the very moment when the start was finished: ask again.
            Ok(output) => Ok(Seen::NotYet(format!(
                "exit {}: {}{}",
                output.code, output.out, output.err
            ))),
            Err(error) => Err(error),
        },
    )
    .or_else(|error| {
        let jobs = lab.try_run(
            node,
            &["systemctl", "list-jobs", "--no-pager"],
            Duration::from_secs(20),
        );
        let jobs = jobs.map_or_else(|e| format!("{e:#}"), |o| o.out);
        bail!("{error:#}\njobs under way:\n{jobs}")
    })
}
