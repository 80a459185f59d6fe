//! What a lane writes on its standard output: what its scenarios print, and verdicts among it.

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// For whoever reads along.
    Text(String),
    /// The scenario has proved what it is to prove.
    Passed,
    /// It has not; why.
    Failed(String),
}

/// Begins a verdict: a control character that no program prints by accident.
const MARK: char = '\u{1e}';

impl Line {
    /// Without the newline; a newline within stays one line.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Passed => format!("{MARK}passed"),
            Self::Failed(why) => format!("{MARK}failed {}", why.replace('\n', &MARK.to_string())),
        }
    }

    /// The line, without its newline.
    #[must_use]
    pub fn decode(line: &str) -> Self {
        let verdict = line.strip_prefix(MARK);
        match (verdict, verdict.and_then(|v| v.strip_prefix("failed "))) {
            (_, Some(why)) => Self::Failed(why.replace(MARK, "\n")),
            (Some("passed"), None) => Self::Passed,
            (Some(_) | None, None) => Self::Text(line.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_comes_through_a_pipe_as_one_line_whatever_is_in_it() {
        for line in [
            Line::Passed,
            Line::Failed("one\ntwo\n\nfour".to_owned()),
            Line::Failed(String::new()),
            Line::Text("failed it has not".to_owned()),
        ] {
            let encoded = line.encode();
            assert!(!encoded.contains('\n'), "{encoded:?}");
            assert_eq!(Line::decode(&encoded), line);
        }
    }
}
