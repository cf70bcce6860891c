//! What is stored and what is changed, as one walk in the order of keys. It decides nothing: a change stands for its row.

use std::collections::btree_map;
use std::iter::Peekable;

use bytes::Bytes;

use super::transaction::Change;
use crate::{KvRange, Result};

/// Stored rows and changes in one order; a change hides the row that it changes.
pub(super) struct Merged<'a> {
    stored: Peekable<KvRange<'a>>,
    changes: Peekable<btree_map::Range<'a, Bytes, Change>>,
}

impl<'a> Merged<'a> {
    pub(super) fn new(stored: KvRange<'a>, changes: btree_map::Range<'a, Bytes, Change>) -> Merged<'a> {
        Merged { stored: stored.peekable(), changes: changes.peekable() }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let changed = match (self.stored.peek(), self.changes.peek()) {
                (Some(Ok((stored, _))), Some((changed, _))) => {
                    if stored == *changed {
                        self.stored.next();
                        continue;
                    }
                    *changed < stored
                }
                (Some(_), _) => false,
                (None, Some(_)) => true,
                (None, None) => return None,
            };
            if !changed {
                return self.stored.next();
            }
            if let Some((key, Change { value: Some(value), .. })) = self.changes.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}
