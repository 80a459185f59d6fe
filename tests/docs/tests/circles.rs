//! No modules of a crate import each other in a circle: whoever reads one of them would have to read
//! all. Where there is one, a definition stands in the file that needed it first and not in one of
//! its own.
#![allow(clippy::expect_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use two_node_ha_docs::repository;

/// A module of a crate, by its path: `repair::journal`, or nothing for the crate's root.
type Name = Vec<String>;

/// The modules of one crate that are built for use, and what each imports of the others.
#[derive(Default)]
struct Modules {
    /// Their text, without comments, strings and tests.
    text: BTreeMap<Name, String>,
    /// What a module gives away that stands elsewhere: its new name, and its path.
    aliases: BTreeMap<Name, Vec<(String, Name)>>,
}

impl Modules {
    /// Of a directory with a `lib.rs` or a `main.rs`.
    fn read(src: &Path) -> Self {
        let mut modules = Self::default();
        for root in ["lib.rs", "main.rs"] {
            if src.join(root).exists() {
                modules.add(Name::new(), src, &src.join(root));
            }
        }
        modules
    }

    /// A module and, in `directory`, those that it declares.
    fn add(&mut self, name: Name, directory: &Path, file: &Path) {
        let text = std::fs::read_to_string(file).expect("a readable source");
        let text = without_tests(&without_words(&text));
        for child in declared(&text) {
            let (flat, deep) = (
                directory.join(format!("{child}.rs")),
                directory.join(&child).join("mod.rs"),
            );
            let file = if flat.exists() { flat } else { deep };
            // One that stands in braces is a part of this file.
            if file.exists() {
                let name: Name = name.iter().cloned().chain([child.clone()]).collect();
                self.add(name, &directory.join(&child), &file);
            }
        }
        self.insert(name, text);
    }

    fn insert(&mut self, name: Name, text: String) {
        let mut given = Vec::new();
        for (public, tree) in uses(&text) {
            if public {
                given.extend(leaves(&tree));
            }
        }
        self.aliases.insert(name.clone(), given);
        self.text.insert(name, text);
    }

    /// The module in which what a path names stands.
    fn resolve(&self, from: &Name, path: &[String], depth: usize) -> Option<Name> {
        let mut at = from.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (Name::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {}
            first => {
                let child: Name = at.iter().cloned().chain([first.to_owned()]).collect();
                if !self.text.contains_key(&child) {
                    return None;
                }
            }
        }
        while let Some(next) = rest.first() {
            if next == "super" {
                at.pop();
                rest = &rest[1..];
                continue;
            }
            let child: Name = at.iter().cloned().chain([next.clone()]).collect();
            if self.text.contains_key(&child) {
                (at, rest) = (child, &rest[1..]);
                continue;
            }
            let alias = self.alias(&at, next, depth);
            return Some(alias.unwrap_or(at));
        }
        Some(at)
    }

    fn alias(&self, module: &Name, item: &str, depth: usize) -> Option<Name> {
        if depth > 8 {
            return None;
        }
        for (name, path) in self.aliases.get(module)? {
            if name == item {
                return self.resolve(module, path, depth + 1);
            }
            if name == "*" {
                let all = self.resolve(module, path, depth + 1)?;
                if defines(self.text.get(&all)?, item) {
                    return Some(all);
                }
            }
        }
        None
    }

    /// What a module imports of the others. Those that it is a part of are none of them: their file
    /// holds what the parts share, and calls the parts.
    fn imports(&self, module: &Name) -> BTreeSet<Name> {
        let text = &self.text[module];
        let mut paths = Vec::new();
        for (public, tree) in uses(text) {
            if !public {
                paths.extend(leaves(&tree).into_iter().map(|(_, path)| path));
            }
        }
        paths.extend(written_out(text));
        let found = paths
            .iter()
            .filter_map(|path| self.resolve(module, path, 0));
        found.filter(|other| !module.starts_with(other)).collect()
    }

    /// Each set of modules that import each other in a circle.
    fn circles(&self) -> Vec<BTreeSet<Name>> {
        let direct: BTreeMap<&Name, BTreeSet<Name>> = self
            .text
            .keys()
            .map(|name| (name, self.imports(name)))
            .collect();
        let reach = |from: &Name| {
            let mut reached = BTreeSet::new();
            let mut next: Vec<Name> = direct[from].iter().cloned().collect();
            while let Some(name) = next.pop() {
                if reached.insert(name.clone()) {
                    next.extend(direct[&name].iter().cloned());
                }
            }
            reached
        };
        let all: BTreeMap<&Name, BTreeSet<Name>> =
            direct.keys().map(|name| (*name, reach(name))).collect();
        let mut circles = BTreeSet::new();
        for (name, reached) in &all {
            if reached.contains(*name) {
                let members = reached.iter().filter(|other| all[other].contains(*name));
                circles.insert(members.cloned().collect::<BTreeSet<_>>());
            }
        }
        circles.into_iter().collect()
    }

