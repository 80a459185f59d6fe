//! The lines in which two versions of the file differ, fit to be read by everybody.
//!
//! They end up in a unit file and in the journal, while the file itself may be for root alone. So a
//! line is shown in full only where it is known to hold no secret: a header, or one of our keys that
//! is none. Of every other line, its key at most.

use crate::keys::{KEYS, Kind};
use crate::source::smells_of_a_secret;

/// More lines than these say only that it is another file.
const MOST: usize = 40;

/// Longer stretches are not aligned line by line: the work grows with the product of both.
const LONGEST_STRETCH: usize = 400;

/// Each line that is gone as `-  12 | line`, each that is new as `+  12 | line`.
pub(crate) fn lines(before: &[u8], after: &[u8]) -> Vec<String> {
    let (before, after) = (
        String::from_utf8_lossy(before),
        String::from_utf8_lossy(after),
    );
    let old: Vec<&str> = before.lines().collect();
    let new: Vec<&str> = after.lines().collect();
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..]
        .iter()
        .rev()
        .zip(new[head..].iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut out = Vec::new();
    for change in changes(old, new) {
        let (sign, at, line) = match change {
            Change::Gone(at) => ('-', at, old[at]),
            Change::New(at) => ('+', at, new[at]),
        };
        out.push(format!("{sign}{:4} | {}", head + at + 1, shown(line)));
    }
    if out.len() > MOST {
        let more = out.len() - MOST;
        out.truncate(MOST);
        out.push(format!("… and {more} more lines"));
    }
    out
}

/// A line, by its index, that only one of two stretches has.
enum Change {
    Gone(usize),
    New(usize),
}

/// The longest common subsequence stays, the rest has changed.
fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    if old.len() > LONGEST_STRETCH || new.len() > LONGEST_STRETCH {
        let gone = (0..old.len()).map(Change::Gone);
        return gone.chain((0..new.len()).map(Change::New)).collect();
    }
    // `common[i][j]`: how many lines `old[i..]` and `new[j..]` have in common.
    let width = new.len() + 1;
    let mut common = vec![0_u16; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]
        {
            out.push(Change::Gone(i));
            i += 1;
        } else {
            out.push(Change::New(j));
            j += 1;
        }
    }
    out
}

/// As much of a line as everybody may read.
fn shown(line: &str) -> String {
    let text = line.trim();
    if text.is_empty() || is_header(text) {
        return text.to_owned();
    }
    // The rest of a comment may be what was a password once, and a line without a key the middle of
    // one that spans lines.
    let Some((key, _)) = text.split_once('=').filter(|_| !text.starts_with('#')) else {
        return if text.starts_with('#') {
            "# …".to_owned()
        } else {
            "… (no key, not shown)".to_owned()
        };
    };
    let key = key.trim();
    if !is_name(key) {
        return "… (no key, not shown)".to_owned();
    }
    if harmless(key) && !text.contains(char::is_control) && !smells_of_a_secret(text) {
        text.to_owned()
    } else {
        format!("{key} = …")
    }
}

/// `[table]` or `[[table]]`, of plain names.
fn is_header(text: &str) -> bool {
    let inner = text.trim_start_matches('[').trim_end_matches(']');
    text.starts_with('[') && text.ends_with(']') && is_name(inner.trim())
}

/// A bare key, perhaps dotted.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 80
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Whether a key, in whichever table, is one of ours whose value anybody may see. An ssh option can
/// hold a command with whatever that needs.
fn harmless(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    let mut ours = KEYS.iter().filter(|k| k.name() == name).peekable();
    ours.peek().is_some() && ours.all(|k| k.kind != Kind::Params && k.path != "peer.ssh_options")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_was_changed_is_shown_as_it_was_and_as_it_is_with_its_number() {
        let before = "[volume]\nbacking_file = \"/a\"\nmount_point = \"/mnt/x\"\n[drbd]\n";
        let after = "[volume]\nbacking_file = \"/a\"\nmount_pont = \"/mnt/x\"\n[drbd]\nport = 1\n";
        assert_eq!(
            lines(before.as_bytes(), after.as_bytes()),
            [
                "-   3 | mount_point = \"/mnt/x\"",
                "+   3 | mount_pont = …",
                "+   5 | port = 1"
            ]
        );
        assert!(lines(before.as_bytes(), before.as_bytes()).is_empty());
    }

    #[test]
    fn no_secret_is_shown_however_it_is_written() {
        let secret = "correct horse";
        for text in [
            "password = \"correct horse\"",
            "\"password\" = \"correct horse\"",
            "params = { ip = \"10.0.0.1\", password = \"correct horse\" }",
            "params.password = \"correct horse\"",
            "device = [{ agent = \"x\", params = { passwd = \"correct horse\" } }]",
            "agent = \"fence_x\" password = \"correct horse\"",
            "passwd = \"\"\"\ncorrect horse\n\"\"\"",
            "passwd = '''\ncorrect horse = x'''",
            "passwd = '''\n# correct horse'''",
            "# the BMC's is correct horse",
            "ssh_options = [\"ProxyCommand=sshpass -p 'correct horse' ssh x\"]",
            "[fencing.device.params] # correct horse",
            "[correct horse]",
            "snmp_community = \"correct horse\"",
            "login = \"correct horse\"",
        ] {
            for (a, b) in [(text, ""), ("", text)] {
                let shown = lines(a.as_bytes(), b.as_bytes()).join("\n");
                assert!(!shown.contains(secret), "{text}: {shown}");
                assert!(!shown.is_empty());
            }
        }
    }

    #[test]
    fn no_line_can_steer_a_terminal_and_bytes_that_are_no_text_do_no_harm() {
        let shown = lines(b"", b"name = \"\x1b[31m\"\n\xff\xfe = 1\nport = 1\r\n");
        assert_eq!(
            shown,
            [
                "+   1 | name = …",
                "+   2 | … (no key, not shown)",
                "+   3 | port = 1"
            ]
        );
    }

    #[test]
    fn another_file_altogether_ends_in_a_number() {
        let before: String = (0..2000).map(|i| format!("port = {i}\n")).collect();
        let after: String = (0..2000).map(|i| format!("id = {i}\n")).collect();
        let shown = lines(before.as_bytes(), after.as_bytes());
        assert_eq!(shown.len(), MOST + 1);
        assert_eq!(shown[MOST], "… and 3960 more lines");
    }

    /// What the lines say must lead from the one text to the other.
    #[test]
    fn the_lines_lead_from_one_text_to_the_other() {
        proptest::proptest!(|(old: Vec<bool>, new: Vec<bool>)| {
            let text = |of: &[bool]| -> Vec<&'static str> {
                of.iter().map(|b| if *b { "port = 1" } else { "id = 1" }).collect()
            };
            let (old, new) = (text(&old), text(&new));
            let mut left = Vec::new();
            let (mut gone, mut fresh) = (Vec::new(), Vec::new());
            for change in changes(&old, &new) {
                match change {
                    Change::Gone(at) => gone.push(at),
                    Change::New(at) => fresh.push(at),
                }
            }
            let mut stays = old.iter().enumerate().filter(|(i, _)| !gone.contains(i));
            for (at, line) in new.iter().enumerate() {
                if fresh.contains(&at) {
                    left.push(*line);
                } else if let Some((_, kept)) = stays.next() {
                    left.push(kept);
                    proptest::prop_assert_eq!(kept, line);
                }
            }
            proptest::prop_assert!(stays.next().is_none());
            proptest::prop_assert_eq!(left, new);
        });
    }
}
