//! The node that a handler is called on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::machine::{CONFIG, DRBDADM_84, Machine};

pub const CIB: &str = include_str!("../../../../crates/pacemaker/tests/fixtures/cib.2.1.5.xml");
pub const ID: &str = "drbd-fence-by-handler-r0-drbd_master_slave";

pub const STONITH: &str = r#"
[fencing]
mode = "stonith"
[[fencing.device]]
node = "alpha"
agent = "fence_ipmilan"
[[fencing.device]]
node = "beta"
agent = "fence_ipmilan"
"#;

/// What crmadmin of Pacemaker 2.1 prints of a peer that answers (`xml/api/crmadmin-2.4.rng`).
pub const ALIVE: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"crmadmin\"><crmd node_name=\"beta\" \
                     state=\"S_NOT_DC\" result=\"ok\"/><status code=\"0\" message=\"OK\"/></pacemaker-result>'";
pub const SILENT: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"crmadmin\"><status code=\"124\" \
                      message=\"Timeout occurred\"><errors><error>error: no reply</error></errors></status>\
                      </pacemaker-result>'; exit 124";
pub const FENCED: &str = "echo '<pacemaker-result api-version=\"2.25\" request=\"stonith_admin\">\
                      <fence_event target=\"beta\" action=\"reboot\" delegate=\"alpha\" client=\"c\" origin=\"alpha\" \
                      status=\"success\" completed=\"2026-11-24 12:00:00Z\"/><status code=\"0\" message=\"OK\"/>\
                      </pacemaker-result>'";

/// A node named alpha whose DRBD resource r0 and Pacemaker are what the test says.
pub struct Node {
    pub machine: Machine,
}

impl Node {
    pub fn new(mode: &str, deadline: &str) -> Self {
        let fencing = if mode == "stonith" {
            STONITH.to_owned()
        } else {
            format!("[fencing]\nmode = \"{mode}\"\n")
        };
        let nodes = CONFIG.split("[fencing]").next().unwrap();
        let hooks = format!("[hooks]\nfence_peer_deadline = \"{deadline}\"\n");
        let machine = Machine::configured(&format!("{nodes}{fencing}{hooks}"));
        let node = Self { machine };
        node.file("proc/sys/kernel/hostname", "alpha\n");
        node.file("sys/module/drbd/version", "8.4.11\n");
        node.drbd("WFConnection", "UpToDate/DUnknown");
        node.file("cib.xml", CIB);
        node.program("crmadmin", ALIVE);
        node.program("stonith_admin", FENCED);
        node
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.machine.root.path().join(path)
    }

    pub fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In one step: a handler may be reading it.
        let new = path.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub fn program(&self, name: &str, script: &str) {
        self.file(
            &format!("programs/{name}"),
            &format!("#!/bin/sh\n{script}\n"),
        );
        let path = self.path(&format!("programs/{name}"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn drbd(&self, connection: &str, disks: &str) {
        self.drbd_with(connection, "Primary/Unknown", disks);
    }

    pub fn drbd_with(&self, connection: &str, roles: &str, disks: &str) {
        let text = format!(
            "version: 8.4.11 (api:1/proto:86-101)\n 0: cs:{connection} ro:{roles} ds:{disks} C \
             s-----\n"
        );
        self.file("proc/drbd", &text);
    }

    pub fn peer(&self, attributes: &str) {
        let text: String = CIB
            .lines()
            .map(
                |line| match line.contains("<node_state") && line.contains("\"beta\"") {
                    true => format!("<node_state id=\"2\" uname=\"beta\" {attributes}/>\n"),
                    false => format!("{line}\n"),
                },
            )
            .collect();
        self.file("cib.xml", &text);
    }

    pub fn command(&self, handler: &str) -> Command {
        let mut command = self.machine.command(&[handler, "r0"], &DRBDADM_84);
        command
            .env("TWO_NODE_HA_HOOK_PROGRAMS", self.path("programs"))
            .env("TWO_NODE_HA_HOOK_CIB", self.path("cib.xml"));
        command
    }

    /// Calls a handler; its exit code, decision and reason.
    pub fn call(&self, handler: &str) -> (Option<i32>, String, String) {
        let status = self.command(handler).status().unwrap();
        let event = self.machine.events().pop().unwrap();
        assert_eq!(Some(event.exit_code), status.code());
        (status.code(), event.decision.to_string(), event.reason)
    }

    /// The real cibadmin.
    pub fn cibadmin(&self, args: &[&str]) -> bool {
        let status = Command::new("cibadmin")
            .args(args)
            .env("CIB_file", self.path("cib.xml"))
            .stdout(Stdio::null())
            .status();
        status
            .unwrap_or_else(|e| {
                panic!("cibadmin does not start ({e}): install pacemaker-cli-utils")
            })
            .success()
    }

    pub fn constraint(&self) -> Option<String> {
        let text = fs::read_to_string(self.path("cib.xml")).unwrap();
        let from = text.find(&format!("id=\"{ID}\""))?;
        let end = text[from..].find("</rsc_location>").unwrap();
        Some(text[from..from + end].to_owned())
    }
}
