//! The configuration as the rest of the project sees it: complete, typed and valid.
//!
//! A value of [`Config`] exists only after validation, so that nobody downstream checks again.
//! Field names are the keys of the TOML file.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Which of the two nodes the file is read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// None in particular: [`Config::this`] is `None`.
    Any,
    /// The one whose host name this is (`uname -n`); another one is an error.
    Hostname(&'a str),
    /// The one of that name; another one is an error.
    Node(&'a str),
}

/// The whole of `/etc/two-node-ha.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `[cluster]`
    pub cluster: Cluster,
    /// The two `[[node]]` tables, in the order of the file.
    pub nodes: [Node; 2],
    /// Which of [`Config::nodes`] is this host; `None` when the file was read without a host
    /// (`check FILE` on a third machine).
    pub this: Option<usize>,
    /// `[volume]`
    pub volume: Volume,
    /// `[drbd]`
    pub drbd: Drbd,
    /// `[corosync]`
    pub corosync: Corosync,
    /// `[pacemaker]`
    pub pacemaker: Pacemaker,
    /// `[fencing]`
    pub fencing: Fencing,
    /// `[k8s]`
    pub k8s: K8s,
    /// `[peer]`
    pub peer: Peer,
    /// `[agent]`
    pub agent: Agent,
    /// `[hooks]`
    pub hooks: Hooks,
}

/// `[cluster]`: what belongs to both nodes alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Corosync's `cluster_name`. Default `ha`.
    pub name: String,
}

/// One `[[node]]`; there are exactly two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node's name in Corosync, Pacemaker and Kubernetes. Required.
    pub name: String,
    /// `uname -n` of the node, where it differs from `name`. Default: `name`.
    pub hostname: String,
    /// Address of Kubernetes, dqlite, ssh, and of DRBD and Corosync unless given below. Required.
    pub address: IpAddr,
    /// Address of DRBD's replication link. Default: `address`.
    pub drbd_address: IpAddr,
    /// Addresses of Corosync's links, one or two. Default: `[address]`.
    pub corosync_addresses: Vec<IpAddr>,
    /// Corosync's and DRBD 9's node id. Default: 1 for the first node, 2 for the second.
    pub id: u32,
}

/// What lies under the DRBD device on each node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backing {
    /// A file, attached to a loop device at boot.
    File {
        /// `volume.backing_file`
        path: PathBuf,
        /// `volume.loop_symlink`: the stable name given to the loop device by udev. Default
        /// `/dev/lodrbd`.
        symlink: PathBuf,
        /// `volume.size`, in bytes: what `init` preallocates. Default 2000 MiB.
        size: u64,
        /// `volume.direct_io`: whether the loop device bypasses the page cache. Default true;
        /// falls back where the file system cannot.
        direct_io: bool,
    },
    /// A block device (partition, logical volume): `volume.backing_device`.
    Device(PathBuf),
}

/// `[volume]`: the DRBD device and the file system on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// DRBD resource. Default `r0`.
    pub resource: String,
    /// DRBD device. Default `/dev/drbd0`. Always `/dev/drbdN`.
    pub device: PathBuf,
    /// `N` of `device`.
    pub minor: u32,
    /// Exactly one of `backing_file` and `backing_device`.
    pub backing: Backing,
    /// Where Pacemaker mounts the file system. Default `/mnt/drbd0`.
    pub mount_point: PathBuf,
    /// `ext4` or `xfs`. Default `ext4`.
    pub fstype: String,
    /// Options for the mount. Default: none.
    pub mount_options: Vec<String>,
}

/// What DRBD does about a split brain where a side count of primaries allows an automatic answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSb {
    /// Disconnect and leave it to a person. The default of all three.
    Disconnect,
    /// `discard-zero-changes` (0 primaries only): a side that wrote nothing follows the other.
    DiscardZeroChanges,
    /// `discard-secondary` (1 primary only).
    DiscardSecondary,
    /// `consensus` (1 primary only).
    Consensus,
    /// `call-pri-lost-after-sb` (1 or 2 primaries).
    CallPriLostAfterSb,
}

