//! Rules for single strings.

use std::net::IpAddr;

use crate::reader::Fault;

/// No control characters: values end up in unit files, on terminals and in XML 1.0, which cannot
/// even escape most of them, nor U+FFFE and U+FFFF.
pub(crate) fn printable(text: &str) -> Result<(), Fault> {
    let bad = |c: &char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}');
    match text.chars().find(bad) {
        Some(c) => Err(format!(
            "a value may not hold the control character U+{:04X}",
            u32::from(c)
        )
        .into()),
        None => Ok(()),
    }
}

/// Any text.
#[allow(clippy::unnecessary_wraps)] // One of the checks, which have one type.
pub(crate) fn anything(_: &str) -> Result<(), Fault> {
    Ok(())
}

fn all(text: &str, allowed: fn(char) -> bool) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(format!("`{c}` is not allowed in it")),
        None => Ok(()),
    }
}

fn host(text: &str, what: &str, most: usize) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` is no {what}: {why}"));
    all(text, |c| c.is_ascii_alphanumeric() || c == '-' || c == '.').map_err(|w| fault(&w))?;
    if text.len() > most {
        return Err(fault(&format!("it is longer than {most} characters")));
    }
    for label in text.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(fault("between its dots must stand 1 to 63 characters"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(fault("a part of it starts or ends with `-`"));
        }
    }
    if text.parse::<IpAddr>().is_ok() {
        return Err(fault("it is an address"));
    }
    Ok(())
}

/// A name that Kubernetes takes for a node: an RFC 1123 name in small letters.
pub(crate) fn node(text: &str) -> Result<(), Fault> {
    host(text, "node name", 63)?;
    if text.bytes().any(|b| b.is_ascii_uppercase()) {
        let small = text.to_ascii_lowercase();
        return Err(Fault::from(format!(
            "`{text}` is no node name: Kubernetes wants small letters"
        ))
        .help(format!(
            "name = \"{small}\", with hostname = \"{text}\" if that is what `uname -n` prints"
        )));
    }
    Ok(())
}

/// What `uname -n` can print and DRBD can match: 64 is the kernel's `__NEW_UTS_LEN`.
pub(crate) fn hostname(text: &str) -> Result<(), Fault> {
    host(text, "host name", 64)
}

/// Corosync's cluster name; Pacemaker and fence agents see it as an attribute.
pub(crate) fn cluster(text: &str) -> Result<(), Fault> {
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })
    .and_then(|()| {
        if text.len() > 64 {
            return Err("it is longer than 64 characters".to_owned());
        }
        Ok(())
    })
    .map_err(|why| format!("`{text}` is no cluster name: {why}").into())
}

/// A DRBD resource: it becomes a file name, an argument of drbdadm and part of a unit's name.
pub(crate) fn drbd_resource(text: &str) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` is no DRBD resource name: {why}"));
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })
    .map_err(|why| fault(&why))?;
    if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Err(fault("it must start with a letter"));
    }
    if text.len() > 48 {
        return Err(fault("it is longer than 48 characters"));
    }
    if text == "all" {
        return Err(fault("drbdadm takes it for every resource"));
    }
    Ok(())
}

