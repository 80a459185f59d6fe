//! Routing rules, as `ip -json rule show` lists them.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::{PRIORITY, PROTOCOL};

/// An address family: each has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    pub(super) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// What `ip` calls it.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }

    /// Whether the address is of it.
    pub(super) fn has(self, address: &SocketAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// A number that some versions of iproute2 print as a string, since it may have a name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    /// As it is.
    Plain(u64),
    /// Its digits, or the name that the machine gives it.
    Text(String),
}

impl Number {
    fn is(&self, number: u64) -> bool {
        match self {
            Self::Plain(plain) => *plain == number,
            Self::Text(text) => text.parse() == Ok(number),
        }
    }
}

/// One rule, by what is looked at. What else it has, it has not from us.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Listed {
    pub(super) priority: u32,
    /// Who has added it; not said by a kernel that does not keep it.
    pub(super) protocol: Option<Number>,
    src: Option<String>,
    dst: Option<String>,
    /// Only of a network.
    dstlen: Option<u8>,
    iif: Option<String>,
    ipproto: Option<String>,
    /// A range has two others.
    dport: Option<Number>,
    action: Option<String>,
}

impl Listed {
    /// Whether it has our mark.
    pub(super) fn is_ours(&self) -> bool {
        self.protocol
            .as_ref()
            .is_some_and(|protocol| protocol.is(PROTOCOL.into()))
    }

    /// Whether it is the one that refuses this node's own connections to that address.
    pub(super) fn refuses(&self, address: &SocketAddr) -> bool {
        let text = |field: &Option<String>, wanted: &str| field.as_deref() == Some(wanted);
        let dst = self.dst.as_ref().and_then(|dst| dst.parse::<IpAddr>().ok());
        self.priority == PRIORITY
            && text(&self.src, "all")
            && dst == Some(address.ip())
            && self.dstlen.is_none()
            && text(&self.iif, "lo")
            && text(&self.ipproto, "tcp")
            && self
                .dport
                .as_ref()
                .is_some_and(|port| port.is(address.port().into()))
            && text(&self.action, "unreachable")
    }
}

/// Reads a list. One without any rule is empty, and not even brackets.
pub(super) fn read(text: &[u8]) -> Result<Vec<Listed>, serde_json::Error> {
    if text.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Listed {
        read(format!("[{text}]").as_bytes()).unwrap().remove(0)
    }

    const OURS: &str = r#"{"priority":5,"src":"all","dst":"10.9.0.2","iif":"lo","ipproto":"tcp",
        "dport":6400,"action":"unreachable","protocol":"147"}"#;

    #[test]
    fn a_rule_is_the_one_that_is_wanted_only_if_all_of_it_is() {
        let at = "10.9.0.2:6400".parse().unwrap();
        assert!(one(OURS).refuses(&at));
        for (what, other) in [
            ("10.9.0.2", "10.9.0.3"),
            ("6400", "9000"),
            ("\"lo\"", "\"eth0\""),
            ("tcp", "udp"),
            ("unreachable", "prohibit"),
            (":5,", ":6,"),
            ("\"all\"", "\"10.9.0.1\""),
            ("\"dst\"", "\"dstlen\":24,\"dst\""),
            ("\"dport\":6400", "\"dport_start\":6400,\"dport_end\":6500"),
        ] {
            let changed = OURS.replace(what, other);
            assert_ne!(changed, OURS);
            let rule = one(&changed);
            assert!(!rule.refuses(&at), "{changed}");
            assert!(rule.is_ours(), "and goes with the others");
        }
    }

    #[test]
    fn a_rule_is_ours_by_its_mark_alone_whether_that_is_printed_as_a_number_or_a_string() {
        assert!(one(OURS).is_ours());
        assert!(one(&OURS.replace("\"147\"", "147")).is_ours());
        for protocol in ["\"kernel\"", "\"14\"", "148"] {
            assert!(!one(&OURS.replace("\"147\"", protocol)).is_ours());
        }
        assert!(!one(&OURS.replace(",\"protocol\":\"147\"", "")).is_ours());
    }

    #[test]
    fn a_list_without_any_rule_is_empty_and_what_is_no_list_is_an_error() {
        for empty in ["", "\n", "[]", "[ ]\n"] {
            assert_eq!(read(empty.as_bytes()).unwrap(), []);
        }
        for text in ["0:\tfrom all lookup local", "{}", "[{\"src\":\"all\"}]"] {
            read(text.as_bytes()).unwrap_err();
        }
    }
}
