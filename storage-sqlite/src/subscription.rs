//! The subscriptions of sessions, by filter. Matching is not the store's business.

use opifex_packet::{SubscriptionOptions, TopicFilter, Version};
use opifex_storage::{SessionId, StoreError, SubscriptionRecord};
use rusqlite::{Row, params};

use crate::checksum::{KeyOrder, SUBSCRIPTIONS};
use crate::fault::{Result, corrupt, note_damage};
use crate::session_row::SessionRow;
use crate::state::{State, int};

impl State<'_> {
    /// Answers whether one with this filter stood before.
    pub(crate) fn insert_subscription(
        &self,
        session: SessionId,
        record: &SubscriptionRecord,
    ) -> Result<bool> {
        let sql = "SELECT 1 FROM subscriptions WHERE session = ?1 AND filter = ?2";
        let existed = self.exists(sql, params![int(session.0), record.filter.as_str()])?;
        let sql = "INSERT OR REPLACE INTO subscriptions (session, filter, options, identifier, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let fields = [
            int(session.0).into(),
            record.filter.as_str().into(),
            i64::from(record.options.to_byte()).into(),
            record.identifier.map(i64::from).into(),
        ];
        self.write(&SUBSCRIPTIONS, sql, &fields)?;
        if !existed {
            self.change_session(session, |row| row.subscriptions += 1)?;
        }
        Ok(existed)
    }

    /// Answers whether it was there.
    pub(crate) fn remove_subscription(&self, session: SessionId, filter: &TopicFilter<'_>) -> Result<bool> {
        let sql = "DELETE FROM subscriptions WHERE session = ?1 AND filter = ?2";
        let removed = self.execute(sql, params![int(session.0), filter.as_str()])?;
        self.count_fewer_subscriptions(session, removed)?;
        Ok(removed == 1)
    }

    /// Removes the first of a session. Answers how many.
    pub(crate) fn purge_subscriptions(&self, session: SessionId, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM subscriptions WHERE session = ?1 AND filter IN \
                   (SELECT filter FROM subscriptions WHERE session = ?1 ORDER BY filter LIMIT ?2)";
        let removed = self.execute(sql, params![int(session.0), limit as i64])?;
        self.count_fewer_subscriptions(session, removed)?;
        Ok(removed)
    }

    fn count_fewer_subscriptions(&self, session: SessionId, fewer: usize) -> Result<()> {
        if fewer > 0 {
            let count =
                |row: &mut SessionRow| row.subscriptions = row.subscriptions.saturating_sub(fewer as u64);
            self.change_session(session, count)?;
        }
        Ok(())
    }

    /// The subscriptions of a session behind the filter with this text, as long as `take` wants more.
    pub(crate) fn subscriptions_after(
        &self,
        session: SessionId,
        after: &str,
        damaged: &mut Vec<StoreError>,
        mut take: impl FnMut(SubscriptionRecord) -> bool,
    ) -> Result<bool> {
        let sql = "SELECT session, filter, options, identifier, checksum FROM subscriptions \
                   WHERE session >= ?1 ORDER BY session, filter";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(session.0)])?;
        self.check_before(&SUBSCRIPTIONS, &[int(session.0).into(), "".into()], damaged)?;
        let (mut order, mut found) = (KeyOrder::default(), 0);
        while let Some(row) = rows.next()? {
            if SUBSCRIPTIONS.is_behind(row, int(session.0))? {
                break;
            }
            if note_damage(order.follows(&SUBSCRIPTIONS, row), damaged)?.is_none() {
                continue;
            }
            found += 1;
            // From the session's beginning each time: a damaged key can hide what a seek goes past.
            if row.get_ref(1)?.as_bytes().is_ok_and(|filter| filter <= after.as_bytes()) {
                continue;
            }
            let record = SUBSCRIPTIONS.read(row, 0, || read_subscription(row));
            if let Some(record) = note_damage(record, damaged)?
                && !take(record)
            {
                return Ok(false);
            }
        }
        // A session's row that is damaged itself is found by who reads it.
        let counted = note_damage(self.session(session, |row| row.subscriptions), &mut Vec::new())?.flatten();
        damaged.extend(counted.and_then(|counted| SUBSCRIPTIONS.hidden(session, found, counted)));
        Ok(true)
    }
}

fn read_subscription(row: &Row<'_>) -> Result<SubscriptionRecord> {
    let filter: String = row.get(1)?;
    let filter = TopicFilter::without_share_rules(&filter)
        .map_err(|error| corrupt(format_args!("a filter: {error}")))?
        .into_owned();
    let options = SubscriptionOptions::from_byte(row.get(2)?, Version::V5_0)
        .map_err(|error| corrupt(format_args!("options of the subscription {filter}: {error}")))?;
    Ok(SubscriptionRecord { filter, options, identifier: row.get(3)? })
}