/// The id of an element of Pacemaker's CIB: an XML name without a colon, which crmsh and pcs would
/// trip over.
pub(crate) fn cib_id(text: &str) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` cannot name a resource: {why}"));
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
    })
    .map_err(|why| fault(&why))?;
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err(fault("it must start with a letter"));
    }
    if text.len() > 128 {
        return Err(fault("it is longer than 128 characters"));
    }
    // Identifiers are shared by all elements of the CIB; these are the constraints'.
    const TAKEN: [&str; 5] = [
        "fs_drbd_colo",
        "fs_failover_colo",
        "fs_after_drbd",
        "failover_after_fs",
        "cib-bootstrap-options",
    ];
    if TAKEN.contains(&text) {
        return Err(fault("a constraint has that name"));
    }
    Ok(())
}

/// A fence agent without the `stonith:` of Pacemaker.
pub(crate) fn fence_agent(text: &str) -> Result<(), Fault> {
    if let Some(agent) = text.strip_prefix("stonith:") {
        return Err(
            Fault::from("the agent goes without `stonith:`").help(format!("agent = \"{agent}\""))
        );
    }
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
    })
    .map_err(|why| format!("`{text}` is no fence agent: {why}").into())
}

/// The name of a fence agent's parameter.
pub(crate) fn fence_param(text: &str) -> Result<(), Fault> {
    match text {
        "pcmk_host_list" => {
            Err(Fault::from("`pcmk_host_list` follows from the device's `node`").help("remove it"))
        }
        "pcmk_delay_base" => Err(Fault::from("`pcmk_delay_base` has a key of its own")
            .help("write delay = \"5s\" in [[fencing.device]]")),
        _ => all(text, |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
        })
        .and_then(|()| {
            if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                return Ok(());
            }
            Err("it must start with a letter".to_owned())
        })
        .map_err(|why| format!("`{text}` is no parameter name: {why}").into()),
    }
}

/// A snap's name, with the key of a parallel installation behind `_`.
pub(crate) fn snap(text: &str) -> Result<(), Fault> {
    all(text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
    })
    .map_err(|why| format!("`{text}` is no snap name: {why}").into())
}

/// `TRACK/RISK[/BRANCH]`.
pub(crate) fn snap_channel(text: &str) -> Result<(), Fault> {
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/')
    })
    .and_then(|()| {
        if text.split('/').any(str::is_empty) {
            return Err("a part of it is empty".to_owned());
        }
        Ok(())
    })
    .map_err(|why| format!("`{text}` is no channel: {why}").into())
}

/// A service of the snap.
pub(crate) fn service(text: &str) -> Result<(), Fault> {
    if let Some(service) = text
        .strip_prefix("snap.")
        .or_else(|| text.strip_prefix("k8s."))
    {
        let service = service.strip_prefix("k8s.").unwrap_or(service);
        let service = service.strip_suffix(".service").unwrap_or(service);
        return Err(Fault::from(format!(
            "`{text}`: services go without the name of the snap"
        ))
        .help(format!("write \"{service}\"")));
    }
    all(text, |c| c.is_ascii_alphanumeric() || c == '-')
        .map_err(|why| format!("`{text}` is no service of a snap: {why}").into())
}

/// A node attribute of Pacemaker: it becomes the name of an XML attribute's value, and an argument.
pub(crate) fn attribute(text: &str) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` is no name of a node attribute: {why}"));
    all(text, |c| {
        c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '#')
    })
    .map_err(|why| fault(&why))?;
    if text.starts_with(['-', '.']) {
        return Err(fault("it must start with a letter, a digit, _ or #"));
    }
    if text.len() > 64 {
        return Err(fault("it is longer than 64 characters"));
    }
    Ok(())
}

/// A login name that adduser would take.
pub(crate) fn user(text: &str) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` is no user name: {why}"));
    all(text, |c| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
    })
    .map_err(|why| fault(&why))?;
    if !text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') {
        return Err(fault("it must start with a small letter"));
    }
    if text.len() > 32 {
        return Err(fault("it is longer than 32 characters"));
    }
    Ok(())
}

/// One mount option; they are joined by commas.
pub(crate) fn mount_option(text: &str) -> Result<(), Fault> {
    if text.contains(',') {
        return Err(Fault::from(format!("`{text}` is more than one option"))
            .help("write each as a string of its own"));
    }
    if text.split('=').next() == Some("ro") {
        return Err("a voter cannot write to a volume mounted `ro`".into());
    }
    all(text, |c| {
        c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\')
    })
    .map_err(|why| format!("`{text}` is no mount option: {why}").into())
}

/// An absolute path in its shortest form, which two paths must have to be compared.
pub(crate) fn path(text: &str) -> Result<(), Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` {why}"));
    if !text.starts_with('/') {
        return Err(fault("is not an absolute path"));
    }
    if text.len() > 4095 || text.split('/').any(|part| part.len() > 255) {
        return Err("the path is longer than Linux allows".into());
    }
    if text == "/" {
        return Err(fault("is the root directory"));
    }
    let plain: Vec<_> = text
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if plain.contains(&"..") {
        return Err(fault("holds `..`").help("write the path without it"));
    }
    let plain = format!("/{}", plain.join("/"));
    if plain != text {
        return Err(fault("is not in its shortest form").help(format!("write \"{plain}\"")));
    }
    Ok(())
}

