//! The rows of the table.

use super::Kind::{
    Address, Addresses, Boolean, Choice, Duration, Integer, Params, Path, Size, Text, Texts,
};
use super::{Key, Kind};

const fn key(path: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key::new(path, kind, doc)
}

/// Digests of the Linux kernel that DRBD may use to compare blocks.
const VERIFY_ALGS: &[&str] = &[
    "sha256", "crc32c", "md5", "sha1", "sha224", "sha384", "sha512", "sha3-256", "sha3-512",
];

const PORT: Kind = Integer(1, 65535);

const LOSS: Kind = Choice(&["none", "demote", "reboot"]);

/// All keys, the tables' in the order of [`TABLES`](super::TABLES).
pub const KEYS: &[Key] = &[
    // [cluster]
    key("cluster.name", Text, "The name of the cluster in Corosync.")
        .default("\"ha\"")
        .script("cluster_name: ha"),
    // [[node]]
    key(
        "node.name",
        Text,
        "The node's name in Corosync, Pacemaker and Kubernetes.",
    )
    .required("\"haone\"")
    .script("haone, hatwo"),
    key(
        "node.hostname",
        Text,
        "What `uname -n` prints on the node. It also tells each node which of the two it is.",
    )
    .derived("the node's name", "\"haone\""),
    key(
        "node.address",
        Address,
        "The node's address for Kubernetes, dqlite and ssh. Both nodes' are of one family, IPv4 or IPv6.",
    )
    .required("\"10.0.0.1\"")
    .script("HAONE_ADDR, HATWO_ADDR"),
    key(
        "node.drbd_address",
        Address,
        "The address that DRBD replicates over, where there is a network of its own for it.",
    )
    .derived("the node's address", "\"10.0.0.1\""),
    key(
        "node.corosync_addresses",
        Addresses,
        "The addresses of Corosync's links, one or two. A second network keeps one broken cable from looking like a dead node.",
    )
    .derived("only the node's address", "[\"10.0.0.1\"]"),
    key(
        "node.id",
        Integer(1, 31),
        "The node's number in Corosync and DRBD 9.",
    )
    .derived("1 for the first node of the file, 2 for the second", "1")
    .script("nodeid: 1, nodeid: 2"),
    // [volume]
    key(
        "volume.resource",
        Text,
        "The name of the DRBD resource.",
    )
    .default("\"r0\"")
    .script("DRBD_RES_NAME"),
    key("volume.device", Path, "The DRBD device, /dev/drbd and its minor number.")
        .default("\"/dev/drbd0\"")
        .script("device /dev/drbd0"),
    key(
        "volume.backing_file",
        Path,
        "A file that holds this node's copy, attached to a loop device at boot. Either this or backing_device.",
    )
    .optional("\"/opt/drbd0-backstore\"")
    .script("/opt/drbd0-backstore"),
    key(
        "volume.backing_device",
        Path,
        "A partition or logical volume that holds this node's copy. Either this or backing_file.",
    )
    .optional("\"/dev/disk/by-partlabel/drbd0\""),
    key(
        "volume.loop_symlink",
        Path,
        "The lasting name of the loop device. Only with backing_file.",
    )
    .default("\"/dev/lodrbd\"")
    .script("mknod /dev/lodrbd b 7 200"),
    key(
        "volume.size",
        Size,
        "The size of the backing file, which is allocated in full: a hole in it would be an I/O error once the disk is full. Only with backing_file.",
    )
    .default("\"2000MiB\"")
    .script("dd bs=1M count=2000"),
    key(
        "volume.direct_io",
        Boolean,
        "Whether the loop device bypasses the page cache, where the file system under it can do that. Only with backing_file.",
    )
    .default("true"),
    key(
        "volume.mount_point",
        Path,
        "Where Pacemaker mounts the volume on the primary.",
    )
    .default("\"/mnt/drbd0\"")
    .script("DRBD_MOUNT_DIR"),
    key("volume.fstype", Choice(&["ext4", "xfs"]), "The file system on the volume.")
        .default("\"ext4\"")
        .script("mkfs.ext4, fstype=ext4"),
    key(
        "volume.mount_options",
        Texts,
        "Mount options, such as \"noatime\".",
    )
    .default("[]"),
    // [drbd]
    key("drbd.port", PORT, "TCP port of the replication link.")
        .default("7788")
        .script("address …:7788"),
    key(
        "drbd.ready_timeout",
        Duration,
        "How long DRBD may take to show the resource before the agent complains.",
    )
    .default("\"30s\"")
    .script("DRBD_READY_TIMEOUT"),
    key(
        "drbd.after_sb_0pri",
        Choice(&["disconnect", "discard-zero-changes"]),
        "After a split brain with no primary left: wait for a person, or let a side that wrote nothing follow the other.",
    )
    .default("\"disconnect\""),
    key(
        "drbd.after_sb_1pri",
        Choice(&[
            "disconnect",
            "discard-secondary",
            "consensus",
            "call-pri-lost-after-sb",
        ]),
        "After a split brain with one primary left. Anything but disconnect throws writes away unasked.",
    )
    .default("\"disconnect\""),
    key(
        "drbd.after_sb_2pri",
        Choice(&["disconnect", "call-pri-lost-after-sb"]),
        "After a split brain with two primaries. Anything but disconnect throws writes away unasked.",
    )
    .default("\"disconnect\""),
    key(
        "drbd.verify_alg",
        Choice(VERIFY_ALGS),
        "The digest that an online verification compares the two copies by.",
    )
    .default("\"sha256\""),
    key(
        "drbd.cram_hmac_alg",
        Choice(&["sha256", "md5", "sha1", "sha224", "sha384", "sha512"]),
        "The digest that the nodes prove the shared secret with.",
    )
    .default("\"sha256\""),
    key(
        "drbd.shared_secret_file",
        Path,
        "A file of mode 0600 whose first line, of at most 63 characters, is the secret that both nodes must know. Without it DRBD trusts whoever connects.",
    )
    .optional("\"/etc/two-node-ha.drbd-secret\""),
    key(
        "drbd.resync_max_rate",
        Size,
        "How much a resync may transfer in a second, so that it does not crowd out the database.",
    )
    .optional("\"100MiB\""),
    key(
        "drbd.resync_min_rate",
        Size,
        "How much a resync may transfer in a second beside a database that writes, or more where there is room. While it lasts there is nothing to fail over to, and DRBD's own default of 250 KiB makes that long.",
    )
    .default("\"10MiB\""),
    // [corosync]
    key(
        "corosync.transport",
        Choice(&["knet", "udpu"]),
        "knet encrypts and authenticates. udpu does neither: anybody on the network can stop the cluster.",
    )
    .default("\"knet\"")
    .script("transport:udpu"),
    key("corosync.port", PORT, "UDP port. A second link takes the next one.")
        .default("5405")
        .script("mcastport: 5405"),
    key(
        "corosync.crypto_cipher",
        Choice(&["aes256", "aes192", "aes128", "none"]),
        "The cipher of knet. With transport = \"udpu\" there is only \"none\".",
    )
    .default("\"aes256\"")
    .script("secauth: off"),
    key(
        "corosync.crypto_hash",
        Choice(&["sha256", "sha384", "sha512", "none"]),
        "The digest that authenticates knet's packets. With transport = \"udpu\" there is only \"none\".",
    )
    .default("\"sha256\"")
    .script("secauth: off"),
    key(
        "corosync.token",
        Duration,
        "How long a node may stay silent until it counts as lost.",
    )
    .default("\"3s\""),
    key(
        "corosync.consensus",
        Duration,
        "How long the node that is left then waits for the other's consent to the new membership: not longer than token.",
    )
    .derived("a fifth of token, from 200ms to 2s", "\"600ms\""),
    // [pacemaker]
    key("pacemaker.drbd_resource", Text, "Name of the DRBD resource in Pacemaker.")
        .default("\"drbd_res\"")
        .script("primitive drbd_res"),
    key(
        "pacemaker.drbd_clone",
        Text,
        "Name of the promotable clone over it.",
    )
    .default("\"drbd_master_slave\"")
    .script("ms drbd_master_slave"),
    key("pacemaker.fs_resource", Text, "Name of the file system resource.")
        .default("\"fs_res\"")
        .script("primitive fs_res"),
    key(
        "pacemaker.failover_resource",
        Text,
        "Name of the resource that holds the voter's role.",
    )
    .default("\"ha_k8s_failover_service\"")
    .script("primitive ha_k8s_failover_service"),
    key(
        "pacemaker.monitor_promoted",
        Duration,
        "How often DRBD is looked at where it is primary.",
    )
    .default("\"29s\"")
    .script("op monitor interval=29s role=Master"),
    key(
        "pacemaker.monitor_unpromoted",
        Duration,
        "The same where it is secondary. Pacemaker wants the two to differ.",
    )
    .default("\"31s\"")
    .script("op monitor interval=31s role=Slave"),
    key(
        "pacemaker.promote_timeout",
        Duration,
        "How long a promotion may take, fencing included; above hooks.fence_peer_deadline.",
    )
    .default("\"90s\""),
    key(
        "pacemaker.failover_start_timeout",
        Duration,
        "How long a node may take to become the voter; above peer.silent_timeout, twice k8s.recover_timeout (there are two databases) and k8s.ready_timeout together.",
    )
    .default("\"8min\"")
    .script("op start interval=0 timeout=120"),
    key(
        "pacemaker.failover_stop_timeout",
        Duration,
        "How long a demotion may take before the node is fenced for it; above 1min.",
    )
    .default("\"1min 30s\"")
    .script("op stop interval=0 timeout=30"),
    key(
        "pacemaker.migration_threshold",
        Integer(1, 1_000_000),
        "After how many failures of the voter on one node Pacemaker tries the other.",
    )
    .default("3"),
    key(
        "pacemaker.failure_timeout",
        Duration,
        "After how long without another failure they are forgotten; 0 never.",
    )
    .default("\"10min\""),
    key(
        "pacemaker.no_quorum_policy",
        Choice(&["stop", "ignore"]),
        "What a node without quorum does. ignore lets both nodes start apart from each other.",
    )
    .default("\"stop\"")
    .script("property no-quorum-policy=ignore"),
    // [fencing]
    key(
        "fencing.mode",
        Choice(&["stonith", "constraint", "none"]),
        "stonith powers the lost node off. constraint only forbids it to become primary, as long as it can hear of that. none loses one side's writes in a partition.",
    )
    .default("\"stonith\"")
    .script("property stonith-enabled=false"),
    key(
        "fencing.promote_without_fencing",
        Boolean,
        "With constraint or none: whether a node may become the voter while the other may still be one. Without it the agent waits for a person.",
    )
    .default("false"),
    // [[fencing.device]]
    key(
        "fencing.device.name",
        Text,
        "Name of the device in Pacemaker.",
    )
    .derived("fence_ and the node", "\"fence_haone\""),
    key(
        "fencing.device.agent",
        Text,
        "The fence agent.",
    )
    .required("\"fence_ipmilan\""),
    key(
        "fencing.device.node",
        Text,
        "The node that the device powers off.",
    )
    .required("\"haone\""),
    key(
        "fencing.device.params",
        Params,
        "What the agent needs to know, handed over as it is; `pcs stonith describe AGENT` lists it.",
    )
    .default("{}"),
    key(
        "fencing.device.delay",
        Duration,
        "A head start for this node where each would shoot the other at once.",
    )
    .default("\"0\""),
    // [k8s]
    key("k8s.snap", Text, "The name of the snap.").default("\"k8s\""),
    key(
        "k8s.snap_channel",
        Text,
        "The channel that the snap is to come from.",
    )
    .default("\"1.35-classic/stable\"")
    .script("K8S_SNAP_CHANNEL"),
    key(
        "k8s.services",
        Texts,
        "The snap's services, in the order of their start. None of them starts before the node's role is settled.",
    )
    .default("[\"k8sd\", \"containerd\", \"k8s-dqlite\", \"kube-apiserver\", \"kubelet\", \"kube-controller-manager\", \"kube-proxy\", \"kube-scheduler\"]")
    .script("snap services k8s"),
    key(
        "k8s.datastore_services",
        Texts,
        "Those of them that write a dqlite database.",
    )
    .default("[\"k8s-dqlite\", \"k8sd\"]"),
    key(
        "k8s.k8s_dqlite_dir",
        Path,
        "State directory of k8s-dqlite.",
    )
    .default("\"/var/snap/k8s/common/var/lib/k8s-dqlite\""),
    key("k8s.k8sd_dir", Path, "State directory of k8sd.")
        .default("\"/var/snap/k8s/common/var/lib/k8sd/state\""),
    key(
        "k8s.recovery_dir",
        Path,
        "Where k8s-dqlite's recovery tarballs appear.",
    )
    .default("\"/var/snap/k8s/common\""),
    key("k8s.k8sd_path", Path, "The k8sd program.")
        .default("\"/snap/k8s/current/bin/k8sd\"")
        .script("K8SD_PATH"),
    key(
        "k8s.kubectl_path",
        Path,
        "The snap's kubectl, which asks the API server here whether it is ready.",
    )
    .default("\"/snap/k8s/current/bin/kubectl\""),
    key(
        "k8s.kubeconfig",
        Path,
        "What kubectl is to know of the API server here.",
    )
    .default("\"/etc/kubernetes/admin.conf\""),
    key(
        "k8s.k8sd_log_level",
        Integer(0, 4),
        "How much `k8sd cluster-recover` says.",
    )
    .default("0")
    .script("K8SD_LOG_LEVEL"),
    key("k8s.k8s_dqlite_port", PORT, "TCP port of k8s-dqlite's database.").default("9000"),
    key("k8s.k8sd_port", PORT, "TCP port of k8sd.").default("6400"),
    key(
        "k8s.ready_timeout",
        Duration,
        "How long a started voter may take until its databases answer.",
    )
    .default("\"1min 30s\""),
    key(
        "k8s.recovery",
        Choice(&["native", "k8sd"]),
        "How a node becomes the only voter of the databases: \"native\", in raft's own files, or by \"k8sd\" cluster-recover.",
    )
    .default("\"native\""),
    key(
        "k8s.recover_timeout",
        Duration,
        "How long `k8sd cluster-recover` may take.",
    )
    .default("\"2min\""),
    // [peer]
    key(
        "peer.ssh_user",
        Text,
        "The account on the other node, whose only right is to talk to the agent there.",
    )
    .default("\"two-node-ha\"")
    .script("SSH_USERNAME"),
    key("peer.ssh_port", PORT, "TCP port of ssh.").default("22"),
    key(
        "peer.ssh_options",
        Texts,
        "Options for ssh as in ssh_config(5), such as \"Compression=yes\". What weakens the check of the other node's key is refused.",
    )
    .default("[]")
    .script("SSH_OPTS"),
    key(
        "peer.connect_timeout",
        Duration,
        "How long a connection may take.",
    )
    .default("\"5s\""),
    key(
        "peer.ready_timeout",
        Duration,
        "How long the other node may be silent before the agent complains; it goes on trying.",
    )
    .default("\"1min\"")
    .script("PEER_READY_TIMEOUT"),
    key(
        "peer.silent_timeout",
        Duration,
        "How long a node that is to be the voter waits for the agent of a node that is in the cluster and silent, before it has Pacemaker fence it.",
    )
    .default("\"1min\""),
    // [agent]
    key(
        "agent.log_level",
        Choice(&["error", "warn", "info", "debug"]),
        "How much the agent says.",
    )
    .default("\"info\"")
    .script("DEBUG"),
    key(
        "agent.watchdog",
        Duration,
        "After how long a hung agent is restarted; 0 never.",
    )
    .default("\"10min\""),
    key(
        "agent.health_interval",
        Duration,
        "How often the datastore of a running voter is read. Three reads in a row without an answer make the failover unit fail. 0 never.",
    )
    .default("\"10s\""),
    key(
        "agent.keep_backups",
        Integer(1, 1000),
        "How many replaced databases are kept of each, and how many copies from before a takeover.",
    )
    .default("3"),
    key(
        "agent.keep_tarballs",
        Integer(1, 1000),
        "How many recovery tarballs are kept.",
    )
    .default("3")
    .script("clean_recovery_data"),
    key(
        "agent.repair",
        Choice(&["automatic", "never"]),
        "Whether a takeover mends a database on the volume that is damaged, where nothing is lost by it. The original is kept.",
    )
    .default("\"automatic\""),
    // [hooks]
    key(
        "hooks.fence_peer_deadline",
        Duration,
        "When the fence-peer handler must have answered; below pacemaker.promote_timeout.",
    )
    .default("\"1min\""),
    key(
        "hooks.resync_deadline",
        Duration,
        "When the handlers of a resync must have answered; below the 42 s after which DRBD drops the link.",
    )
    .default("\"20s\""),
    key(
        "hooks.no_copy",
        Choice(&["proceed", "refuse"]),
        "Whether a resync may overwrite data of which no copy could be kept.",
    )
    .default("\"proceed\""),
    key(
        "hooks.copies",
        Integer(0, 1000),
        "How many copies of this node's data from before a resync are kept; 0 makes none.",
    )
    .default("1"),
    key(
        "hooks.copy_dir",
        Path,
        "Where they are kept. On btrfs and XFS the backing file's own file system makes one in no time.",
    )
    .derived(
        ".two-node-ha-copies beside backing_file; /var/lib/two-node-ha/copies with backing_device",
        "\"/opt/.two-node-ha-copies\"",
    ),
    key(
        "hooks.alert_command",
        Path,
        "A program that is run on a split brain, with the resource's name as its argument.",
    )
    .optional("\"/usr/local/sbin/page-someone\""),
    key(
        "hooks.alert_attribute",
        Text,
        "A node attribute of Pacemaker that is set to the handler's name on a split brain.",
    )
    .optional("\"two-node-ha-alert\""),
    key(
        "hooks.on_local_io_error",
        LOSS,
        "What follows when the backing device of this node fails.",
    )
    .default("\"none\""),
    key(
        "hooks.on_pri_lost",
        LOSS,
        "What follows when the other node's data won over this primary's.",
    )
    .default("\"none\""),
    key(
        "hooks.on_pri_lost_after_sb",
        LOSS,
        "The same by a policy for split brains; \"reboot\" where that is \"call-pri-lost-after-sb\".",
    )
    .default("\"none\""),
    key(
        "hooks.on_pri_on_incon_degr",
        LOSS,
        "What follows when a primary has no good data left in reach.",
    )
    .default("\"none\""),
    key(
        "hooks.on_out_of_sync",
        LOSS,
        "What follows when an online verification found differences.",
    )
    .default("\"none\""),
    key(
        "hooks.on_quorum_lost",
        LOSS,
        "What follows when DRBD 9 has lost its own quorum.",
    )
    .default("\"none\""),
];