/// `[drbd]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drbd {
    /// TCP port. Default 7788.
    pub port: u16,
    /// How long the agent waits for DRBD to show a resource before it says so loudly
    /// (the script's `DRBD_READY_TIMEOUT`). Default 30 s.
    pub ready_timeout: Duration,
    /// `after-sb-0pri`. Default disconnect.
    pub after_sb_0pri: AfterSb,
    /// `after-sb-1pri`. Default disconnect.
    pub after_sb_1pri: AfterSb,
    /// `after-sb-2pri`. Default disconnect.
    pub after_sb_2pri: AfterSb,
    /// `verify-alg`. Default `sha256`.
    pub verify_alg: String,
    /// `cram-hmac-alg`; with `shared_secret_file` only. Default `sha256`.
    pub cram_hmac_alg: String,
    /// A 0600 file whose first line is DRBD's shared secret. Default: none, no authentication.
    pub shared_secret_file: Option<PathBuf>,
    /// `c-max-rate`, bytes a second; `None` leaves DRBD's default.
    pub resync_max_rate: Option<u64>,
    /// `c-min-rate`, bytes a second. Default 10 MiB, or `resync_max_rate` where that is less.
    pub resync_min_rate: u64,
}

/// Corosync's transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Encrypted and authenticated; up to two links. The default.
    Knet,
    /// The guide's clear text without authentication; `doctor` complains.
    Udpu,
}

/// `[corosync]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corosync {
    /// Default knet.
    pub transport: Transport,
    /// UDP port. Default 5405.
    pub port: u16,
    /// `crypto_cipher`. Default `aes256`. `none` only with `transport = "udpu"`.
    pub crypto_cipher: String,
    /// `crypto_hash`. Default `sha256`.
    pub crypto_hash: String,
    /// Token time-out. Default 3 s.
    pub token: Duration,
    /// How long the node that is left waits for the other's consent to its new membership. Default a fifth
    /// of the token, from 200 ms to 2 s.
    pub consensus: Duration,
}

/// `[pacemaker]`: names and times of the resources. Defaults are the guide's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacemaker {
    /// Default `drbd_res`.
    pub drbd_resource: String,
    /// The promotable clone. Default `drbd_master_slave`.
    pub drbd_clone: String,
    /// Default `fs_res`.
    pub fs_resource: String,
    /// Default `ha_k8s_failover_service`.
    pub failover_resource: String,
    /// Monitor interval of the promoted instance. Default 29 s.
    pub monitor_promoted: Duration,
    /// Monitor interval of the other. Default 31 s; differs from `monitor_promoted`.
    pub monitor_unpromoted: Duration,
    /// Time-out of DRBD's promote; above every handler's deadline. Default 90 s.
    pub promote_timeout: Duration,
    /// Time-out of the failover unit's start: above `peer.silent_timeout`, twice `k8s.recover_timeout`
    /// and `k8s.ready_timeout` together. Default 8 min.
    pub failover_start_timeout: Duration,
    /// Time-out of the failover unit's stop: the clean demotion. Default 90 s.
    pub failover_stop_timeout: Duration,
    /// `migration-threshold` of the failover unit. Default 3.
    pub migration_threshold: u32,
    /// `failure-timeout` of the failover unit. Default 10 min.
    pub failure_timeout: Duration,
    /// `stop` (default) or `ignore` (the guide's; `doctor` complains).
    pub no_quorum_policy: String,
}

/// How a lost peer is kept from writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FencingMode {
    /// A fence device powers the peer off. The default, and the only safe one.
    Stonith,
    /// Only DRBD's location constraint: a partition can leave the cluster without a primary, a
    /// dead Corosync cannot be told from a dead node.
    Constraint,
    /// None: on a partition both nodes may become primary, and one side's writes will be lost.
    None,
}

