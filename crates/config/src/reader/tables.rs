//! Tables: opening them, and what is unknown in them.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, Place, Reader, Section, article, header};
use crate::diag::Severity;
use crate::keys::{Key, TABLES, keys_of};
use crate::suggest;

impl Reader<'_> {
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
                    span: Some(value.span()),
                    usable: true,
                });
            } else if !is_table(name, text) {
                let help = suggest::closest(text, keys.iter().map(Key::name))
                    .map(|k| format!("did you mean `{k}`?"))
                    .or_else(|| self.elsewhere(text, name))
                    .unwrap_or_else(|| {
                        let all: Vec<_> = keys.iter().map(Key::name).collect();
                        format!("{} has the keys {}", header(name), all.join(", "))
                    });
                let fault =
                    Fault::from(format!("unknown key `{text}` in {}", header(name))).help(help);
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
            return Some(format!("`{text}` belongs to {}", header(key.table())));
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
}

/// Whether `parent` has a sub-table `name`.
fn is_table(parent: &str, name: &str) -> bool {
    TABLES
        .iter()
        .any(|t| t.name.split_once('.') == Some((parent, name)))
}
