//! Names of units made from paths and other strings, as systemd makes them.

use std::fmt::Write as _;

/// The longest name of a unit, its suffix included (`UNIT_NAME_MAX` in systemd's `unit-name.h`,
/// which counts the terminating NUL).
pub const UNIT_NAME_MAX: usize = 255;

/// `systemd-escape STRING`: `/` becomes `-`, whatever may not stand in a unit's name becomes
/// `\xNN`, and so do `-`, `\` and a leading dot. Undone by the specifier `%I`.
#[must_use]
pub fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for (i, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if i == 0 => hex(&mut out, byte),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b':' | b'_' | b'.' => {
                out.push(char::from(byte));
            }
            _ => hex(&mut out, byte),
        }
    }
    out
}

/// `systemd-escape --path PATH`: the path without doubled, leading and trailing slashes and
/// without `.` components, then as [`string`]; `/` alone is `-`. Undone by `%f`.
///
/// `None` for what has no such name: a relative path, or one with a `..` component.
#[must_use]
pub fn path(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let mut simple = String::with_capacity(rest.len());
    for component in rest.split('/') {
        match component {
            "" | "." => {}
            ".." => return None,
            name => {
                if !simple.is_empty() {
                    simple.push('/');
                }
                simple.push_str(name);
            }
        }
    }
    if simple.is_empty() {
        return Some("-".to_owned());
    }
    Some(string(&simple))
}

fn hex(out: &mut String, byte: u8) {
    // Writing into a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    #[test]
    fn paths_are_escaped_as_the_manual_of_systemd_says() {
        let cases = [
            ("/", Some("-")),
            ("//", Some("-")),
            ("/opt/drbd0-backstore", Some(r"opt-drbd0\x2dbackstore")),
            ("/dev//sda/./", Some("dev-sda")),
            ("/.hidden", Some(r"\x2ehidden")),
            ("/a b%c\\d/ä", Some(r"a\x20b\x25c\x5cd-\xc3\xa4")),
            ("relative", None),
            ("/a/../b", None),
        ];
        for (input, expected) in cases {
            assert_eq!(path(input).as_deref(), expected, "{input:?}");
        }
    }

    /// Runs the real program over many names at once; `None` where systemd is not installed.
    fn systemd_escape(mode: &[&str], inputs: &[String]) -> Option<Vec<String>> {
        let output = match Command::new("systemd-escape")
            .args(mode)
            .arg("--")
            .args(inputs)
            .output()
        {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: systemd-escape is not installed, nothing to compare with");
                return None;
            }
            Err(error) => panic!("systemd-escape: {error}"),
        };
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.trim_end().split(' ').map(str::to_owned).collect())
    }

    /// `count` random strings of printable and other characters, the awkward ones often.
    fn samples(count: usize, pattern: &str) -> Vec<String> {
        let mut runner = TestRunner::deterministic();
        let strategy = proptest::string::string_regex(pattern).unwrap();
        (0..count)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect()
    }

    #[test]
    fn random_paths_are_escaped_byte_for_byte_as_systemd_escape_does() {
        let inputs: Vec<String> = samples(500, r"(/[a-zA-Z0-9._:@%\\ äß€'$-]{0,12}){1,5}/?")
            .into_iter()
            .filter(|p| !p.split('/').any(|c| c == ".."))
            .collect();
        assert!(inputs.len() > 400);
        let Some(expected) = systemd_escape(&["--path"], &inputs) else {
            return;
        };
        assert_eq!(expected.len(), inputs.len());
        for (input, expected) in inputs.iter().zip(expected) {
            assert_eq!(path(input), Some(expected), "{input:?}");
        }
    }

    #[test]
    fn random_strings_are_escaped_byte_for_byte_as_systemd_escape_does() {
        let inputs = samples(300, r"[a-zA-Z0-9._:@%\\ äß€/-]{1,16}");
        let Some(expected) = systemd_escape(&[], &inputs) else {
            return;
        };
        for (input, expected) in inputs.iter().zip(expected) {
            assert_eq!(string(input), expected, "{input:?}");
        }
    }

    proptest! {
        #[test]
        fn an_escaped_string_holds_only_characters_that_a_unit_name_may_hold(text in ".*") {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\".contains(&b);
            let escaped = string(&text);
            prop_assert!(escaped.bytes().all(allowed), "{}", escaped);
        }
    }
}
