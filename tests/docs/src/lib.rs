//! What the documentation tests share: where the repository is, and how to read what we write in
//! it. Nothing here is a general parser of mdoc or Markdown: the pages keep a regular shape, and a
//! page that leaves it fails its test.

use std::path::{Path, PathBuf};

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    // tests/docs of it.
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// The text of a file of the repository.
///
/// # Panics
/// Where it cannot be read: there is no test without it.
#[must_use]
pub fn read(path: &str) -> String {
    let file = repository().join(path);
    match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) => panic!("cannot read {}: {error}", file.display()),
    }
}

/// Takes mdoc's escapes out of a line.
#[must_use]
pub fn plain(line: &str) -> String {
    line.replace("\\(dq", "\"")
        .replace("\\-", "-")
        .replace("\\[u2026]", "…")
        .replace("\\&", "")
        .replace("\\e", "\\")
}

/// One `.It` of a tagged list: what stands behind the macro, and the lines up to the next item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The `.Ss` (or, before any, the `.Sh`) that the item stands under.
    pub section: String,
    /// The tag, without `.It` and with escapes taken out.
    pub tag: String,
    /// Lines of the item, with escapes taken out.
    pub lines: Vec<String>,
}

/// All items of all lists of a page, in order.
#[must_use]
pub fn items(page: &str) -> Vec<Item> {
    let mut section = String::new();
    let mut items: Vec<Item> = Vec::new();
    let mut open = false;
    for line in page.lines() {
        if let Some(name) = line
            .strip_prefix(".Ss ")
            .or_else(|| line.strip_prefix(".Sh "))
        {
            plain(name).clone_into(&mut section);
            open = false;
        } else if let Some(tag) = line.strip_prefix(".It ") {
            items.push(Item {
                section: section.clone(),
                tag: plain(tag),
                lines: Vec::new(),
            });
            open = true;
        } else if line.starts_with(".El") {
            open = false;
        } else if open {
            if let Some(item) = items.last_mut() {
                item.lines.push(plain(line));
            }
        }
    }
    items
}

/// The literal displays (`.Bd -literal` … `.Ed`) of a page.
#[must_use]
pub fn displays(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    for line in page.lines() {
        if line.starts_with(".Bd -literal") {
            current = Some(String::new());
        } else if line.starts_with(".Ed") {
            found.extend(current.take());
        } else if let Some(text) = &mut current {
            text.push_str(&plain(line));
            text.push('\n');
        }
    }
    found
}

/// The fenced blocks of one language in a Markdown text.
#[must_use]
pub fn fenced(markdown: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    // A block within a list is indented.
    for line in markdown.lines() {
        let fence = line.trim();
        if current.is_none() && fence == format!("```{language}") {
            current = Some(String::new());
        } else if fence == "```" {
            found.extend(current.take());
        } else if let Some(text) = &mut current {
            text.push_str(line);
            text.push('\n');
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_ends_at_the_next_one_and_at_the_end_of_its_list() {
        let page =
            ".Ss [a]\n.Bl -tag -width Ds\n.It Va a.x\none\n.It Va a.y\n\\(dqtwo\\(dq\n.El\nafter\n";
        let found = items(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].section, "[a]");
        assert_eq!(found[0].lines, ["one"]);
        assert_eq!(found[1].tag, "Va a.y");
        assert_eq!(found[1].lines, ["\"two\""]);
    }

    #[test]
    fn only_blocks_of_the_language_are_taken() {
        let text = "```toml\na = 1\n```\n```\nb\n```\n```toml\nc = 2\n```\n";
        assert_eq!(fenced(text, "toml"), ["a = 1\n", "c = 2\n"]);
    }
}
