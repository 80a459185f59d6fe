//! Paths that must not lie in each other.

use std::path::Path;

use crate::names::within;
use crate::places::{COPIES, PEER_HOME, STATE};
use crate::reader::{Fault, Reader};
use crate::schema::{Backing, Config};

/// The agent's own directories.
const OURS: [&str; 2] = [STATE, PEER_HOME];

fn text(path: &Path) -> &str {
    // They were strings before.
    path.to_str().unwrap_or_default()
}

pub(crate) fn check(r: &mut Reader<'_>, c: &Config) {
    let mount = ("volume.mount_point", text(&c.volume.mount_point));
    let dqlite = ("k8s.k8s_dqlite_dir", text(&c.k8s.k8s_dqlite_dir));
    let k8sd = ("k8s.k8sd_dir", text(&c.k8s.k8sd_dir));
    let mut all = vec![dqlite, k8sd, mount];
    if let Backing::File { path, symlink, .. } = &c.volume.backing {
        all.push(("volume.backing_file", text(path)));
        if symlink == &c.volume.device {
            r.error_at(
                "volume.loop_symlink",
                0,
                "`loop_symlink` is the DRBD device itself",
            );
        }
    }
    for (i, (path, value)) in all.iter().enumerate() {
        for (other, dir) in &all[..i] {
            if (within(value, dir) || within(dir, value)) && r.usable(&[path, other]) {
                let at = if r.given(path, 0) { path } else { other };
                let fault = Fault::from(format!(
                    "`{path}` ({value}) and `{other}` ({dir}) lie in each other"
                ));
                r.error_at(at, 0, fault);
            }
        }
        for ours in OURS {
            if (within(value, ours) || within(ours, value)) && r.usable(&[path]) {
                let fault = Fault::from(format!(
                    "`{path}` ({value}) and the agent's own {ours} lie in each other"
                ));
                r.error_at(path, 0, fault);
            }
        }
    }
    // The programs and the tarballs must be there while nothing is mounted.
    for (path, value) in [
        ("k8s.recovery_dir", &c.k8s.recovery_dir),
        ("k8s.k8sd_path", &c.k8s.k8sd_path),
        ("k8s.kubectl_path", &c.k8s.kubectl_path),
        ("k8s.kubeconfig", &c.k8s.kubeconfig),
    ] {
        lies_on_volume(r, mount.1, path, value);
    }
    if let Some(value) = &c.drbd.shared_secret_file {
        lies_on_volume(r, mount.1, "drbd.shared_secret_file", value);
    }
    if let Some(value) = &c.hooks.alert_command {
        lies_on_volume(r, mount.1, "hooks.alert_command", value);
    }
    copies(r, c, &[dqlite, k8sd]);
}

/// The directory of the copies is made for them, and for nothing else.
fn copies(r: &mut Reader<'_>, c: &Config, databases: &[(&'static str, &str)]) {
    const KEY: &str = "hooks.copy_dir";
    if !r.given(KEY, 0) || !r.usable(&[KEY]) {
        return;
    }
    let dir = text(&c.hooks.copy_dir);
    lies_on_volume(r, text(&c.volume.mount_point), KEY, &c.hooks.copy_dir);
    for (path, other) in databases {
        if (within(dir, other) || within(other, dir)) && r.usable(&[path]) {
            let fault = Fault::from(format!(
                "`{KEY}` ({dir}) and `{path}` ({other}) lie in each other"
            ));
            r.error_at(KEY, 0, fault);
        }
    }
    if let Backing::File { path, .. } = &c.volume.backing {
        if within(text(path), dir) && r.usable(&["volume.backing_file"]) {
            let fault = Fault::from(format!("the backing file lies in `{KEY}` ({dir})"))
                .help("name a directory of its own, which root alone may enter");
            r.error_at(KEY, 0, fault);
        }
    }
    for ours in OURS {
        if (within(dir, ours) || within(ours, dir)) && !within(dir, COPIES) {
            let fault = Fault::from(format!(
                "`{KEY}` ({dir}) and the agent's own {ours} lie in each other"
            ))
            .help(format!("{COPIES} is made for them"));
            r.error_at(KEY, 0, fault);
        }
    }
}

fn lies_on_volume(r: &mut Reader<'_>, mount: &str, path: &'static str, value: &Path) {
    if within(text(value), mount) && r.usable(&[path, "volume.mount_point"]) {
        let at = if r.given(path, 0) {
            path
        } else {
            "volume.mount_point"
        };
        let fault = Fault::from(format!(
            "`{path}` ({}) would lie on the volume, which is not always mounted",
            text(value)
        ));
        r.error_at(at, 0, fault);
    }
}
