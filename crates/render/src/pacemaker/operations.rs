//! What crmsh and pcs have in common: lines of shell words, `NAME=VALUE` among them.

use super::{Operation, Pair, time};

/// ` KEYWORD NAME=VALUE …` on a line of its own; nothing without pairs.
pub(super) fn pairs(out: &mut String, keyword: &str, pairs: &[Pair]) {
    if pairs.is_empty() {
        return;
    }
    *out += &format!(" \\\n    {keyword}");
    assignments(out, pairs);
}

/// ` NAME=VALUE …`
pub(super) fn assignments(out: &mut String, pairs: &[Pair]) {
    for (name, value) in pairs {
        *out += &format!(" {name}={}", shell_word(value));
    }
}

/// An operation on a line of its own; crmsh wants `op` before each, pcs before the first.
pub(super) fn operation(out: &mut String, keyword: &str, o: &Operation) {
    *out += &format!(
        " \\\n    {keyword}{} interval={} timeout={}",
        o.name,
        time(o.interval),
        time(o.timeout)
    );
    if let Some(role) = o.role {
        *out += &format!(" role={role}");
    }
    if let Some(on_fail) = o.on_fail {
        *out += &format!(" on-fail={on_fail}");
    }
}

/// A word that a shell takes as it is, quoted where it must be. crmsh splits its lines by the same
/// rules (Python's shlex).
pub(super) fn shell_word(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,+@%^".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        /// As many words as there are, in one run of the shell.
        #[test]
        fn a_shell_takes_each_word_as_it_was(
            words in prop::collection::vec("[^\\x00]{0,12}|[ -~]{0,12}|[a-z'\"\\\\$`!]{0,6}", 1..40)
        ) {
            let quoted: Vec<_> = words.iter().map(|w| shell_word(w)).collect();
            let script = format!("printf '%s\\0' {}", quoted.join(" "));
            let out = std::process::Command::new("sh").arg("-c").arg(script).output()?;
            let mut expected = Vec::new();
            for word in &words {
                expected.extend_from_slice(word.as_bytes());
                expected.push(0);
            }
            prop_assert_eq!(out.stdout, expected);
        }
    }
}
