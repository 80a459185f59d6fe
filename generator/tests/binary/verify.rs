//! `systemd-analyze verify` over everything at once: the packaged units, what the generator makes
//! of each case, the drop-in that Pacemaker adds while its resource runs, and the units of others
//! that ours are ordered against. It reports unknown settings, missing programs and, because one
//! target pulls in all of it, every ordering cycle.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Case, make_dirs};

const SYSTEM: &str = "usr/lib/systemd/system";
const SERVICES: [&str; 9] = [
    "k8sd",
    "containerd",
    "k8s-dqlite",
    "kube-apiserver",
    "kubelet",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "etcd",
];

fn units() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../units")
}

fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A root with systemd's own targets and slices, the packaged units, and stubs for the rest that
/// have what matters of the real ones: their place in the order.
fn make_root(root: &Path) {
    let system = root.join(SYSTEM);
    fs::create_dir_all(&system).unwrap();
    for entry in fs::read_dir(Path::new("/").join(SYSTEM)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let base = name.ends_with(".target") || name.ends_with(".slice");
        let ours = base && !name.contains("drbd") && !name.contains("resource-agents");
        if (ours || name == "modprobe@.service") && entry.path().is_file() {
            fs::copy(entry.path(), system.join(name)).unwrap();
        }
    }
    let mut packaged = 0;
    for entry in fs::read_dir(units()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "service") {
            fs::copy(&path, system.join(path.file_name().unwrap())).unwrap();
            packaged += 1;
        }
    }
    assert_eq!(packaged, 3);
    for program in [
        "usr/bin/two-node-ha",
        "bin/cat",
        "bin/false",
        "bin/stub",
        "sbin/modprobe",
    ] {
        put(&root.join(program), "#!/bin/sh\n");
        fs::set_permissions(root.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    }

    let service = |name: &str, unit: &str| {
        let text = format!("[Unit]\nDescription=stub\n{unit}\n[Service]\nExecStart=/bin/stub\n");
        put(&system.join(name), &text);
    };
    service("dbus.service", "");
    service(
        "corosync.service",
        "Requires=network-online.target\nAfter=network-online.target",
    );
    service(
        "pacemaker.service",
        "After=network.target dbus.service resource-agents-deps.target corosync.service\n\
         Wants=dbus.service resource-agents-deps.target\nRequires=corosync.service",
    );
    put(
        &system.join("resource-agents-deps.target"),
        "[Unit]\nDescription=stub\n",
    );
    service(
        "drbd.service",
        "Wants=network-online.target\nAfter=network-online.target\nBefore=pacemaker.service",
    );
    service(
        "drbd@.service",
        "PartOf=drbd@%i.target\nAfter=network-online.target\nBefore=pacemaker.service",
    );
    put(
        &system.join("drbd@.target"),
        "[Unit]\nDescription=stub\nRequires=drbd@%i.service\nAfter=network-online.target\n",
    );
    for name in [
        "drbd-graceful-down.service",
        "drbd-graceful-shutdown.service",
    ] {
        service(
            name,
            "After=network-online.target\nBefore=pacemaker.service",
        );
    }

    // As the snap's services are: enabled, and after the network.
    let etc = root.join("etc/systemd/system");
    for snap in ["k8s", "k8s-edge"] {
        for app in SERVICES {
            let name = format!("snap.{snap}.{app}.service");
            put(
                &etc.join(&name),
                "[Unit]\nDescription=stub\nWants=network.target\nAfter=network.target\n\
                 [Service]\nType=simple\nExecStart=/bin/stub\nRestart=on-failure\n",
            );
            let wants = etc.join("multi-user.target.wants");
            fs::create_dir_all(&wants).unwrap();
            symlink(etc.join(&name), wants.join(&name)).unwrap();
        }
    }
    // What Pacemaker writes before it starts a systemd resource.
    put(
        &root.join("run/systemd/system/two-node-ha-k8s-failover.service.d/50-pacemaker.conf"),
        "[Unit]\nDescription=Cluster Controlled two-node-ha-k8s-failover\n\
         Before=pacemaker.service pacemaker_remote.service\n\n[Service]\nRestart=no\n",
    );
    // Everything in one transaction.
    put(
        &etc.join("everything.target"),
        "[Unit]\nDescription=all\nWants=multi-user.target pacemaker.service corosync.service\n\
         Wants=two-node-ha-k8s.service two-node-ha-k8s-failover.service\n\
         Wants=drbd.service drbd@r0.target drbd@r0.service\n\
         Wants=drbd-graceful-down.service drbd-graceful-shutdown.service\n",
    );
}

