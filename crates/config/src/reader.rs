//! Typed values out of the parsed TOML. Every getter reports what is wrong and goes on, so that one
//! run finds all errors of a file.
//!
//! A getter answers `None` where there is no usable value: the key is absent without a default, or
//! what stands there has been reported. Whoever asks may then put anything in its place, because a
//! file with an error never becomes a `Config`.

mod tables;
mod values;

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::diag::{Diagnostic, Severity};
use crate::keys::{Key, TABLES};
use crate::source::Source;

/// What is wrong with a value, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self {
            message,
            help: None,
        }
    }
}

impl From<&str> for Fault {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

impl Fault {
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A rule for one string.
pub(crate) type Check = fn(&str) -> Result<(), Fault>;

/// One table of the file; of an array of tables, one item.
#[derive(Clone)]
pub(crate) struct Section<'t> {
    table: Option<&'t DeTable<'t>>,
    keys: &'static [Key],
    name: &'static str,
    index: usize,
    span: Range<usize>,
}

/// A key that the file gives, or should have given.
struct Place {
    path: &'static str,
    index: usize,
    /// Its value; `None` where it is missing.
    span: Option<Range<usize>>,
    usable: bool,
}

pub(crate) struct Reader<'s> {
    pub(crate) source: Source<'s>,
    pub(crate) found: Vec<Diagnostic>,
    places: Vec<Place>,
    headers: Vec<(&'static str, usize, Range<usize>)>,
    /// Lines that are not TOML. Nothing more is said about them, nor about what they may have held.
    broken: Vec<usize>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(source: Source<'s>, found: Vec<Diagnostic>, broken: Vec<usize>) -> Self {
        Self {
            source,
            found,
            places: Vec::new(),
            headers: Vec::new(),
            broken,
        }
    }

    /// Whether every line is TOML: only then does the absence of a key mean something.
    pub(crate) fn whole(&self) -> bool {
        self.broken.is_empty()
    }

    // ---- reporting -------------------------------------------------------------------------

    pub(crate) fn report(
        &mut self,
        severity: Severity,
        span: Range<usize>,
        key: Option<String>,
        fault: Fault,
    ) {
        if !self.whole() && self.broken.contains(&self.source.line_of(span.start)) {
            return;
        }
        let d = Diagnostic::new(&self.source, severity, span, fault.message);
        self.found.push(d.with(key, fault.help));
    }

    /// Reports an error at the value of `path` in the `index`-th table of its name, or at the
    /// table's header where the value is a default.
    pub(crate) fn error_at(&mut self, path: &'static str, index: usize, fault: impl Into<Fault>) {
        let span = self.span(path, index);
        self.report(Severity::Error, span, Some(path.to_owned()), fault.into());
    }

    pub(crate) fn warning_at(&mut self, path: &'static str, index: usize, fault: impl Into<Fault>) {
        let span = self.span(path, index);
        self.report(Severity::Warning, span, Some(path.to_owned()), fault.into());
    }

    /// Whether none of these values has been reported already: a rule about several values speaks
    /// only then.
    pub(crate) fn usable(&self, paths: &[&'static str]) -> bool {
        self.places
            .iter()
            .all(|p| p.usable || !paths.contains(&p.path))
    }

    /// Whether the file gives a value to that key.
    pub(crate) fn given(&self, path: &'static str, index: usize) -> bool {
        self.places
            .iter()
            .any(|p| p.path == path && p.index == index && p.span.is_some())
    }

    /// Notes that a key has no usable value, so that no rule speaks of it.
    pub(crate) fn spoil(&mut self, path: &'static str, index: usize) {
        let place = self
            .places
            .iter_mut()
            .find(|p| p.path == path && p.index == index);
        match place {
            Some(place) => place.usable = false,
            None => self.places.push(Place {
                path,
                index,
                span: None,
                usable: false,
            }),
        }
    }

    fn span(&self, path: &'static str, index: usize) -> Range<usize> {
        // A path without a dot is a table itself.
        let table = path.rsplit_once('.').map_or(path, |(table, _)| table);
        let place = self
            .places
            .iter()
            .find(|p| p.path == path && p.index == index);
        place
            .and_then(|p| p.span.clone())
            .or_else(|| {
                let header = self
                    .headers
                    .iter()
                    .find(|(name, i, _)| *name == table && *i == index);
                header.map(|(_, _, span)| span.clone())
            })
            .unwrap_or_else(|| self.source.end())
    }

    /// Line, from 1, of a value, to be named in a message about another one.
    pub(crate) fn line(&self, path: &'static str, index: usize) -> usize {
        self.source.line_of(self.span(path, index).start) + 1
    }

    fn bad(&mut self, s: &Section<'_>, key: &'static Key, span: Range<usize>, fault: Fault) {
        self.spoil(key.path, s.index);
        self.report(Severity::Error, span, Some(key.path.to_owned()), fault);
    }
}

/// `[volume]`, `[[node]]`: how the table is written.
fn header(name: &str) -> String {
    if TABLES.iter().any(|t| t.name == name && t.array) {
        format!("[[{name}]]")
    } else {
        format!("[{name}]")
    }
}

/// What a value is, for "found …". Values themselves may be secrets and are shown by the source
/// line only.
fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
