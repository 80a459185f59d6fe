//! Values: one getter for each kind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{Check, Fault, Reader, Section, article, header};
use crate::diag::Severity;
use crate::keys::{Key, Kind};
use crate::{names, suggest, units};

impl Reader<'_> {
    /// The value of a key, or a report that it is missing.
    fn value<'t>(
        &mut self,
        s: &Section<'t>,
        name: &str,
    ) -> Option<(&'static Key, Option<&'t Spanned<DeValue<'t>>>)> {
        let key = s.keys.iter().find(|k| k.name() == name)?;
        let value = s.table.and_then(|t| t.get(name));
        if value.is_none() && key.required && self.whole() {
            let fault = Fault::from(format!("{} lacks its `{name}`", header(s.name)))
                .help(format!("add, for example, {name} = {}", key.example));
            let span = s.span.clone();
            self.spoil(key.path, s.index);
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
            } else if text.is_empty() {
                let fault = Fault::from("a parameter is empty").help("leave it out");
                self.bad(s, key, value.span(), fault);
            } else if let Err(fault) = names::printable(&text) {
                self.bad(s, key, value.span(), fault);
            } else {
                all.insert(param.get_ref().to_string(), text);
            }
        }
        all
    }
}
