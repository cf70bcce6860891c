//! Bodies of messages: stored once, freed with the last queue entry that refers to them.
//!
//! A body with one reference has no row that counts them, so that what is queued for one session costs no more.

use crate::encoding::{BodyReferences, key};
use crate::kv_persistence::rows::{Found, Rows};
use crate::kv_persistence::transaction::Transaction;
use crate::{KvSnapshot, Message, Result};

impl<S: KvSnapshot> Transaction<'_, S> {
    /// One more entry refers to the body, which may not be stored yet, or not any more.
    pub(super) fn add_reference(&mut self, body: u64, message: &Message, is_stored: bool) -> Result<()> {
        if !is_stored {
            self.put_new(key::body(body), message);
            return Ok(());
        }
        let key = key::references(body);
        let references = self.record::<BodyReferences>(&key)?.map_or(1, |references| references.0);
        self.put(key, &BodyReferences(references + 1));
        Ok(())
    }

    /// One entry less refers to the body.
    pub(super) fn drop_reference(&mut self, body: u64) -> Result<()> {
        let key = key::references(body);
        match self.look(&key)? {
            Found::Absent | Found::Whole(BodyReferences(0 | 1)) => self.remove_or_leave(key::body(body))?,
            Found::Whole(BodyReferences(2)) => self.remove(key),
            Found::Whole(BodyReferences(more)) => self.put(key, &BodyReferences(more - 1)),
            // Nobody knows who else needs the body: it stays.
            Found::Damaged(_) => {}
        }
        Ok(())
    }
}
