//! The subscriptions of sessions, by filter. Matching is not the store's business.

use opifex_packet::{SubscriptionOptions, TopicFilter, Version};
use opifex_storage::{SessionId, SubscriptionRecord};
use rusqlite::{Row, params};

use crate::fault::{Result, corrupt};
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
        let sql = "INSERT OR REPLACE INTO subscriptions (session, filter, options, identifier) \
                   VALUES (?1, ?2, ?3, ?4)";
        let options = record.options.to_byte();
        self.execute(sql, params![int(session.0), record.filter.as_str(), options, record.identifier])?;
        Ok(existed)
    }

    /// Answers whether it was there.
    pub(crate) fn remove_subscription(&self, session: SessionId, filter: &TopicFilter<'_>) -> Result<bool> {
        let sql = "DELETE FROM subscriptions WHERE session = ?1 AND filter = ?2";
        Ok(self.execute(sql, params![int(session.0), filter.as_str()])? == 1)
    }

    /// Removes the first of a session. Answers how many.
    pub(crate) fn purge_subscriptions(&self, session: SessionId, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM subscriptions WHERE session = ?1 AND filter IN \
                   (SELECT filter FROM subscriptions WHERE session = ?1 ORDER BY filter LIMIT ?2)";
        self.execute(sql, params![int(session.0), limit as i64])
    }

    /// The subscriptions of a session behind the filter with this text, as long as `take` wants more.
    pub(crate) fn subscriptions_after(
        &self,
        session: SessionId,
        after: &str,
        mut take: impl FnMut(SubscriptionRecord) -> bool,
    ) -> Result<bool> {
        let sql = "SELECT filter, options, identifier FROM subscriptions \
                   WHERE session = ?1 AND filter > ?2 ORDER BY filter";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params![int(session.0), after])?;
        while let Some(row) = rows.next()? {
            if !take(read_subscription(row)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_subscription(row: &Row<'_>) -> Result<SubscriptionRecord> {
    let filter: String = row.get(0)?;
    let filter = TopicFilter::without_share_rules(&filter)
        .map_err(|error| corrupt(format_args!("a filter: {error}")))?
        .into_owned();
    let options = SubscriptionOptions::from_byte(row.get(1)?, Version::V5_0)
        .map_err(|error| corrupt(format_args!("options of the subscription {filter}: {error}")))?;
    Ok(SubscriptionRecord { filter, options, identifier: row.get(2)? })
}
