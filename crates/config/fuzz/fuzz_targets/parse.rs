//! Any bytes: no panic, and every place that is named lies in the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use two_node_ha_config::{Host, decode, parse_with_warnings};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = decode(bytes, "x.toml") else {
        return;
    };
    for host in [Host::Any, Host::Hostname("haone"), Host::Node("hatwo")] {
        let found = match parse_with_warnings(text, "x.toml", host) {
            Ok(parsed) => parsed.warnings,
            Err(found) => found,
        };
        for d in found.items() {
            let line = text.split('\n').nth(d.line - 1).expect("the line exists");
            assert!(d.column >= 1 && d.column <= line.chars().count() + 1);
        }
        let _ = found.to_string();
    }
});