/// One `[[fencing.device]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceDevice {
    /// Name of the Pacemaker resource. Default `fence_<node>`.
    pub name: String,
    /// Fence agent without the `stonith:` prefix, such as `fence_ipmilan`. Required.
    pub agent: String,
    /// The `[[node]]` that it powers off. Required.
    pub node: String,
    /// Parameters handed to the agent as they are.
    pub params: BTreeMap<String, String>,
    /// `pcmk_delay_base`: a head start for one node where both would shoot at once. Default 0.
    pub delay: Duration,
}

/// `[fencing]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fencing {
    /// Default stonith; then each node needs a device.
    pub mode: FencingMode,
    /// `[[fencing.device]]`
    pub devices: Vec<FenceDevice>,
    /// With `constraint` or `none`: whether a node may become the voter while it cannot be known
    /// that the peer is dead. Default false: the agent blocks and says so.
    pub promote_without_fencing: bool,
}

/// `[k8s]`: the snap and its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct K8s {
    /// Snap name. Default `k8s`. Units are `snap.<snap>.<service>.service`.
    pub snap: String,
    /// Channel that `init` and `doctor` speak of. Default `1.35-classic/stable`.
    pub snap_channel: String,
    /// All services of the snap, in the order of their start. The first day's list of
    /// facts: k8sd, containerd, k8s-dqlite, kube-apiserver, kubelet, kube-controller-manager,
    /// kube-proxy, kube-scheduler.
    pub services: Vec<String>,
    /// The services that write a dqlite database: gated, and stopped before every switch.
    /// Default `k8s-dqlite`, `k8sd`.
    pub datastore_services: Vec<String>,
    /// State directory of k8s-dqlite. Default `/var/snap/k8s/common/var/lib/k8s-dqlite`.
    pub k8s_dqlite_dir: PathBuf,
    /// State directory of k8sd. Default `/var/snap/k8s/common/var/lib/k8sd/state`.
    pub k8sd_dir: PathBuf,
    /// Where k8s-dqlite's recovery tarballs appear. Default `/var/snap/k8s/common`.
    pub recovery_dir: PathBuf,
    /// The k8sd program. Default `/snap/k8s/current/bin/k8sd`.
    pub k8sd_path: PathBuf,
    /// The snap's kubectl, by which the API server here is asked whether it is ready. Default
    /// `/snap/k8s/current/bin/kubectl`.
    pub kubectl_path: PathBuf,
    /// What kubectl is told of the API server here. Default `/etc/kubernetes/admin.conf`.
    pub kubeconfig: PathBuf,
    /// `--log-level` of `k8sd cluster-recover`, 0 to 4. Default 0.
    pub k8sd_log_level: u8,
    /// dqlite port of k8s-dqlite. Default 9000.
    pub k8s_dqlite_port: u16,
    /// Port of k8sd. Default 6400.
    pub k8sd_port: u16,
    /// How long a started voter may take until its databases answer. Default 90 s.
    pub ready_timeout: Duration,
    /// Who takes the databases over. Default native.
    pub recovery: Recovery,
    /// Deadline of `k8sd cluster-recover`. Default 120 s.
    pub recover_timeout: Duration,
}

/// How this node is made the only voter of the databases on the volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// In raft's files, in place: what it writes does not depend on the databases' size.
    Native,
    /// By `k8sd cluster-recover`, which dials both nodes and packs each database twice.
    K8sd,
}

/// `[peer]`: the ssh channel between the agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Account on the peer whose only right is the forced command. Default `two-node-ha`.
    pub ssh_user: String,
    /// Default 22.
    pub ssh_port: u16,
    /// Extra `-o` options for ssh. Options that weaken host key checks are refused.
    pub ssh_options: Vec<String>,
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long to wait for the peer before saying so loudly (the script's
    /// `PEER_READY_TIMEOUT`); the agent goes on trying. Default 60 s.
    pub ready_timeout: Duration,
    /// How long a node that is to be the voter waits for a peer that is in the cluster and whose agent
    /// is silent, before it has it fenced. Default 60 s.
    pub silent_timeout: Duration,
}

