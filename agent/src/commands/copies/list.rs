//! `two-node-ha copies list`

use std::fmt::Write as _;
use std::path::Path;

use two_node_ha_config::format_size;
use two_node_ha_copies::{Copy, Listing, Record};

use super::Place;

/// The list, as text or JSON.
pub fn run(place: &Place, json: bool) -> Result<String, String> {
    let listing = place.copies.list().map_err(|error| error.to_string())?;
    let (resource, dir) = (place.copies.resource(), place.copies.dir());
    if json {
        let object = Json::new(resource, dir, place.copies.keep(), &listing);
        return serde_json::to_string(&object)
            .map(|text| text + "\n")
            .map_err(|error| format!("cannot write the list as JSON: {error}"));
    }
    Ok(text(resource, dir, &listing))
}

#[derive(serde::Serialize)]
struct Json<'a> {
    resource: &'a str,
    dir: &'a Path,
    /// How many from before a resync are kept.
    keep: u32,
    copies: Vec<JsonCopy<'a>>,
    unfinished_resync: Option<JsonUnfinished<'a>>,
    damaged: Vec<JsonDamaged<'a>>,
    leftovers: &'a [std::path::PathBuf],
}

#[derive(serde::Serialize)]
struct JsonCopy<'a> {
    name: &'a str,
    path: &'a Path,
    stored: Option<u64>,
    #[serde(flatten)]
    record: &'a Record,
}

#[derive(serde::Serialize)]
struct JsonUnfinished<'a> {
    since: u64,
    copy: Option<&'a str>,
}

#[derive(serde::Serialize)]
struct JsonDamaged<'a> {
    name: &'a str,
    reason: &'a str,
}

impl<'a> Json<'a> {
    fn new(resource: &'a str, dir: &'a Path, keep: u32, listing: &'a Listing) -> Self {
        let copies = listing.copies.iter().map(|copy| JsonCopy {
            name: &copy.name,
            path: &copy.path,
            stored: copy.stored,
            record: &copy.record,
        });
        let damaged = listing.damaged.iter();
        Self {
            resource,
            dir,
            keep,
            copies: copies.collect(),
            unfinished_resync: listing.unfinished.as_ref().map(|note| JsonUnfinished {
                since: note.since,
                copy: note.copy.as_deref(),
            }),
            damaged: damaged
                .map(|(name, reason)| JsonDamaged { name, reason })
                .collect(),
            leftovers: &listing.leftovers,
        }
    }
}

fn text(resource: &str, dir: &Path, listing: &Listing) -> String {
    let mut text = String::new();
    if listing.copies.is_empty() {
        let _ = writeln!(text, "no copies of {resource} in {}", dir.display());
    }
    for copy in &listing.copies {
        let _ = writeln!(text, "{}", line(copy));
    }
    for (name, why) in &listing.damaged {
        let _ = writeln!(text, "{name}  DAMAGED: {why}");
    }
    if let Some(note) = &listing.unfinished {
        let before = match &note.copy {
            Some(name) => format!("the copy from before it is {name}"),
            None => "there is no copy from before it".to_owned(),
        };
        let _ = writeln!(
            text,
            "a resync onto this node was let begin and has not been seen to end; {before}"
        );
    }
    if !listing.leftovers.is_empty() {
        let _ = writeln!(
            text,
            "{} files of copies that were never whole; the next copy clears them away",
            listing.leftovers.len()
        );
    }
    text
}

fn line(copy: &Copy) -> String {
    let record = &copy.record;
    let state = match (record.consistent, &record.disk_state) {
        (Some(true), Some(state)) => format!("whole ({state})"),
        (Some(true), None) => "whole".to_owned(),
        (Some(false), Some(state)) => format!("NOT WHOLE ({state})"),
        (Some(false), None) => "NOT WHOLE".to_owned(),
        (None, Some(state)) => state.clone(),
        (None, None) => "state not known".to_owned(),
    };
    let stored = copy
        .stored
        .map(|bytes| format!(", {} on the disk", format_size(bytes)))
        .unwrap_or_default();
    format!(
        "{}  {}, {}, {}{stored}, {state}",
        copy.name,
        record.why.words(),
        record.method.words(),
        format_size(record.size),
    )
}
