//! What of the rows no walk of records comes by, looked through for a person who asks: bodies and the counts of their
//! references, pointers of clients, due items. Nothing is repaired.

use std::collections::HashMap;

use crate::encoding::key::{self, kind};
use crate::encoding::{BodyReferences, ClientPointer, DueRow, QueuedBody, QueuedRow, StoredRecord, unseal};
use crate::kv_persistence::due::due_item;
use crate::kv_persistence::page::{go_past, next_row};
use crate::kv_persistence::rows::Rows;
use crate::{ErrorKind, FaultList, KvSnapshot, Result, StoreError};

/// Looks at all rows; in memory is a number for each body. An engine that fails otherwise than by damage is no finding, but
/// an error.
pub(super) fn inspect(rows: &impl KvSnapshot) -> Result<Vec<StoreError>> {
    let mut found = Vec::new();
    for inspect in [bodies, pointers, due_items] {
        let mut faults = FaultList::default();
        match inspect(rows, &mut faults) {
            // What the engine cannot read hides the rest of its kind, and that alone.
            Err(error) if error.kind() == ErrorKind::Corrupt => faults.add(error),
            looked => looked?,
        }
        found.append(&mut faults.into_lines());
    }
    Ok(found)
}

/// Each row of a kind, read; a damaged one is named. Answers whether there was none such.
fn each<S: KvSnapshot, R: StoredRecord>(
    rows: &S,
    kind: u8,
    faults: &mut FaultList,
    mut see: impl FnMut(&mut FaultList, &[u8], R) -> Result<()>,
) -> Result<bool> {
    let (from, to) = key::all(kind);
    let mut range = rows.range(&from, &to);
    let (mut damaged, mut is_whole) = (Vec::new(), true);
    while let Some((key, value)) = next_row(&mut range, &mut damaged)? {
        let record = go_past(&mut damaged, unseal::<R>(&key, &value))?;
        is_whole &= damaged.is_empty();
        damaged.drain(..).for_each(|error| faults.add(error));
        if let Some(record) = record {
            see(faults, &key, record)?;
        }
    }
    is_whole &= damaged.is_empty();
    damaged.into_iter().for_each(|error| faults.add(error));
    Ok(is_whole)
}

/// Each body is there once for those who refer to it, and knows how many they are.
fn bodies(rows: &impl KvSnapshot, faults: &mut FaultList) -> Result<()> {
    let mut referring: HashMap<u64, u64> = HashMap::new();
    let all_read = each(rows, kind::QUEUED, faults, |_, _, entry: QueuedRow| {
        if let QueuedBody::Row(body) = entry.body {
            *referring.entry(body).or_default() += 1;
        }
        Ok(())
    })?;
    // Nobody knows what the others refer to.
    let readable = if all_read { "" } else { " that can be read" };
    let mut counted: HashMap<u64, u64> = HashMap::new();
    each(rows, kind::REFERENCES, faults, |_, key, BodyReferences(references)| {
        counted.insert(key::session_of(key)?.0, references);
        Ok(())
    })?;
    let (from, to) = key::all(kind::BODY);
    let (mut range, mut damaged) = (rows.range(&from, &to), Vec::new());
    while let Some((key, _)) = next_row(&mut range, &mut damaged)? {
        let Ok(number) = key::session_of(&key) else {
            faults.note(|| format!("{} is none: its key is cut short", key::describe(&key)));
            continue;
        };
        let refer = referring.remove(&number.0).unwrap_or(0);
        // Only of a body with several references they are counted.
        let references = counted.remove(&number.0).unwrap_or(1);
        let name = key::describe(&key);
        if refer == 0 {
            faults.note(|| format!("{name} is there, and no queue entry{readable} refers to it"));
        } else if refer != references {
            faults.note(|| {
                format!(
                    "{name} counts {references} references, and {refer} queue entries{readable} refer to it"
                )
            });
        }
    }
    damaged.into_iter().for_each(|error| faults.add(error));
    let mut missing: Vec<_> = referring.into_keys().collect();
    missing.sort_unstable();
    for body in missing {
        faults.note(|| format!("{} is missing", key::describe(&key::body(body))));
        counted.remove(&body);
    }
    let mut of_none: Vec<_> = counted.into_keys().collect();
    of_none.sort_unstable();
    for body in of_none {
        faults.note(|| format!("{} are counted, and it is not there", key::describe(&key::references(body))));
    }
    Ok(())
}

/// Each pointer leads to a session that has not ended.
fn pointers(rows: &impl KvSnapshot, faults: &mut FaultList) -> Result<()> {
    each(rows, kind::CLIENT, faults, |faults, key, ClientPointer(id)| {
        if !rows.has(&key::session(id))? {
            faults.note(|| format!("{} leads to session {id}, which is not there", key::describe(key)));
        }
        Ok(())
    })
    .map(drop)
}

/// Each due item is of a record that is there.
fn due_items(rows: &impl KvSnapshot, faults: &mut FaultList) -> Result<()> {
    each(rows, kind::DUE, faults, |faults, key, row: DueRow| {
        let mut damaged = Vec::new();
        go_past(&mut damaged, due_item(rows, key, row.version))?;
        damaged.into_iter().for_each(|error| faults.add(error));
        Ok(())
    })
    .map(drop)
}
