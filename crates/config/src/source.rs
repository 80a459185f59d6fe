//! The text of the file and where a byte of it stands.

use std::cell::OnceCell;
use std::ops::Range;

/// Words that, within a key's name, say that its value had better not be shown. `params` are a fence
/// device's: passwords, as a rule.
const SECRET_WORDS: [&str; 7] = [
    "passw",
    "secret",
    "token",
    "private",
    "community",
    "api_key",
    "params",
];

/// Keys of ours that contain such a word and hold no secret.
const HARMLESS: [&str; 2] = ["shared_secret_file", "token"];

/// The text of the file.
pub(crate) struct Source<'a> {
    pub(crate) text: &'a str,
    /// Byte offset of each line's first byte; made when the first diagnostic needs it, which in a
    /// good file is never.
    starts: OnceCell<Vec<usize>>,
    /// Values known to be secret.
    secrets: Vec<Range<usize>>,
}

/// Where a span stands and what its line looks like.
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) width: usize,
    pub(crate) text: String,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            starts: OnceCell::new(),
            secrets: Vec::new(),
        }
    }

    /// Stars out these bytes wherever their line is shown.
    pub(crate) fn hide(&mut self, span: Range<usize>) {
        self.secrets.push(span);
    }

    fn starts(&self) -> &[usize] {
        self.starts.get_or_init(|| {
            let newlines = self.text.bytes().enumerate().filter(|(_, b)| *b == b'\n');
            std::iter::once(0)
                .chain(newlines.map(|(i, _)| i + 1))
                .collect()
        })
    }

    /// Index, from 0, of the line that byte `offset` is in; the newline belongs to the line it ends.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.starts().partition_point(|s| *s <= offset).max(1) - 1
    }

    pub(crate) fn lines(&self) -> usize {
        self.starts().len()
    }

    /// The bytes of line `index` without its end.
    pub(crate) fn line_span(&self, index: usize) -> Range<usize> {
        let starts = self.starts();
        let start = starts.get(index).copied().unwrap_or(self.text.len());
        let end = starts.get(index + 1).map_or(self.text.len(), |s| s - 1);
        let line = &self.text[start..end];
        start..start + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// Just behind the last line that says something: where a missing table would be added.
    pub(crate) fn end(&self) -> Range<usize> {
        let end = self.text.trim_end().len();
        end..end
    }

    /// Where `span` starts. A span over several lines is cut at the end of its first.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let index = self.line_of(start);
        let line = self.line_span(index);
        let start = start.min(line.end);
        let mut end = span.end.clamp(start, line.end);
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        Place {
            line: index + 1,
            column: self.text[line.start..start].chars().count() + 1,
            width: self.text[start..end].chars().count().max(1),
            text: self.shown(line),
        }
    }

    /// Whether byte `offset` stands below a header such as `[fencing.device.params]`.
    fn within_params(&self, offset: usize) -> bool {
        self.text[..offset]
            .lines()
            .rev()
            .map(str::trim_start)
            .find(|line| line.starts_with('['))
            .is_some_and(|header| header.contains("params"))
    }

    /// A line fit for a terminal: control characters but the tab replaced, secrets starred out,
    /// the number of characters unchanged.
    fn shown(&self, line: Range<usize>) -> String {
        let text = &self.text[line.clone()];
        let known = |i: usize| self.secrets.iter().any(|s| s.contains(&(line.start + i)));
        let guessed = if (0..text.len()).any(known) {
            0..0
        } else if self.within_params(line.start) {
            text.find('=').map_or(0..0, |at| at + 1..text.len())
        } else {
            guessed_secret(text)
        };
        text.char_indices()
            .map(|(i, c)| {
                if c.is_control() && c != '\t' {
                    char::REPLACEMENT_CHARACTER
                } else if (known(i) || guessed.contains(&i))
                    && !matches!(c, ' ' | '\t' | '"' | '\'')
                {
                    '*'
                } else {
                    c
                }
            })
            .collect()
    }
}

/// Whether a line may hold a secret, as far as its words tell.
pub(crate) fn smells_of_a_secret(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    let harmless = HARMLESS.iter().any(|h| lower.trim_start().starts_with(h));
    !harmless && SECRET_WORDS.iter().any(|word| lower.contains(word))
}

/// Everything behind the first `=` that follows a word that smells of a secret. It serves lines that
/// could not be parsed, where no span is known; hiding too much costs nothing.
fn guessed_secret(line: &str) -> Range<usize> {
    let lower = line.to_ascii_lowercase();
    if HARMLESS.iter().any(|h| lower.trim_start().starts_with(h)) {
        return 0..0;
    }
    SECRET_WORDS
        .iter()
        .filter_map(|word| lower.find(word))
        .filter_map(|at| Some(at + lower[at..].find('=')? + 1))
        .min()
        .map_or(0..0, |from| from..line.len())
}