    /// A circle, import by import.
    fn told(&self, circle: &BTreeSet<Name>) -> String {
        let mut text = String::new();
        for name in circle {
            for other in self.imports(name).intersection(circle) {
                text += &format!("  {} imports {}\n", shown(name), shown(other));
            }
        }
        text
    }
}

fn shown(name: &Name) -> String {
    if name.is_empty() {
        return "the root".to_owned();
    }
    name.join("::")
}

/// The text without comments and without what stands in strings.
fn without_words(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '/' if chars.peek() == Some(&'/') => {
                for c in chars.by_ref() {
                    if c == '\n' {
                        out.push('\n');
                        break;
                    }
                }
            }
            // `r#"…"#`
            'r' if chars.peek() == Some(&'#') => {
                let ahead: String = chars.clone().take_while(|c| *c != '\n').collect();
                let marks = ahead.chars().take_while(|c| *c == '#').count();
                if ahead.chars().nth(marks) == Some('"') {
                    let end = format!("\"{}", "#".repeat(marks));
                    let rest: String = chars.clone().skip(marks + 1).collect();
                    let length = rest.split(&end).next().unwrap_or_default().chars().count();
                    let all = 2 * (marks + 1) + length;
                    chars.by_ref().take(all).for_each(drop);
                } else {
                    out.push('r');
                }
            }
            '"' => {
                out.push('"');
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => _ = chars.next(),
                        '"' => break,
                        _ => {}
                    }
                }
                out.push('"');
            }
            '\'' => {
                // A character, of which only a quotation mark and braces matter, or a lifetime.
                let ahead: String = chars.clone().take(2).collect();
                if ahead.starts_with('\\') {
                    chars.next();
                    for c in chars.by_ref().skip(1) {
                        if c == '\'' {
                            break;
                        }
                    }
                } else if ahead.ends_with('\'') {
                    chars.by_ref().take(2).for_each(drop);
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// The text without the items that only tests have.
fn without_tests(text: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(MARK) {
        out += &rest[..at];
        rest = &rest[at + MARK.len()..];
        // Up to its semicolon, or to the end of its braces; a field, up to its comma, or to the end of
        // what it is in.
        let mut depth = 0_usize;
        let mut end = rest.len();
        for (index, c) in rest.char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' if depth == 0 => {
                    end = index;
                    break;
                }
                '}' | ')' | ']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && ['}', ';', ','].contains(&c) {
                end = index + 1;
                break;
            }
        }
        rest = &rest[end..];
    }
    out + rest
}

/// The modules that a text declares.
fn declared(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "mod");
    let name = |pair: &[&str]| pair[1].strip_suffix(';').map(|name| name.replace("r#", ""));
    pairs.filter_map(name).collect()
}

/// The trees of all `use`, and whether each is there to give something away.
fn uses(text: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for line in text.match_indices("use ") {
        let before = text[..line.0]
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .trim();
        let public = before.starts_with("pub");
        if before.is_empty() || public {
            let tree = text[line.0 + 4..].split(';').next().unwrap_or_default();
            found.push((
                public,
                tree.split_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
    }
    found
}

/// `a::{b, c::d as e}` is `a::b` and, as `e`, `a::c::d`.
fn leaves(tree: &str) -> Vec<(String, Name)> {
    let tree = tree.trim();
    if let Some((before, inside)) = tree.split_once('{') {
        let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
        let before: Name = segments(before);
        let mut all = Vec::new();
        let (mut depth, mut begin) = (0_usize, 0);
        for (index, c) in inside.char_indices().chain([(inside.len(), ',')]) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    for (name, path) in leaves(&inside[begin..index]) {
                        all.push((name, before.iter().cloned().chain(path).collect()));
                    }
                    begin = index + 1;
                }
                _ => {}
            }
        }
        return all;
    }
    if tree.is_empty() {
        return Vec::new();
    }
    let (path, name) = match tree.split_once(" as ") {
        Some((path, name)) => (path, Some(name.to_owned())),
        None => (tree, None),
    };
    let mut path = segments(path);
    // `a::{self}` is `a`, and `self` alone is what stands before it.
    if path.len() == 1 && path[0] == "self" {
        return vec![(name.unwrap_or_default(), Name::new())];
    }
    let last = path.last().cloned().unwrap_or_default();
    if last == "*" {
        path.pop();
    }
    vec![(name.unwrap_or(last), path)]
}

fn segments(path: &str) -> Name {
    let all = path.split("::").map(str::trim);
    all.filter(|one| !one.is_empty())
        .map(|one| one.replace("r#", ""))
        .collect()
}

