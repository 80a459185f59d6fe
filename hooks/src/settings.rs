//! What the configuration says about the hooks.

use std::path::PathBuf;
use std::time::Duration;

use two_node_ha_config::{
    ACCEPTED, Chosen, Config, FencingMode, Found, Host, LossAction, Neither, NoCopyPolicy, PATH,
    choose, read,
};

use crate::handler::Terms;
use crate::root::Root;
use two_node_ha_drbd::Handler;
use two_node_ha_drbd::request::Request;
use two_node_ha_fence::answer::{Code, Resync};

const HOSTNAME: &str = "/proc/sys/kernel/hostname";

/// The settings, or the defaults where no configuration can be used.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration, or, while that cannot be used, the one that an agent has accepted last;
    /// `None` when there is neither.
    config: Option<Config>,
    /// What is wrong with the configuration, which is said in the record.
    pub problem: Option<String>,
}

/// The file that is at that path on a node.
fn at(root: &Root, path: &str) -> Found {
    let path = root.path(path);
    read(&path, &path.to_string_lossy())
}

impl Settings {
    /// Reads the configuration. An invalid one must not keep a handler from answering: the kernel
    /// waits, and the defaults are safe.
    pub fn load(root: &Root) -> Self {
        let present = at(root, PATH);
        let accepted = || at(root, ACCEPTED);
        let host = std::fs::read_to_string(root.path(HOSTNAME)).unwrap_or_default();
        let chosen = choose(&present, accepted, Host::Hostname(host.trim_end()))
            // A host name that changed must not turn off the configured deadlines.
            .or_else(|_| choose(&present, accepted, Host::Any));
        match chosen {
            Ok(Chosen {
                config, fallback, ..
            }) => Self {
                config: Some(config),
                problem: fallback.map(|fallback| fallback.warning()),
            },
            Err(Neither { broken, accepted }) => {
                let accepted = accepted.map_or_else(String::new, |why| format!("; {why}"));
                Self {
                    config: None,
                    problem: Some(format!(
                        "{}{accepted}; run `two-node-ha check`",
                        broken.brief()
                    )),
                }
            }
        }
    }

    /// How long a handler may take.
    pub fn deadline(&self, handler: &Handler) -> Duration {
        let hooks = self.config.as_ref().map(|config| &config.hooks);
        let configured = match handler {
            Handler::FencePeer => hooks.map(|hooks| hooks.fence_peer_deadline),
            Handler::BeforeResyncTarget
            | Handler::BeforeResyncSource
            | Handler::AfterResyncTarget => hooks.map(|hooks| hooks.resync_deadline),
            _ => None,
        };
        configured.unwrap_or_else(|| handler.default_deadline())
    }

    /// `hooks.no_copy`
    pub fn no_copy(&self) -> NoCopyPolicy {
        self.config
            .as_ref()
            .map_or(NoCopyPolicy::Proceed, |config| config.hooks.no_copy)
    }

    /// The configuration, where it can be used.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// What is answered when the deadline has come, or on a bug, now that the policy is known.
    pub fn fallback(&self, handler: &Handler) -> Code {
        match (handler, self.no_copy()) {
            (Handler::BeforeResyncTarget, NoCopyPolicy::Refuse) => Code::Resync(Resync::Refuse),
            _ => handler.fallback(),
        }
    }

    /// `fencing.mode`; without a configuration the one under which nothing is claimed that nobody
    /// has checked.
    pub fn fencing(&self) -> FencingMode {
        self.config
            .as_ref()
            .map_or(FencingMode::Stonith, |config| config.fencing.mode)
    }

    /// This node's and the peer's name in Pacemaker, by this host's name; `None` when the host is
    /// none of the two.
    pub fn nodes(&self, host: &str) -> Option<(String, String)> {
        let nodes = &self.config.as_ref()?.nodes;
        let me = nodes.iter().find(|node| node.hostname == host)?;
        let peer = nodes.iter().find(|node| node.name != me.name)?;
        Some((me.name.clone(), peer.name.clone()))
    }

    /// The minor of the configured volume, if the resource is that one's.
    pub fn minor_of(&self, resource: &str) -> Option<u32> {
        let volume = &self.config.as_ref()?.volume;
        (volume.resource == resource).then_some(volume.minor)
    }

    /// `hooks.alert_command`
    pub fn alert_command(&self) -> Option<PathBuf> {
        self.config
            .as_ref()
            .and_then(|config| config.hooks.alert_command.clone())
    }

    /// `hooks.alert_attribute`
    pub fn alert_attribute(&self) -> Option<&str> {
        self.config
            .as_ref()
            .and_then(|config| config.hooks.alert_attribute.as_deref())
    }

    /// What a loss sets in motion; nothing where the configuration cannot be used.
    pub fn loss_action(&self, handler: &Handler) -> LossAction {
        let Some(config) = &self.config else {
            return LossAction::None;
        };
        let hooks = &config.hooks;
        match handler {
            Handler::LocalIoError => hooks.on_local_io_error,
            Handler::PriLost => hooks.on_pri_lost,
            Handler::PriLostAfterSb => hooks.on_pri_lost_after_sb,
            Handler::PriOnInconDegr => hooks.on_pri_on_incon_degr,
            Handler::OutOfSync => hooks.on_out_of_sync,
            Handler::QuorumLost => hooks.on_quorum_lost,
            Handler::BeforeResyncTarget
            | Handler::BeforeResyncSource
            | Handler::AfterResyncTarget
            | Handler::SplitBrain
            | Handler::InitialSplitBrain
            | Handler::FencePeer
            | Handler::UnfencePeer
            | Handler::Disconnected
            | Handler::Udev
            | Handler::Unrecognised(_) => LossAction::None,
        }
    }

    /// The resource that a request is about: as named, else the configured one where a minor of
    /// it is meant. (8.4's kernel names no resource to most handlers.)
    pub fn resource_of(&self, request: &Request) -> Option<String> {
        let of_minor = || {
            let volume = &self.config.as_ref()?.volume;
            request
                .minors()
                .contains(&volume.minor)
                .then(|| volume.resource.clone())
        };
        request.resource.clone().or_else(of_minor)
    }
}
