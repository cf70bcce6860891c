//! The subscriptions of a session, by filter. Matching is not the store's business.

use opifex_packet::TopicFilter;

use crate::encoding::{SubscriptionRow, key, unseal};
use crate::kv_persistence::page::{go_past, next_row};
use crate::kv_persistence::rows::Rows;
use crate::kv_persistence::transaction::Transaction;
use crate::{KvSnapshot, Result, SessionId, StoreError, SubscriptionRecord};

impl<S: KvSnapshot> Transaction<'_, S> {
    /// Answers whether one with this filter stood before; `None` when the session has ended.
    pub(super) fn subscribe(&mut self, id: SessionId, record: SubscriptionRecord) -> Result<Option<bool>> {
        let Some(mut session) = self.live(id)? else { return Ok(None) };
        let key = key::subscription(id, &record.filter);
        let existed = self.has(&key)?;
        self.need_room()?;
        self.put(key, &SubscriptionRow { options: record.options, identifier: record.identifier });
        if !existed {
            session.subscriptions += 1;
            self.put_session(id, session);
        }
        Ok(Some(existed))
    }

    /// Answers whether it was there.
    pub(super) fn unsubscribe(&mut self, id: SessionId, filter: &TopicFilter<'_>) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        let key = key::subscription(id, filter);
        let existed = self.has(&key)?;
        if existed {
            self.remove(key);
            session.subscriptions = session.subscriptions.saturating_sub(1);
            self.put_session(id, session);
        }
        Ok(existed)
    }

    /// All of a session's, by filter; those that are damaged are named.
    pub(super) fn subscriptions(
        &self,
        id: SessionId,
        damaged: &mut Vec<StoreError>,
    ) -> Result<Vec<SubscriptionRecord>> {
        let (from, to) = key::of_session(key::kind::SUBSCRIPTION, id);
        let mut subscriptions = Vec::new();
        let mut range = self.range(&from, &to);
        while let Some((key, value)) = next_row(&mut range, damaged)? {
            let row = unseal::<SubscriptionRow>(&key, &value);
            let read = row.and_then(|row| Ok(row.record(key::filter_of(&key)?)));
            subscriptions.extend(go_past(damaged, read)?);
        }
        Ok(subscriptions)
    }
}
