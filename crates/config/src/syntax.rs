//! What is not TOML at all.

use std::borrow::Cow;
use std::ops::Range;

use toml::de::{DeTable, DeValue, Error};

use crate::diag::{Diagnostic, Severity};
use crate::source::Source;

/// Beyond that many, the file is something else than TOML and more lines help nobody.
const MOST: usize = 50;

/// How often broken lines are taken out before the rest is given up.
const ROUNDS: usize = 8;

/// Reports the syntax errors of `source`. Answers with the lines (from 0) that hold one, and with
/// the text without those lines, each character of them blanked so that all others stay where they
/// are: its keys can still be checked.
pub(crate) fn report(
    source: &Source<'_>,
    errors: &[Error],
    found: &mut Vec<Diagnostic>,
) -> (Vec<usize>, String) {
    let table = DeTable::parse_recoverable(source.text).0;
    let mut broken = Vec::new();
    for error in errors {
        let span = span(error, source);
        let line = source.line_of(span.start);
        // One slip often makes the parser stumble twice.
        if broken.contains(&line) {
            continue;
        }
        broken.push(line);
        if found.len() == MOST {
            let rest = errors.len() - found.len();
            let message = format!("{rest} more like these; is this TOML?");
            found.push(Diagnostic::new(source, Severity::Error, span, message));
        } else if found.len() < MOST {
            found.push(diagnostic(source, table.get_ref(), error, span));
        }
    }

    let mut text = Cow::Borrowed(source.text);
    let mut lines = broken.clone();
    for _ in 0..ROUNDS {
        text = Cow::Owned(blank(source, &text, &mut lines));
        let errors = DeTable::parse_recoverable(&text).1;
        if errors.is_empty() {
            return (broken, text.into_owned());
        }
        lines = errors
            .iter()
            .map(|e| source.line_of(span(e, source).start))
            .collect();
        broken.extend(&lines);
    }
    (broken, String::new())
}

fn span(error: &Error, source: &Source<'_>) -> Range<usize> {
    error.span().unwrap_or_else(|| source.end())
}

fn diagnostic(
    source: &Source<'_>,
    root: &DeTable<'_>,
    error: &Error,
    span: Range<usize>,
) -> Diagnostic {
    let message = error.message();
    if message == "duplicate key" {
        let key = source.text.get(span.clone()).unwrap_or_default();
        let key = key.trim().to_owned();
        let d = Diagnostic::new(
            source,
            Severity::Error,
            span.clone(),
            format!("`{key}` is given twice"),
        );
        let first = first_key(root, key.trim_matches(['"', '\'']), span.start)
            .map(|at| source.line_of(at))
            .or_else(|| first_header(source, span.start));
        let help = first.map(|line| format!("it stands on line {} already", line + 1));
        return d.with(Some(key), help);
    }
    let message = format!("not TOML: {message}");
    let d = Diagnostic::new(source, Severity::Error, span.clone(), message);
    d.with(None, help(source, &span))
}

/// Help for the slip that almost every one of them is: a string without quotes.
fn help(source: &Source<'_>, span: &Range<usize>) -> Option<String> {
    let line = source.line_span(source.line_of(span.start));
    let (key, value) = source.text[line].split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next()?.trim());
    if key.is_empty() || value.is_empty() || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let bare = !value.contains(['"', '\'', '[', ']', '{', '}']);
    bare.then(|| format!("strings stand in quotes: {key} = \"…\""))
}

/// Where the last key called `name` before byte `before` stands, looked for in all tables.
fn first_key(table: &DeTable<'_>, name: &str, before: usize) -> Option<usize> {
    let mut last = None;
    for (key, value) in table.iter() {
        let at = key.span().start;
        if key.get_ref() == name && at < before {
            last = last.max(Some(at));
        }
        let inner = match value.get_ref() {
            DeValue::Table(t) => first_key(t, name, before),
            DeValue::Array(items) => items
                .iter()
                .filter_map(|v| first_key(v.get_ref().as_table()?, name, before))
                .max(),
            _ => None,
        };
        last = last.max(inner);
    }
    last
}

/// The earlier line with the same table header as the one that byte `at` is in.
fn first_header(source: &Source<'_>, at: usize) -> Option<usize> {
    let header = |line: usize| {
        let text = &source.text[source.line_span(line)];
        text.split('#').next().unwrap_or_default().trim()
    };
    let line = source.line_of(at);
    let name = header(line);
    if !name.starts_with('[') {
        return None;
    }
    (0..line).find(|l| header(*l) == name)
}

/// `text` with `lines` blanked. A broken header takes its whole table with it, whose keys would else
/// fall to the table above.
fn blank(source: &Source<'_>, text: &str, lines: &mut Vec<usize>) -> String {
    let starts_table = |line: usize| text[source.line_span(line)].trim_start().starts_with('[');
    lines.sort_unstable();
    lines.dedup();
    for line in lines.clone() {
        if starts_table(line) {
            let next = (line + 1..source.lines()).find(|l| starts_table(*l));
            lines.extend(line + 1..next.unwrap_or(source.lines()));
        }
    }
    lines.sort_unstable();
    lines.dedup();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for line in lines.iter() {
        let span = source.line_span(*line);
        out.push_str(&text[from..span.start]);
        out.extend(std::iter::repeat_n(' ', span.len()));
        from = span.end;
    }
    out.push_str(&text[from..]);
    out
}
