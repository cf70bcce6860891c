//! A row of `queue`: what it holds, and how an entry is read from it.

use std::sync::Arc;

use opifex_packet::QoS;
use opifex_storage::{Queued, QueuedState, Seq, SessionId, Timestamp};
use rusqlite::Row;

use crate::checksum::{Field, QUEUE};
use crate::fault::{Result, corrupt};
use crate::inbound::packet_id;
use crate::message::{qos, read_message};
use crate::state::{int, optional_time, time, uint};

/// The columns that [`QueueRow::read`] reads, of `queue q`.
macro_rules! queue_columns {
    () => {
        "q.session, q.seq, q.message, q.size, q.qos, q.retain, q.packet_id, q.expires_at, \
         q.subscription_ids, q.share, q.checksum"
    };
}
pub(crate) use queue_columns;

/// The first column behind those of [`queue_columns`].
const MESSAGE: usize = 11;

pub(crate) struct QueueRow {
    pub(crate) session: SessionId,
    pub(crate) seq: Seq,
    /// The body's number; `None`: released.
    pub(crate) message: Option<i64>,
    pub(crate) size: u64,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) packet_id: Option<u16>,
    /// Only while it has no packet id.
    pub(crate) expires_at: Option<Timestamp>,
    /// Decimal, separated by commas.
    pub(crate) subscription_ids: Option<Box<str>>,
    pub(crate) share: Option<Arc<str>>,
}

impl QueueRow {
    pub(crate) fn fields(&self) -> [Field<'_>; 10] {
        [
            int(self.session.0).into(),
            int(self.seq.0).into(),
            self.message.into(),
            int(self.size).into(),
            i64::from(u8::from(self.qos)).into(),
            i64::from(self.retain).into(),
            self.packet_id.map(i64::from).into(),
            self.expires_at.map(time).into(),
            self.subscription_ids.as_deref().into(),
            self.share.as_deref().into(),
        ]
    }

    /// The row with the columns of [`queue_columns`].
    pub(crate) fn read(row: &Row<'_>) -> Result<QueueRow> {
        QUEUE.read(row, 0, || {
            Ok(QueueRow {
                session: SessionId(uint(row, 0)?),
                seq: Seq(uint(row, 1)?),
                message: row.get(2)?,
                size: uint(row, 3)?,
                qos: qos(row.get(4)?)?,
                retain: row.get(5)?,
                packet_id: row.get(6)?,
                expires_at: optional_time(row, 7)?,
                subscription_ids: row.get::<_, Option<String>>(8)?.map(Into::into),
                share: row.get::<_, Option<String>>(9)?.map(Into::into),
            })
        })
    }
}

/// The entry of a row with the columns of [`queue_columns`], and those of its message behind them.
pub(crate) fn read_entry(row: &Row<'_>) -> Result<Queued> {
    let entry = QueueRow::read(row)?;
    QUEUE.read(row, 0, || {
        let message = entry.message.map(|id| read_message(row, MESSAGE, id)).transpose()?;
        let state = match (entry.packet_id, &message) {
            (None, _) => QueuedState::Waiting,
            (Some(id), Some(_)) => QueuedState::Assigned(packet_id(id)?),
            (Some(id), None) => QueuedState::Released(packet_id(id)?),
        };
        let subscription_ids = match entry.subscription_ids.as_deref() {
            None => Vec::new(),
            Some(ids) => ids
                .split(',')
                .map(|id| id.parse().map_err(|_| corrupt(format_args!("subscription identifiers {ids:?}"))))
                .collect::<Result<_>>()?,
        };
        Ok(Queued {
            seq: entry.seq,
            message,
            qos: entry.qos,
            retain: entry.retain,
            subscription_ids,
            share: entry.share,
            state,
        })
    })
}
