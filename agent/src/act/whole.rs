//! Whether a file that the snap writes in place, and does not sync, is whole.
//!
//! k8sd truncates `daemon.yaml` and writes it again: killed in between, or cut off before the disk has it,
//! it leaves the beginning of the file, or nothing of it, and does not start with that. Each check knows
//! every such beginning, by the end that it lacks.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// More than any of these files has.
const LARGEST: usize = 1 << 20;

/// Whether a file of this name is whole, as far as it can be told; why not, in words.
///
/// # Errors
/// What it lacks.
pub(super) fn check(name: &str, content: &[u8]) -> Result<(), String> {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file.rsplit_once('.') {
        _ if file == "daemon.yaml" => daemon(content).map(drop),
        Some((_, "crt" | "key")) => pem(content),
        Some((_, "yaml")) if name.starts_with("truststore/") => trusted(content),
        _ => Ok(()),
    }
}

/// What `daemon.yaml` says of the node (microcluster, internal/config/daemon.go).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Daemon {
    /// The member's name, which need not be Pacemaker's.
    pub(super) name: String,
    /// Where it listens, as `host:port`.
    pub(super) address: String,
}

/// Reads a whole `daemon.yaml`.
///
/// # Errors
/// What it lacks.
pub(super) fn daemon(content: &[u8]) -> Result<Daemon, String> {
    let mut values = values(content)?;
    let mut value = |key: &str| match values.remove(key) {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) | None => Err(format!("it has no `{key}`")),
    };
    Ok(Daemon {
        name: value("name")?,
        address: value("address")?,
    })
}

/// The text of a `daemon.yaml`; in quotes, since an IPv6 address begins with a bracket.
pub(super) fn daemon_text(name: &str, address: &str) -> String {
    format!("name: \"{name}\"\naddress: \"{address}\"\nservers: {{}}\n")
}

/// Certificates and keys: each block that begins ends. What is no PEM at all is not judged.
fn pem(content: &[u8]) -> Result<(), String> {
    const BEGIN: &str = "-----BEGIN ";
    let text = text(content)?;
    if BEGIN.starts_with(text) {
        return Err("nothing is in it, or no more than how it begins".into());
    }
    let Some((_, last)) = text.rsplit_once(BEGIN) else {
        return Ok(());
    };
    let Some((label, rest)) = last.split_once("-----") else {
        return Err("its last block does not begin as a whole one does".into());
    };
    if rest.trim_end().ends_with(&format!("-----END {label}-----")) {
        Ok(())
    } else {
        Err(format!("its last block, {label}, does not end"))
    }
}

/// A member in the trust store: name, address and certificate. What has none of them is not judged.
fn trusted(content: &[u8]) -> Result<(), String> {
    let text = text(content)?;
    if !text.ends_with('\n') {
        return Err("it does not end with the end of a line".into());
    }
    let is_one = ["name:", "address:", "certificate:"].map(|key| text.contains(key));
    if is_one == [false; 3] {
        return Ok(());
    }
    let values = values(content)?;
    for key in ["name", "address", "certificate"] {
        if values.get(key).is_none_or(String::is_empty) {
            return Err(format!("it has no `{key}`"));
        }
    }
    values
        .get("certificate")
        .map_or(Ok(()), |c| pem(c.as_bytes()))
}

/// The top-level keys of a mapping that have a single value.
fn values(content: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = text(content)?;
    // Whoever writes YAML ends its last line: one that does not end is the beginning of one.
    if !text.ends_with('\n') {
        return Err("it does not end with the end of a line".into());
    }
    let (mut values, mut depth, mut key) = (BTreeMap::new(), 0_u32, None);
    for event in Parser::new_from_str(text) {
        match event.map_err(|error| format!("it is no YAML: {error}"))?.0 {
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                if depth == 1 {
                    key = None;
                }
                depth += 1;
            }
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            Event::Scalar(value, ..) if depth == 1 => match key.take() {
                None => key = Some(value.into_owned()),
                Some(key) => drop(values.insert(key, value.into_owned())),
            },
            Event::Scalar(..) | Event::Alias(..) => {}
            _ => {}
        }
    }
    Ok(values)
}

fn text(content: &[u8]) -> Result<&str, String> {
    if content.is_empty() {
        return Err("it is empty".into());
    }
    if content.len() > LARGEST {
        return Err(format!("it is longer than {LARGEST} bytes"));
    }
    std::str::from_utf8(content).map_err(|_| "it is no text".into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const DAEMON: &str = "name: haone\naddress: 10.0.0.1:6400\nservers: {}\n";
    pub const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n8/w=\n-----END CERTIFICATE-----\n";
    const TRUSTED: &str = "name: haone\naddress: 10.0.0.1:6400\ncertificate: |\n  \
                           -----BEGIN CERTIFICATE-----\n  MIIB\n  -----END CERTIFICATE-----\n";

    /// The shortest that serves as the whole one does.
    fn needs(name: &str, whole: &str) -> usize {
        match name {
            // What else listens is not known any more; k8sd starts.
            "daemon.yaml" => whole.find("servers").unwrap(),
            // The end of the last line.
            "server.crt" | "cluster.key" => whole.len() - 1,
            _ => whole.len(),
        }
    }

    #[test]
    fn a_file_that_was_cut_off_anywhere_is_known_by_what_it_lacks() {
        let key = PEM.replace("CERTIFICATE", "EC PRIVATE KEY");
        let chain = PEM.to_owned() + PEM;
        for (name, whole) in [
            ("daemon.yaml", DAEMON),
            ("daemon.yaml", &daemon_text("haone", "[fd00::1]:6400")),
            ("server.crt", PEM),
            ("cluster.key", &key),
            ("truststore/haone.yaml", TRUSTED),
        ] {
            for length in 0..=whole.len() {
                let cut = &whole.as_bytes()[..length];
                let is_whole = length == whole.len()
                    || length >= needs(name, whole)
                        && (name != "daemon.yaml" || cut.ends_with(b"\n"));
                assert_eq!(check(name, cut).is_ok(), is_whole, "{name}, {length} bytes");
            }
        }
        check("server.crt", chain.as_bytes()).unwrap();
    }

    #[test]
    fn the_name_and_the_address_are_read_however_they_are_quoted_and_from_nowhere_else() {
        let daemon = |text: &str| daemon(text.as_bytes()).map(|d| (d.name, d.address));
        let expected = Ok(("haone".to_owned(), "[fd00::1]:6400".to_owned()));
        assert_eq!(daemon(&daemon_text("haone", "[fd00::1]:6400")), expected);
        let theirs = "servers:\n  x:\n    address: 1.2.3.4:5\n    name: y\naddress: '[fd00::1]:6400'\n\
                      name: haone\n";
        assert_eq!(daemon(theirs), expected);
        for wrong in [
            "servers:\n  x:\n    address: 1.2.3.4:5\n    name: y\n",
            "name: haone\n",
            "name:\naddress: \"\"\n",
            "- name: haone\n- address: 1.2.3.4:5\n",
            "name: [\naddress\n",
            "\0\0\0\0\n",
        ] {
            daemon(wrong).unwrap_err();
        }
    }

    #[test]
    fn what_is_none_of_these_files_is_not_judged() {
        for (name, content) in [
            ("server.crt", "Bag Attributes\n"),
            ("truststore/x.yaml", "x\n"),
            ("failure-domain", ""),
            ("database/cluster.yaml", ""),
        ] {
            check(name, content.as_bytes()).unwrap();
        }
    }
}
