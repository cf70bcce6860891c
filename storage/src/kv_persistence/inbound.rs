//! Packet ids of QoS 2 messages that came in.

use opifex_packet::PacketId;

use crate::encoding::{Marker, key, unseal};
use crate::kv_persistence::page::{go_past, next_row};
use crate::kv_persistence::rows::Rows;
use crate::kv_persistence::transaction::Transaction;
use crate::{KvSnapshot, Outcome, Result, SessionId, StoreError};

impl<S: KvSnapshot> Transaction<'_, S> {
    pub(super) fn put_inbound(&mut self, id: SessionId, packet_id: PacketId) -> Result<Outcome> {
        let Some(mut session) = self.live(id)? else { return Ok(Outcome::Absent) };
        let key = key::inbound(id, packet_id);
        if self.record::<Marker>(&key)?.is_some() {
            return Ok(Outcome::Present);
        }
        self.need_room()?;
        self.put(key, &Marker);
        session.inbound += 1;
        self.put_session(id, session);
        Ok(Outcome::Done)
    }

    /// Answers whether it was there.
    pub(super) fn delete_inbound(&mut self, id: SessionId, packet_id: PacketId) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        let key = key::inbound(id, packet_id);
        let existed = self.has(&key)?;
        if existed {
            self.remove(key);
            session.inbound = session.inbound.saturating_sub(1);
            self.put_session(id, session);
        }
        Ok(existed)
    }

    /// All of a session's, ascending; those that are damaged are named.
    pub(super) fn inbound_ids(&self, id: SessionId, damaged: &mut Vec<StoreError>) -> Result<Vec<PacketId>> {
        let (from, to) = key::of_session(key::kind::INBOUND, id);
        let mut ids = Vec::new();
        let mut range = self.range(&from, &to);
        while let Some((key, value)) = next_row(&mut range, damaged)? {
            let read = unseal::<Marker>(&key, &value).and_then(|_| key::packet_id_of(&key));
            ids.extend(go_past(damaged, read)?);
        }
        Ok(ids)
    }
}