/// An address that a node can have.
pub(crate) fn address(text: &str) -> Result<IpAddr, Fault> {
    let fault = |why: &str| Fault::from(format!("`{text}` {why}"));
    let Ok(address) = text.parse::<IpAddr>() else {
        let bare = text.trim_start_matches('[');
        let bare = bare.split([']', '/', '%']).next().unwrap_or(bare);
        let bare = match bare.rsplit_once(':') {
            Some((v4, _port)) if v4.contains('.') => v4,
            _ => bare,
        };
        let f = fault("is not an IPv4 or IPv6 address");
        return Err(match bare.parse::<IpAddr>() {
            Ok(_) => f.help(format!("only the address: \"{bare}\"")),
            Err(_) => f,
        });
    };
    let bad = match address {
        IpAddr::V4(v4) => v4.is_broadcast() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some(),
    };
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || bad {
        return Err(fault(
            "is not an address at which the other node can reach this one",
        ));
    }
    Ok(address)
}

/// A name below `/dev` that udev can give: systemd's udev replaces any other character.
pub(crate) fn dev_symlink(text: &str) -> Result<(), Fault> {
    let Some(name) = text.strip_prefix("/dev/") else {
        return Err(format!("`{text}` is not below /dev").into());
    };
    let taken = |prefix: &str| {
        let number = name.strip_prefix(prefix);
        number.is_some_and(|n| n.is_empty() || n.bytes().all(|b| b.is_ascii_digit()))
    };
    if taken("loop") || taken("drbd") || name == "loop-control" || name.starts_with("disk/") {
        return Err(format!("`{text}` is a name that the kernel or udev gives itself").into());
    }
    all(name, |c| {
        c.is_ascii_alphanumeric()
            || matches!(c, '#' | '+' | '-' | '.' | ':' | '=' | '@' | '_' | '/')
    })
    .map_err(|why| format!("`{text}` is no name that udev can give: {why}").into())
}

/// A block device that may lie under DRBD. drbd.conf(5) quotes strings, but has no way to write a
/// quote or a newline.
pub(crate) fn backing_device(text: &str) -> Result<(), Fault> {
    if !text.starts_with("/dev/") {
        return Err(
            Fault::from(format!("`{text}` is not below /dev")).help("a file goes to backing_file")
        );
    }
    if text.starts_with("/dev/drbd") {
        return Err(format!("`{text}` is a DRBD device itself").into());
    }
    fits_a_unit(text, "", ".device")?;
    conf_string(text)
}

/// A string that can be quoted in drbd.conf and corosync.conf.
pub(crate) fn conf_string(text: &str) -> Result<(), Fault> {
    match text.chars().find(|c| matches!(c, '"' | '\\')) {
        Some(c) => Err(format!("`{c}` cannot be written in the configuration of DRBD").into()),
        None => Ok(()),
    }
}

/// Directories that hold the system: the volume hides whatever it is mounted over.
pub(crate) fn mount_point(text: &str) -> Result<(), Fault> {
    const ITSELF: [&str; 12] = [
        "/home",
        "/media",
        "/mnt",
        "/opt",
        "/root",
        "/snap",
        "/srv",
        "/tmp",
        "/var",
        "/var/lib",
        "/var/log",
        "/var/snap",
    ];
    const WITHIN: [&str; 14] = [
        "/bin",
        "/boot",
        "/dev",
        "/efi",
        "/etc",
        "/lib",
        "/lib32",
        "/lib64",
        "/lost+found",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
    ];
    if ITSELF.contains(&text) || WITHIN.iter().any(|dir| within(text, dir)) {
        return Err(Fault::from(format!("`{text}` belongs to the system"))
            .help("choose a directory of its own, such as /mnt/drbd0"));
    }
    Ok(())
}