/// The paths in the code itself, beside `use`: those with `::` in them.
fn written_out(text: &str) -> Vec<Name> {
    let mut found = Vec::new();
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '#';
    for statement in text.split(';') {
        let bare = statement.trim_start();
        if bare.starts_with("use ") || (bare.starts_with("pub") && bare.contains(" use ")) {
            continue;
        }
        for path in statement.split(|c| !word(c)) {
            if path.contains("::") && !path.starts_with(':') {
                found.push(segments(path));
            }
        }
    }
    found
}

fn defines(text: &str, item: &str) -> bool {
    let words: Vec<&str> = text
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let kinds = ["struct", "enum", "fn", "const", "type", "trait", "static"];
    words
        .windows(2)
        .any(|pair| kinds.contains(&pair[0]) && pair[1] == item)
}

/// Where the sources of every crate are.
fn crates() -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = ["agent", "generator", "hooks"]
        .iter()
        .map(|name| repository().join(name).join("src"))
        .collect();
    let entries = std::fs::read_dir(repository().join("crates")).expect("the crates");
    for entry in entries {
        all.push(entry.expect("an entry").path().join("src"));
    }
    all.retain(|src| src.is_dir());
    all.sort();
    all
}

#[test]
fn no_modules_of_a_crate_import_each_other_in_a_circle() {
    let mut told = String::new();
    let mut modules = 0;
    for src in crates() {
        let of_crate = Modules::read(&src);
        modules += of_crate.text.len();
        for circle in of_crate.circles() {
            told += &format!("{}:\n{}", src.display(), of_crate.told(&circle));
        }
    }
    assert!(modules > 250, "only {modules} modules were read");
    assert_eq!(told, "", "move what ties them to a module of its own");
}

#[cfg(test)]
mod of_the_reader {
    use super::*;

    fn crate_of(files: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (name, text) in files {
            modules.insert(segments(name), without_tests(&without_words(text)));
        }
        modules
    }

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let modules = crate_of(files);
        let all = modules.circles();
        all.iter()
            .map(|circle| circle.iter().map(shown).collect::<Vec<_>>().join(", "))
            .collect()
    }

    #[test]
    fn two_modules_that_import_each_other_are_a_circle_however_it_is_written() {
        let one = ("a", "use crate::b::{Thing, other::More};");
        for back in [
            "use crate::a::Thing;",
            "use super::a;",
            "pub(crate) fn f(x: crate::a::Thing) {}",
            "use crate::{\n    a::{self, x},\n};",
        ] {
            assert_eq!(circles(&[("", ""), one, ("b", back)]), ["a, b"], "{back}");
        }
    }

    #[test]
    fn a_circle_of_three_is_found_and_what_only_leads_to_it_is_none_of_it() {
        let files = [
            ("", "mod a;"),
            ("a", "use crate::b::X;"),
            ("b", "use super::c::X;"),
            ("c", "use crate::a::X;"),
            ("d", "use crate::a::X;"),
        ];
        assert_eq!(circles(&files), ["a, b, c"]);
    }

    #[test]
    fn a_name_that_is_given_on_is_of_the_module_where_it_stands() {
        let root = ("", "mod a;\nmod b;\npub use a::Thing;\npub use b::*;");
        let b = ("b", "use crate::Thing;\npub struct Other;");
        assert_eq!(circles(&[root, ("a", ""), b]), Vec::<String>::new());
        let a = ("a", "use crate::Other;\npub struct Thing;");
        assert_eq!(circles(&[root, a, b]), ["a, b"]);
    }

    #[test]
    fn a_part_may_use_what_it_is_a_part_of_and_two_parts_may_not_use_each_other_through_it() {
        let whole = "mod one;\nmod two;\npub use two::Two;\nfn f() { one::g() }";
        let files = [("", "mod a;"), ("a", whole), ("a::one", "use super::Two;")];
        let alone = ("a::two", "use super::f;\npub struct Two;");
        assert!(circles(&[&files[..], &[alone]].concat()).is_empty());
        let back = ("a::two", "use super::one::g;\npub struct Two;");
        assert_eq!(circles(&[&files[..], &[back]].concat()), ["a::one, a::two"]);
    }

    #[test]
    fn tests_comments_and_strings_tie_nothing() {
        let a = ("a", "use crate::b::X;");
        for b in [
            "#[cfg(test)]\nmod tests {\n    use crate::a::X;\n    fn f() { if x { } }\n}",
            "#[cfg(test)]\nuse crate::a::X;",
            "// use crate::a::X;\n",
            "const X: &str = \"\\\" crate::a::X\";",
            "const X: &str = r#\"a \" crate::a::X\"#;",
            "fn f<'a>(c: char) -> bool { c == '\"' }",
        ] {
            assert!(circles(&[a, ("b", b)]).is_empty(), "{b}");
        }
        let field = "struct X {\n    #[cfg(test)]\n    y: Y,\n}\nuse crate::a::X;";
        assert_eq!(circles(&[a, ("b", field)]), ["a, b"]);
        let after = "#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::a::X;";
        assert_eq!(circles(&[a, ("b", after)]), ["a, b"]);
    }
}
