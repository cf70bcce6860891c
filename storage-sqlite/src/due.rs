//! What becomes due, in order of its time: four tables have an index of their deadlines, a page merges their heads.

use opifex_packet::TopicName;
use opifex_storage::{
    Due, DueItem, Epoch, ErrorKind, Page, PageLimit, RecordVersion, Seq, SessionId, StoreError, Timestamp,
};
use rusqlite::params;

use crate::fault::{Result, corrupt};
use crate::retained::topic_of;
use crate::scan::{MAX_EXAMINED, is_full};
use crate::session_row::SessionRow;
use crate::state::{State, int, time, uint};
use crate::will::{read_will, will_columns};

impl State<'_> {
    pub(crate) fn due_page(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        let most = limit.items.clamp(1, MAX_EXAMINED) as i64;
        let mut heads = Vec::new();
        self.due_sessions(now, most, &mut heads)?;
        self.due_wills(now, most, limit, &mut heads)?;
        self.due_queued(now, most, &mut heads)?;
        self.due_retained(now, most, &mut heads)?;
        let examined = heads.len();
        heads.sort_by(|a, b| (a.at, &a.item, a.version).cmp(&(b.at, &b.item, b.version)));
        let (mut items, mut bytes) = (Vec::new(), 0);
        for due in heads {
            if is_full(items.len(), bytes, &limit) {
                break;
            }
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            items.push(due);
        }
        Ok(Page { items, examined, ..Page::new() })
    }

    /// Sessions that expired, and what those left that ended.
    fn due_sessions(&self, now: Timestamp, most: i64, heads: &mut Vec<Due>) -> Result<()> {
        let sql = "SELECT id, epoch, due_at, ended_at IS NOT NULL FROM sessions \
                   WHERE due_at <= ?1 ORDER BY due_at LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([time(now), most])?;
        while let Some(row) = rows.next()? {
            let id = SessionId(uint(row, 0)?);
            let item = if row.get(3)? { DueItem::SessionEnded(id) } else { DueItem::SessionExpired(id) };
            let version = RecordVersion(uint(row, 1)?);
            heads.push(Due { item, at: Timestamp(uint(row, 2)?), version, will: None });
        }
        Ok(())
    }

    fn due_wills(&self, now: Timestamp, most: i64, limit: PageLimit, heads: &mut Vec<Due>) -> Result<()> {
        let sql = concat!(
            "SELECT ",
            will_columns!(),
            " FROM wills w JOIN messages m ON m.id = w.message WHERE w.due_at <= ?1 ORDER BY w.due_at LIMIT ?2"
        );
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([time(now), most])?;
        let (mut found, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            if is_full(found, bytes, &limit) {
                break;
            }
            let will = read_will(row)?;
            found += 1;
            bytes += will.will.message.size_bytes();
            heads.push(Due {
                item: DueItem::Will(will.session),
                at: will.due_at.unwrap_or(now),
                version: RecordVersion(will.epoch.0),
                will: Some(will),
            });
        }
        Ok(())
    }

    fn due_queued(&self, now: Timestamp, most: i64, heads: &mut Vec<Due>) -> Result<()> {
        let sql = "SELECT session, seq, expires_at FROM queue \
                   WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([time(now), most])?;
        while let Some(row) = rows.next()? {
            let (session, seq) = (SessionId(uint(row, 0)?), Seq(uint(row, 1)?));
            heads.push(Due {
                item: DueItem::QueuedExpired(session, seq),
                at: Timestamp(uint(row, 2)?),
                version: RecordVersion(seq.0),
                will: None,
            });
        }
        Ok(())
    }

    fn due_retained(&self, now: Timestamp, most: i64, heads: &mut Vec<Due>) -> Result<()> {
        let sql = "SELECT key, version, expires_at FROM retained \
                   WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([time(now), most])?;
        while let Some(row) = rows.next()? {
            let topic: TopicName<'static> = topic_of(row.get_ref(0)?.as_blob().map_err(corrupt)?)?;
            heads.push(Due {
                item: DueItem::RetainedExpired(topic),
                at: Timestamp(uint(row, 2)?),
                version: RecordVersion(uint(row, 1)?),
                will: None,
            });
        }
        Ok(())
    }

    /// Whether a due item is still there, unchanged, and due at `now`.
    pub(crate) fn check_claim(&self, due: &Due, now: Timestamp) -> Result<()> {
        let (version, at) = (int(due.version.0), time(now));
        let holds = match &due.item {
            DueItem::SessionExpired(id) => {
                let due_now = |row: &SessionRow| {
                    !row.has_ended() && row.epoch.0 == due.version.0 && row.due_at.is_some_and(|at| at <= now)
                };
                self.session(*id, due_now)? == Some(true)
            }
            DueItem::SessionEnded(id) => {
                let due_now = |row: &SessionRow| {
                    row.epoch.0 == due.version.0 && row.ended_at.is_some_and(|at| at <= now)
                };
                self.session(*id, due_now)? == Some(true)
            }
            DueItem::Will(id) => self.exists(
                "SELECT 1 FROM wills WHERE session = ?1 AND epoch = ?2 AND due_at <= ?3",
                [int(id.0), version, at],
            )?,
            DueItem::QueuedExpired(id, seq) => {
                seq.0 == due.version.0
                    && self.exists(
                        "SELECT 1 FROM queue WHERE session = ?1 AND seq = ?2 AND expires_at <= ?3",
                        [int(id.0), version, at],
                    )?
            }
            DueItem::RetainedExpired(topic) => self.exists(
                "SELECT 1 FROM retained WHERE key = ?1 AND version = ?2 AND expires_at <= ?3",
                params![crate::retained::key_of(topic.as_str()), version, at],
            )?,
        };
        if holds {
            return Ok(());
        }
        Err(StoreError::not_applied(ErrorKind::Conflict, format!("{:?} is not due any more", due.item))
            .into())
    }

    /// The first effect of a batch under a claim that was checked.
    pub(crate) fn carry_out_claim(&self, due: &Due, now: Timestamp) -> Result<()> {
        match &due.item {
            DueItem::SessionExpired(id) => {
                self.end_session(*id, now)?;
            }
            DueItem::Will(id) => {
                self.remove_will(*id, Epoch(due.version.0))?;
            }
            DueItem::SessionEnded(_) => {}
            DueItem::QueuedExpired(id, seq) => {
                self.settle(*id, *seq)?;
            }
            DueItem::RetainedExpired(topic) => {
                self.remove_retained(topic)?;
            }
        }
        Ok(())
    }
}
