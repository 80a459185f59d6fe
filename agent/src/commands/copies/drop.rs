//! `two-node-ha copies drop`

use std::fmt::Write as _;

use two_node_ha_copies::{Error, holders};

use super::Place;

/// Drops one copy, or all with what a crash left.
pub fn run(place: &Place, name: Option<&str>, yes: bool) -> Result<String, String> {
    let listing = place.copies.list().map_err(|error| error.to_string())?;
    let names: Vec<String> = match name {
        Some(name) => {
            match place.copies.get(name) {
                // A damaged one can be dropped.
                Ok(_) | Err(Error::Damaged { .. }) => {}
                Err(error) => return Err(error.to_string()),
            }
            vec![name.to_owned()]
        }
        None => {
            let whole = listing.copies.iter().map(|copy| copy.name.clone());
            whole
                .chain(listing.damaged.iter().map(|(name, _)| name.clone()))
                .collect()
        }
    };
    for name in &names {
        in_use(place, name)?;
    }
    if !yes {
        let needed = listing.unfinished.and_then(|note| note.copy);
        let needed = needed.filter(|needed| names.contains(needed));
        let warning = needed.map_or_else(String::new, |name| {
            format!("; {name} is from before a resync that has not been seen to end")
        });
        return Err(match names.as_slice() {
            [] => {
                "there is nothing to drop; with --yes, what a crash left is cleared away".to_owned()
            }
            names => format!(
                "this would drop for good: {}{warning}. With --yes it is done",
                names.join(", ")
            ),
        });
    }
    let mut text = String::new();
    for name in &names {
        place
            .copies
            .drop_copy(name)
            .map_err(|error| error.to_string())?;
        let _ = writeln!(text, "{name} dropped");
    }
    if name.is_none() {
        place
            .copies
            .drop_leftovers()
            .map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// Refuses a copy that is mounted or open. (LVM itself refuses a snapshot.)
fn in_use(place: &Place, name: &str) -> Result<(), String> {
    let Ok(copy) = place.copies.get(name) else {
        return Ok(());
    };
    if copy.stored.is_none() {
        return Ok(());
    }
    if let Some(device) = place.loops(&copy.path)?.first() {
        return Err(format!(
            "{name} is in use by {}, most likely mounted; `findmnt {}` shows where, unmount it first",
            device.display(),
            device.display()
        ));
    }
    if let Some(holder) = holders(&[&copy.path]).first() {
        return Err(format!(
            "{name} is open in {} (process {})",
            holder.name, holder.pid
        ));
    }
    Ok(())
}
