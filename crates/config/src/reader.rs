//! Typed values out of the parsed TOML. Every getter reports what is wrong and goes on, so that one
//! run finds all errors of a file.
//!
//! A getter answers `None` where there is no usable value: the key is absent without a default, or
//! what stands there has been reported. Whoever asks may then put anything in its place, because a
//! file with an error never becomes a `Config`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diag::{Diagnostic, Severity};
use crate::keys::{Key, Kind, TABLES, keys_of};
use crate::source::Source;
use crate::{names, suggest, units};

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

/// Where a key's value stands.
struct Place {
    path: &'static str,
    index: usize,
    span: Range<usize>,
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
        let mut d = Diagnostic::new(&self.source, severity, span, fault.message);
        d.key = key;
        d.help = fault.help;
        self.found.push(d);
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
            .any(|p| p.path == path && p.index == index)
    }

    fn span(&self, path: &'static str, index: usize) -> Range<usize> {
        let table = path.rsplit_once('.').map_or("", |(table, _)| table);
        let place = self
            .places
            .iter()
            .find(|p| p.path == path && p.index == index);
        place
            .map(|p| p.span.clone())
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
        if let Some(place) = self
            .places
            .iter_mut()
            .find(|p| p.path == key.path && p.index == s.index)
        {
            place.usable = false;
        }
        self.report(Severity::Error, span, Some(key.path.to_owned()), fault);
    }

    // ---- tables ----------------------------------------------------------------------------

    /// Reports tables that are none of ours.
    pub(crate) fn root(&mut self, root: &DeTable<'_>) {
        for (name, value) in root.iter() {
            let text = name.get_ref().as_ref();
            if TABLES.iter().any(|t| t.name == text) {
                continue;
            }
            let help = suggest::closest(text, TABLES.iter().map(|t| t.name))
                .map(|t| format!("did you mean `{t}`?"))
                .or_else(|| self.elsewhere(text, ""));
            let what = if matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_)) {
                "unknown table"
            } else {
                "a key outside of any table:"
            };
            let fault = Fault {
                message: format!("{what} `{text}`"),
                help,
            };
            self.report(Severity::Error, name.span(), Some(text.to_owned()), fault);
        }
    }

    /// The table `name` of `parent`, which may be absent.
    pub(crate) fn section<'t>(
        &mut self,
        parent: Option<&'t DeTable<'t>>,
        name: &'static str,
    ) -> Section<'t> {
        let mut section = Section {
            table: None,
            keys: keys_of(name),
            name,
            index: 0,
            span: self.source.end(),
        };
        if let Some(value) = parent.and_then(|p| p.get(name)) {
            match value.get_ref() {
                DeValue::Table(_) => section = self.open(value, name, 0),
                other => {
                    let fault = Fault::from(format!(
                        "`{name}` must be a table, found {}",
                        article(other)
                    ))
                    .help(format!("write [{name}]"));
                    self.report(Severity::Error, value.span(), Some(name.to_owned()), fault);
                }
            }
        }
        section
    }

    /// The items of the array of tables `name`.
    pub(crate) fn sections<'t>(
        &mut self,
        value: Option<&'t Spanned<DeValue<'t>>>,
        name: &'static str,
    ) -> Vec<Section<'t>> {
        let Some(value) = value else {
            return Vec::new();
        };
        let fault = |other: &DeValue<'_>| {
            Fault::from(format!(
                "`{name}` must be an array of tables, found {}",
                article(other)
            ))
            .help(format!("write [[{name}]], once for each"))
        };
        match value.get_ref() {
            DeValue::Array(items) => {
                let mut sections = Vec::new();
                for item in items.iter() {
                    if item.get_ref().is_table() {
                        sections.push(self.open(item, name, sections.len()));
                    } else {
                        let fault = fault(item.get_ref());
                        self.report(Severity::Error, item.span(), Some(name.to_owned()), fault);
                    }
                }
                sections
            }
            other => {
                self.report(
                    Severity::Error,
                    value.span(),
                    Some(name.to_owned()),
                    fault(other),
                );
                // Its keys are checked all the same.
                if other.is_table() {
                    vec![self.open(value, name, 0)]
                } else {
                    Vec::new()
                }
            }
        }
    }

    fn open<'t>(
        &mut self,
        value: &'t Spanned<DeValue<'t>>,
        name: &'static str,
        index: usize,
    ) -> Section<'t> {
        let keys = keys_of(name);
        let section = Section {
            table: value.get_ref().as_table(),
            keys,
            name,
            index,
            span: value.span(),
        };
        self.headers.push((name, index, value.span()));
        for (key, value) in section.table.into_iter().flat_map(|t| t.iter()) {
            let text = key.get_ref().as_ref();
            if let Some(known) = keys.iter().find(|k| k.name() == text) {
                self.places.push(Place {
                    path: known.path,
                    index,
                    span: value.span(),
                    usable: true,
                });
            } else if !is_table(name, text) {
                let help = suggest::closest(text, keys.iter().map(Key::name))
                    .map(|k| format!("did you mean `{k}`?"))
                    .or_else(|| self.elsewhere(text, name))
                    .unwrap_or_else(|| {
                        let all: Vec<_> = keys.iter().map(Key::name).collect();
                        format!("[{name}] has the keys {}", all.join(", "))
                    });
                let fault = Fault::from(format!("unknown key `{text}` in [{name}]")).help(help);
                self.report(
                    Severity::Error,
                    key.span(),
                    Some(format!("{name}.{text}")),
                    fault,
                );
            }
        }
        section
    }

    /// Where a key that is unknown here belongs: to another table, or to the old script.
    fn elsewhere(&self, text: &str, table: &str) -> Option<String> {
        let keys = || TABLES.iter().flat_map(|t| keys_of(t.name));
        if let Some(key) = keys().find(|k| k.name() == text && k.table() != table) {
            return Some(format!("`{text}` belongs to [{}]", key.table()));
        }
        if text.len() < 4 {
            return None;
        }
        let upper = text.to_ascii_uppercase();
        let key = keys().find(|k| {
            let mut words = k.script.into_iter().flat_map(|s| s.split(", "));
            words.any(|w| w == upper)
        })?;
        Some(format!("{upper} of the script is `{}` here", key.path))
    }

    // ---- values ----------------------------------------------------------------------------

    /// The value of a key, or a report that it is missing.
    fn value<'t>(
        &mut self,
        s: &Section<'t>,
        name: &str,
    ) -> Option<(&'static Key, Option<&'t Spanned<DeValue<'t>>>)> {
        let key = s.keys.iter().find(|k| k.name() == name)?;
        let value = s.table.and_then(|t| t.get(name));
        if value.is_none() && key.required && self.whole() {
            let fault = Fault::from(format!("[{}] lacks its `{name}`", s.name))
                .help(format!("add, for example, {name} = {}", key.example));
            let span = s.span.clone();
            self.report(Severity::Error, span, Some(key.path.to_owned()), fault);
        }
        Some((key, value))
    }

    /// Reports that `value` is not of the kind of `key`.
    fn wrong_kind(&mut self, s: &Section<'_>, key: &'static Key, value: &Spanned<DeValue<'_>>) {
        let fault = Fault::from(format!(
            "`{}` must be {}, found {}",
            key.name(),
            key.kind.describe(),
            article(value.get_ref())
        ))
        .help(format!("for example, {} = {}", key.name(), key.example));
        self.bad(s, key, value.span(), fault);
    }

    /// The string of a key, and where it stands if the file has it.
    fn string<'t>(
        &mut self,
        s: &Section<'t>,
        name: &str,
    ) -> Option<(&'static Key, &'t str, Option<Range<usize>>)> {
        let (key, value) = self.value(s, name)?;
        let Some(value) = value else {
            // Defaults are plain strings, without an escape; a test says so.
            let default = key.default?.trim_matches('"');
            return Some((key, default, None));
        };
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_kind(s, key, value);
            return None;
        };
        if let Err(fault) = names::printable(text) {
            self.bad(s, key, value.span(), fault);
            return None;
        }
        Some((key, text.as_ref(), Some(value.span())))
    }

    /// A string turned into something else by `convert`.
    fn converted<T>(
        &mut self,
        s: &Section<'_>,
        name: &str,
        convert: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let (key, text, span) = self.string(s, name)?;
        match convert(text) {
            Ok(value) => Some(value),
            Err(mut fault) => {
                if fault.help.is_none() {
                    fault.help = Some(format!("for example, {name} = {}", key.example));
                }
                // A default that does not convert is a slip of ours that the tests find.
                let span = span.unwrap_or_else(|| s.span.clone());
                self.bad(s, key, span, fault);
                None
            }
        }
    }

    pub(crate) fn text(&mut self, s: &Section<'_>, name: &str, check: Check) -> Option<String> {
        self.converted(s, name, |text| check(text).map(|()| text.to_owned()))
    }

    pub(crate) fn choice(&mut self, s: &Section<'_>, name: &str) -> Option<&'static str> {
        let key = s.keys.iter().find(|k| k.name() == name)?;
        let Kind::Choice(all) = key.kind else {
            return None;
        };
        self.converted(s, name, |text| {
            all.iter().find(|c| **c == text).copied().ok_or_else(|| {
                let quoted: Vec<_> = all.iter().map(|c| format!("\"{c}\"")).collect();
                let help = match suggest::closest(text, all.iter().copied()) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("it may be {}", quoted.join(", ")),
                };
                Fault::from(format!("`{name}` cannot be \"{text}\"")).help(help)
            })
        })
    }

    /// A duration of at least `least` and at most `most`.
    pub(crate) fn duration(
        &mut self,
        s: &Section<'_>,
        name: &str,
        least: Duration,
        most: Duration,
    ) -> Option<Duration> {
        self.converted(s, name, |text| {
            let value = units::duration(text)
                .map_err(|why| Fault::from(format!("`{name}` is no duration: {why}")))?;
            if value < least || value > most {
                return Err(Fault::from(format!(
                    "`{name}` must be from {} to {}",
                    units::format_duration(least),
                    units::format_duration(most)
                )));
            }
            Ok(value)
        })
    }

    /// A size of at least `least` and at most `most` bytes.
    pub(crate) fn size(
        &mut self,
        s: &Section<'_>,
        name: &str,
        least: u64,
        most: u64,
    ) -> Option<u64> {
        self.converted(s, name, |text| {
            let value = units::size(text)
                .map_err(|why| Fault::from(format!("`{name}` is no size: {why}")))?;
            if value < least || value > most {
                return Err(Fault::from(format!(
                    "`{name}` must be from {} to {}",
                    units::format_size(least),
                    units::format_size(most)
                )));
            }
            Ok(value)
        })
    }

    pub(crate) fn path(&mut self, s: &Section<'_>, name: &str, check: Check) -> Option<PathBuf> {
        self.converted(s, name, |text| {
            names::path(text)?;
            check(text)?;
            Ok(PathBuf::from(text))
        })
    }

    pub(crate) fn address(&mut self, s: &Section<'_>, name: &str) -> Option<IpAddr> {
        self.converted(s, name, names::address)
    }

    pub(crate) fn boolean(&mut self, s: &Section<'_>, name: &str) -> Option<bool> {
        let (key, value) = self.value(s, name)?;
        let Some(value) = value else {
            return key.default.map(|d| d == "true");
        };
        let answer = value.get_ref().as_bool();
        if answer.is_none() {
            self.wrong_kind(s, key, value);
        }
        answer
    }

    pub(crate) fn integer(&mut self, s: &Section<'_>, name: &str) -> Option<u32> {
        let (key, value) = self.value(s, name)?;
        let Kind::Integer(least, most) = key.kind else {
            return None;
        };
        let Some(value) = value else {
            return key.default.and_then(|d| d.parse().ok());
        };
        let DeValue::Integer(digits) = value.get_ref() else {
            self.wrong_kind(s, key, value);
            return None;
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix())
            .ok()
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (least..=most).contains(n));
        if number.is_none() {
            let fault = Fault::from(format!("`{name}` must be from {least} to {most}"))
                .help(format!("for example, {name} = {}", key.example));
            self.bad(s, key, value.span(), fault);
        }
        number
    }

    pub(crate) fn port(&mut self, s: &Section<'_>, name: &str) -> Option<u16> {
        self.integer(s, name).and_then(|n| u16::try_from(n).ok())
    }

    /// An array of strings, each turned into something else; with the place of each.
    fn array<T>(
        &mut self,
        s: &Section<'_>,
        name: &str,
        convert: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let (key, value) = self.value(s, name)?;
        let Some(value) = value else {
            let default = DeValue::parse(key.default?).ok()?;
            let items = default.get_ref().as_array()?;
            return items
                .iter()
                .map(|v| convert(v.get_ref().as_str()?).ok())
                .collect();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong_kind(s, key, value);
            return None;
        };
        let mut all = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for item in items.iter() {
            let answer = match item.get_ref() {
                DeValue::String(text) if seen.contains(&text.as_ref()) => {
                    Err(format!("`{text}` stands twice in `{name}`").into())
                }
                DeValue::String(text) => {
                    seen.push(text.as_ref());
                    names::printable(text).and_then(|()| convert(text))
                }
                other => Err(Fault::from(format!(
                    "`{name}` must be {}, found {} in it",
                    key.kind.describe(),
                    article(other)
                ))
                .help(format!("for example, {name} = {}", key.example))),
            };
            match answer {
                Ok(value) => all.push(value),
                Err(fault) => self.bad(s, key, item.span(), fault),
            }
        }
        (all.len() == items.len()).then_some(all)
    }

    pub(crate) fn texts(
        &mut self,
        s: &Section<'_>,
        name: &str,
        check: Check,
    ) -> Option<Vec<String>> {
        self.array(s, name, |text| check(text).map(|()| text.to_owned()))
    }

    pub(crate) fn addresses(&mut self, s: &Section<'_>, name: &str) -> Option<Vec<IpAddr>> {
        self.array(s, name, names::address)
    }

    /// A table of strings, numbers and booleans, all as strings; none of them is ever shown.
    pub(crate) fn params(
        &mut self,
        s: &Section<'_>,
        name: &str,
        check: Check,
    ) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let Some((key, Some(value))) = self.value(s, name) else {
            return all;
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_kind(s, key, value);
            return all;
        };
        for (param, value) in table.iter() {
            self.source.hide(value.span());
            let text = match value.get_ref() {
                DeValue::String(text) => text.as_ref().to_owned(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Boolean(b) => b.to_string(),
                other => {
                    let fault = Fault::from(format!(
                        "a parameter must be a string, a whole number or a boolean, found {}",
                        article(other)
                    ));
                    self.bad(s, key, value.span(), fault);
                    continue;
                }
            };
            if let Err(fault) = check(param.get_ref()) {
                self.bad(s, key, param.span(), fault);
            } else if text.chars().any(char::is_control) {
                let fault = Fault::from("a parameter may not hold a control character");
                self.bad(s, key, value.span(), fault);
            } else {
                all.insert(param.get_ref().to_string(), text);
            }
        }
        all
    }
}

/// Whether `parent` has a sub-table `name`.
fn is_table(parent: &str, name: &str) -> bool {
    TABLES
        .iter()
        .any(|t| t.name.split_once('.') == Some((parent, name)))
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