/// How much the agent says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what failed.
    Error,
    /// And what may fail soon.
    Warn,
    /// And each decision and step. The default.
    Info,
    /// And what was observed (the script's `DEBUG`).
    Debug,
}

/// `[agent]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// Default info.
    pub log_level: LogLevel,
    /// systemd's watchdog for the agent. Default 10 min, 0 turns it off.
    pub watchdog: Duration,
    /// How often the datastore of a running voter is read, to see that it answers. Default 10 s, 0
    /// turns it off.
    pub health_interval: Duration,
    /// Quarantined and replaced databases kept per database, and copies from before a takeover
    /// kept on the volume. Default 3.
    pub keep_backups: u32,
    /// Recovery tarballs kept. Default 3.
    pub keep_tarballs: u32,
    /// What becomes of damage on the volume that can be mended without loss. Default automatic.
    pub repair: RepairPolicy,
}

/// What a takeover does about a database on the volume that is damaged, and can be mended without losing
/// anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairPolicy {
    /// Mend a copy, verify it, put it in place, keep the original, say so, and go on.
    Automatic,
    /// Wait for a person.
    Never,
}

/// What a handler does when it cannot protect the data about to be overwritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoCopyPolicy {
    /// Refuse the resync: availability waits for a person.
    Refuse,
    /// Go on, loudly.
    Proceed,
}

/// What a handler that tells of a loss sets in motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossAction {
    /// Nothing: DRBD's own policy and Pacemaker's monitor go their way. The default.
    None,
    /// The agent asks Pacemaker to take the primary away from this node.
    Demote,
    /// The node is reset at once, without syncing or stopping anything.
    Reboot,
}

/// `[hooks]`: DRBD's handlers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Deadline of fence-peer; below `pacemaker.promote_timeout`. Default 60 s.
    pub fence_peer_deadline: Duration,
    /// Deadline of the resync handlers; far below DRBD's 42 s. Default 20 s.
    pub resync_deadline: Duration,
    /// Default proceed.
    pub no_copy: NoCopyPolicy,
    /// How many copies of the data from before a resync are kept; 0 makes none. Default 1.
    pub copies: u32,
    /// Where copies are kept. Default: `.two-node-ha-copies` beside the backing file, so that it
    /// can be cloned; `/var/lib/two-node-ha/copies` with a backing device.
    pub copy_dir: PathBuf,
    /// A command run on split brain, with the resource's name as its argument. Default: none.
    pub alert_command: Option<PathBuf>,
    /// A node attribute of Pacemaker that is set to the handler's name on split brain. Default:
    /// none.
    pub alert_attribute: Option<String>,
    /// Default none.
    pub on_local_io_error: LossAction,
    /// Default none.
    pub on_pri_lost: LossAction,
    /// Default none; `reboot` where an `after_sb` policy is `call-pri-lost-after-sb`.
    pub on_pri_lost_after_sb: LossAction,
    /// Default none.
    pub on_pri_on_incon_degr: LossAction,
    /// Default none.
    pub on_out_of_sync: LossAction,
    /// Default none. DRBD 9 only.
    pub on_quorum_lost: LossAction,
}

/// Unit of a snap service: `snap.<snap>.<service>.service`.
impl K8s {
    /// The systemd unit of one of the snap's services.
    #[must_use]
    pub fn unit(&self, service: &str) -> String {
        format!("snap.{}.{service}.service", self.snap)
    }
}

impl Config {
    /// This host's node, where the file was read on one of the two.
    #[must_use]
    pub fn this_node(&self) -> Option<&Node> {
        self.this.map(|i| &self.nodes[i])
    }

    /// The other node.
    #[must_use]
    pub fn peer_node(&self) -> Option<&Node> {
        self.this.map(|i| &self.nodes[1 - i])
    }

    /// The node of that name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|n| n.name == name)
    }
}
