//! Diagnostics: what is wrong in a file, where, and what to write instead.

use std::fmt;
use std::ops::Range;

use crate::source::Source;

/// How bad a [`Diagnostic`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but a value gives up safety.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One error or warning.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong, in one sentence without its full stop.
    pub message: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1. One past the line's last character where the end of the line
    /// is meant.
    pub column: usize,
    /// Characters underlined, at least 1.
    pub width: usize,
    /// The key concerned, such as `volume.mount_point`, where there is one.
    pub key: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
    /// The line of the file, with the values of likely secrets starred out: a generator writes
    /// diagnostics into a unit file that everybody may read. Not part of the JSON.
    #[serde(skip)]
    pub source: String,
}

impl Diagnostic {
    /// Points at the bytes `span` of `source`.
    pub(crate) fn new(
        source: &Source<'_>,
        severity: Severity,
        span: Range<usize>,
        message: String,
    ) -> Self {
        let place = source.place(span);
        Self {
            severity,
            message: clean(message),
            line: place.line,
            column: place.column,
            width: place.width,
            key: None,
            help: None,
            source: place.text,
        }
    }

    pub(crate) fn with(mut self, key: Option<String>, help: Option<String>) -> Self {
        self.key = key.map(clean);
        self.help = help.map(clean);
        self
    }
}

/// Names out of the file may hold what would steer a terminal.
fn clean(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "\u{fffd}")
    } else {
        text
    }
}

/// Everything found in one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Diagnostics {
    /// The file's name, as the caller gave it.
    file: String,
    diagnostics: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(crate) fn new(file: &str, mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by_key(|d| (d.line, d.column, d.severity));
        Self {
            file: file.to_owned(),
            diagnostics,
        }
    }

    /// The file's name, as it was given to [`parse`](crate::parse).
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn items(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many of them are errors.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.diagnostics
            .iter()
            .filter(|d| d.severity == Severity::Error)
            .count()
    }

    /// Leaves only the errors.
    pub(crate) fn without_warnings(mut self) -> Self {
        self.diagnostics.retain(|d| d.severity == Severity::Error);
        self
    }
}

impl fmt::Display for Diagnostics {
    /// All of them as a compiler prints them, each ended by a newline, a blank line between two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            let gutter = d.line.to_string().len();
            writeln!(f, "{}: {}", d.severity, d.message)?;
            writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.file, d.line, d.column)?;
            writeln!(f, "{:gutter$} |", "")?;
            writeln!(f, "{} | {}", d.line, d.source)?;
            writeln!(f, "{:gutter$} | {}", "", underline(d))?;
            if let Some(help) = &d.help {
                writeln!(f, "{:gutter$} = help: {help}", "")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// The line below the source line: blanks as wide as what stands before the span (a tab stays a
/// tab, so that it is as wide as above it), then the carets.
fn underline(d: &Diagnostic) -> String {
    let mut out = String::new();
    let mut chars = d.source.chars();
    for c in chars.by_ref().take(d.column - 1) {
        if c == '\t' {
            out.push('\t');
        } else {
            out.extend(std::iter::repeat_n(' ', columns(c)));
        }
    }
    let carets: usize = chars.take(d.width).map(columns).sum();
    out.extend(std::iter::repeat_n('^', carets.max(1)));
    out
}

/// How many columns a terminal gives a character: 0 for combining marks, 2 for the wide scripts.
/// The blocks of Unicode's East Asian Width that matter in names and comments, not the full table:
/// a wrong answer only shifts a caret.
fn columns(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}