/// Directories that are empty after a boot, or are not on a disk.
pub(crate) fn backing_file(text: &str) -> Result<(), Fault> {
    if within(text, "/dev") {
        return Err(Fault::from(format!("`{text}` is a device, not a file"))
            .help("a device goes to backing_device"));
    }
    const NOT_KEPT: [&str; 5] = ["/proc", "/run", "/sys", "/tmp", "/var/tmp"];
    if let Some(dir) = NOT_KEPT.iter().find(|dir| within(text, dir)) {
        return Err(format!("`{text}`: what lies in {dir} does not last").into());
    }
    fits_a_unit(text, "two-node-ha-loop@", ".service")
}

/// Whether systemd has a unit for a path: the name of one has 255 characters at most, and each that
/// is neither a letter, a digit nor one of `:_.` takes four of them.
fn fits_a_unit(path: &str, before: &str, after: &str) -> Result<(), Fault> {
    const MOST: usize = 255;
    let escaped: usize = path
        .trim_start_matches('/')
        .bytes()
        .enumerate()
        .map(|(i, byte)| match byte {
            b'/' | b':' | b'_' => 1,
            b'.' if i > 0 => 1,
            byte if byte.is_ascii_alphanumeric() => 1,
            _ => 4,
        })
        .sum();
    let length = before.len() + escaped + after.len();
    if length <= MOST {
        return Ok(());
    }
    Err(Fault::from(format!(
        "the path is too long: the name of its unit has {length} characters, and systemd takes {MOST}"
    ))
    .help("move it to a shorter path, or one without such characters as `-`, each of which takes four"))
}

/// Whether `path` is `dir` or lies in it. Both are in their shortest form.
pub(crate) fn within(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `Option=value` for `ssh -o`, as long as it leaves the check of the peer's host key alone.
pub(crate) fn ssh_option(text: &str) -> Result<(), Fault> {
    if let Some(option) = text.strip_prefix('-') {
        let option = option.strip_prefix('o').unwrap_or(option).trim_start();
        return Err(Fault::from(format!("`{text}`: options go without `-o`"))
            .help(format!("write \"{option}\"")));
    }
    let (name, value) = match text.split_once(['=', ' ']) {
        Some((name, value)) => (name.trim(), value.trim_start_matches(['=', ' ']).trim()),
        None => ("", ""),
    };
    if name.is_empty() || value.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(Fault::from(format!("`{text}` is no option of ssh"))
            .help("write \"Option=value\" as in ssh_config(5)"));
    }
    let value = value.trim_matches('"').to_ascii_lowercase();
    let weakens = match name.to_ascii_lowercase().as_str() {
        "stricthostkeychecking" => !matches!(value.as_str(), "yes" | "true"),
        "nohostauthenticationforlocalhost" | "verifyhostkeydns" | "updatehostkeys" => {
            !matches!(value.as_str(), "no" | "false")
        }
        "userknownhostsfile"
        | "globalknownhostsfile"
        | "knownhostscommand"
        | "hostkeyalias"
        | "include" => true,
        _ => false,
    };
    if weakens {
        return Err(Fault::from(format!(
            "`{name}` would let another machine pass for the other node"
        ))
        .help("remove it: `two-node-ha peer setup` pins the other node's key"));
    }
    if name.eq_ignore_ascii_case("batchmode") && !matches!(value.as_str(), "yes" | "true") {
        return Err("`BatchMode` must stay on: nobody is there to answer ssh's questions".into());
    }
    Ok(())
}
