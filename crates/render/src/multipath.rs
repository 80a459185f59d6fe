//! multipathd must leave the DRBD device alone: while it holds it, a demotion fails.

/// A file for `/etc/multipath/conf.d`.
#[must_use]
pub fn render() -> String {
    // The guide's "^drbd*" also matches "drb" and everything that starts with it.
    super::header(
        "multipath",
        "/etc/multipath/conf.d/two-node-ha.conf; then `systemctl reload multipathd`.",
    ) + "blacklist {\n    devnode \"^drbd[0-9]+\"\n}\n"
}