/// Copies files and links into a tree that may be there already.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), target).unwrap();
        } else if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

/// What systemd-analyze says; nothing if all is well.
fn verify(root: &Path, unit: &str) -> String {
    let output = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(format!("--root={}", root.display()))
        .arg(unit)
        .output()
        .unwrap();
    let mut said = String::from_utf8(output.stderr).unwrap();
    if !output.status.success() {
        said.push_str("failed\n");
    }
    said
}

fn systemd_is_missing() -> bool {
    let missing = Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err();
    if missing {
        eprintln!("SKIPPED: systemd-analyze is not installed, the units are not verified");
    }
    missing
}

#[test]
fn systemd_accepts_every_unit_of_every_case_and_finds_no_ordering_cycle() {
    if systemd_is_missing() {
        return;
    }
    for case in Case::all() {
        let root = tempfile::tempdir().unwrap();
        make_root(root.path());
        let out = root.path().join("out");
        make_dirs(&out);
        assert!(case.command(&out).status().unwrap().success());
        // systemd-analyze puts an empty directory in the place of /run/systemd/generator. This one
        // as well beats the package's units and loses to /etc.
        let generated = root.path().join("run/systemd/system");
        copy(&out.join("normal"), &generated);

        let mut ours = vec![
            "everything.target".to_owned(),
            "two-node-ha-k8s.service".to_owned(),
            "two-node-ha-k8s-failover.service".to_owned(),
        ];
        for wants in [
            "resource-agents-deps.target.wants",
            "multi-user.target.wants",
        ] {
            for entry in fs::read_dir(generated.join(wants)).into_iter().flatten() {
                ours.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        for unit in ours {
            // systemd-analyze reads a colon as FILE:ALIAS; everything.target covers that unit.
            if unit.contains(':') {
                continue;
            }
            assert_eq!(verify(root.path(), &unit), "", "{}: {unit}", case.name);
        }
    }
}

#[test]
fn the_verification_sees_a_cycle_through_pacemaker() {
    if systemd_is_missing() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    make_root(root.path());
    // The mistake to be kept out: the failover unit after the services that wait for Pacemaker.
    put(
        &root
            .path()
            .join("etc/systemd/system/two-node-ha-k8s-failover.service.d/x.conf"),
        "[Unit]\nAfter=snap.k8s.k8s-dqlite.service\n",
    );
    put(
        &root
            .path()
            .join("etc/systemd/system/snap.k8s.k8s-dqlite.service.d/x.conf"),
        "[Unit]\nAfter=pacemaker.service\n",
    );
    let said = verify(root.path(), "everything.target");
    assert!(said.contains("ordering cycle"), "{said}");
}

#[test]
fn the_failover_unit_has_no_order_of_its_own_to_pacemaker() {
    // Pacemaker takes its drop-in away before it stops the unit; any other order between the two
    // would make the stop of each wait for the other's.
    let unit = fs::read_to_string(units().join("two-node-ha-k8s-failover.service")).unwrap();
    let settings = unit.lines().filter(|line| !line.starts_with('#'));
    assert!(settings.clone().count() > 10);
    for line in settings {
        assert!(!line.contains("pacemaker.service"), "{line}");
    }
}
