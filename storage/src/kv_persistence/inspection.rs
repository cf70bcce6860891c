//! What of the rows no walk of records comes by, looked through for a person who asks: bodies and the counts of their
//! references, pointers of clients, due items. Nothing is repaired.

use std::collections::HashMap;

use crate::encoding::key::{self, kind};
use crate::encoding::{BodyReferences, ClientPointer, DueRow, QueuedBody, QueuedRow, StoredRecord, unseal};
use crate::kv_persistence::due::due_item;
use crate::kv_persistence::page::{go_past, next_row};
use crate::kv_persistence::transaction::Rows;
use crate::{ErrorKind, KvSnapshot, Result, StoreError};

/// So much is named of each kind; of what is more only the number is.
const MAX_NAMED: usize = 1000;

/// Looks at all rows; in memory is a number for each body.
pub(super) fn inspect(rows: &impl KvSnapshot) -> Result<Vec<StoreError>> {
    let mut found = Vec::new();
    for inspect in [bodies, pointers, due_items] {
        let mut faults = Faults::default();
        // What the engine cannot read hides the rest of its kind, and that alone.
        if let Err(error) = inspect(rows, &mut faults) {
            faults.named.push(error);
        }
        found.append(&mut faults.into_lines());
    }
    Ok(found)
}

#[derive(Default)]
struct Faults {
    named: Vec<StoreError>,
    more: usize,
}

impl Faults {
    fn note(&mut self, what: String) {
        self.add(StoreError::not_applied(ErrorKind::Corrupt, what));
    }

    fn add(&mut self, fault: StoreError) {
        match self.named.len() < MAX_NAMED {
            true => self.named.push(fault),
            false => self.more += 1,
        }
    }

    fn into_lines(mut self) -> Vec<StoreError> {
        if self.more > 0 {
            let what = format!("{} more of the kind", self.more);
            self.named.push(StoreError::not_applied(ErrorKind::Corrupt, what));
        }
        self.named
    }

    /// Each row of a kind, read; a damaged one is named.
    fn each<S: KvSnapshot, R: StoredRecord>(
        &mut self,
        rows: &S,
        kind: u8,
        mut see: impl FnMut(&mut Self, &[u8], R) -> Result<()>,
    ) -> Result<()> {
        let (from, to) = key::all(kind);
        let mut range = rows.range(&from, &to);
        let mut damaged = Vec::new();
        while let Some((key, value)) = next_row(&mut range, &mut damaged)? {
            let record = go_past(&mut damaged, unseal::<R>(&key, &value))?;
            damaged.drain(..).for_each(|error| self.add(error));
            if let Some(record) = record {
                see(self, &key, record)?;
            }
        }
        damaged.into_iter().for_each(|error| self.add(error));
        Ok(())
    }
}

/// Each body is there once for those who refer to it, and knows how many they are.
fn bodies(rows: &impl KvSnapshot, faults: &mut Faults) -> Result<()> {
    let mut referring: HashMap<u64, u64> = HashMap::new();
    faults.each(rows, kind::QUEUED, |_, _, entry: QueuedRow| {
        if let QueuedBody::Row(body) = entry.body {
            *referring.entry(body).or_default() += 1;
        }
        Ok(())
    })?;
    let mut counted: HashMap<u64, u64> = HashMap::new();
    faults.each(rows, kind::REFERENCES, |_, key, BodyReferences(references)| {
        counted.insert(key::session_of(key)?.0, references);
        Ok(())
    })?;
    let (from, to) = key::all(kind::BODY);
    let (mut range, mut damaged) = (rows.range(&from, &to), Vec::new());
    while let Some((key, _)) = next_row(&mut range, &mut damaged)? {
        let Ok(number) = key::session_of(&key) else {
            faults.note(format!("{} is none: its key is cut short", key::describe(&key)));
            continue;
        };
        let refer = referring.remove(&number.0).unwrap_or(0);
        // Only of a body with several references they are counted.
        let references = counted.remove(&number.0).unwrap_or(1);
        let name = key::describe(&key);
        if refer == 0 {
            faults.note(format!("{name} is there, and no queue entry refers to it"));
        } else if refer != references {
            faults.note(format!(
                "{name} counts {references} references, and {refer} queue entries refer to it"
            ));
        }
    }
    damaged.into_iter().for_each(|error| faults.add(error));
    let mut missing: Vec<_> = referring.into_keys().collect();
    missing.sort_unstable();
    for body in missing {
        faults.note(format!("{} is missing", key::describe(&key::body(body))));
        counted.remove(&body);
    }
    let mut of_none: Vec<_> = counted.into_keys().collect();
    of_none.sort_unstable();
    for body in of_none {
        faults.note(format!("{} are counted, and it is not there", key::describe(&key::references(body))));
    }
    Ok(())
}

/// Each pointer leads to a session that has not ended.
fn pointers(rows: &impl KvSnapshot, faults: &mut Faults) -> Result<()> {
    faults.each(rows, kind::CLIENT, |faults, key, ClientPointer(id)| {
        if !rows.has(&key::session(id))? {
            faults.note(format!("{} leads to session {id}, which is not there", key::describe(key)));
        }
        Ok(())
    })
}

/// Each due item is of a record that is there.
fn due_items(rows: &impl KvSnapshot, faults: &mut Faults) -> Result<()> {
    faults.each(rows, kind::DUE, |faults, key, row: DueRow| {
        let mut damaged = Vec::new();
        go_past(&mut damaged, due_item(rows, key, row.version))?;
        damaged.into_iter().for_each(|error| faults.add(error));
        Ok(())
    })
}
