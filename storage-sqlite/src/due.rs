//! What becomes due, in order of its time: four tables have an index of their deadlines, a page merges their heads.

use opifex_packet::TopicName;
use opifex_storage::{Due, DueItem, Epoch, ErrorKind, Page, PageLimit, RecordVersion, StoreError, Timestamp};
use rusqlite::{Row, Rows};

use crate::checksum::RETAINED;
use crate::fault::{Result, corrupt, note_damage};
use crate::queue_row::{QueueRow, queue_columns};
use crate::retained::topic_of;
use crate::scan::{MAX_EXAMINED, is_full};
use crate::session_row::{SessionRow, read_row, session_columns};
use crate::state::{State, time, uint};
use crate::will::{read_will, will_columns};

/// The first of each table.
struct Heads {
    due: Vec<Due>,
    damaged: Vec<StoreError>,
    /// So many of each, and so many bytes of wills.
    most: usize,
    bytes: usize,
}

impl Heads {
    /// Takes the first of a table's rows, which come in the order of their time.
    fn take(&mut self, mut rows: Rows<'_>, read: impl Fn(&Row<'_>) -> Result<Due>) -> Result<()> {
        let (mut taken, mut bytes) = (0, 0);
        while taken < self.most
            && (taken == 0 || bytes < self.bytes)
            && let Some(row) = rows.next()?
        {
            let Some(due) = note_damage(read(row), &mut self.damaged)? else { continue };
            taken += 1;
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            self.due.push(due);
        }
        Ok(())
    }
}

impl State<'_> {
    pub(crate) fn due_page(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        let mut heads = Heads {
            due: Vec::new(),
            damaged: Vec::new(),
            most: limit.items.clamp(1, MAX_EXAMINED),
            bytes: limit.bytes,
        };
        self.due_sessions(now, &mut heads)?;
        self.due_wills(now, &mut heads)?;
        self.due_queued(now, &mut heads)?;
        self.due_retained(now, &mut heads)?;
        let Heads { mut due, damaged, .. } = heads;
        let examined = due.len() + damaged.len();
        due.sort_by(|a, b| (a.at, &a.item, a.version).cmp(&(b.at, &b.item, b.version)));
        let (mut items, mut bytes) = (Vec::new(), 0);
        for due in due {
            if is_full(items.len(), bytes, &limit) {
                break;
            }
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            items.push(due);
        }
        Ok(Page { items, examined, damaged, ..Page::new() })
    }

    /// Sessions that expired, and what those left that ended.
    fn due_sessions(&self, now: Timestamp, heads: &mut Heads) -> Result<()> {
        let sql = concat!("SELECT ", session_columns!(), " FROM sessions WHERE due_at <= ?1 ORDER BY due_at");
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now)])?, |row| {
            let session = read_row(row)?;
            let id = session.id;
            let item =
                if session.has_ended() { DueItem::SessionEnded(id) } else { DueItem::SessionExpired(id) };
            let at = session.due_at.unwrap_or(now);
            Ok(Due { item, at, version: RecordVersion(session.epoch.0), will: None })
        })
    }

    fn due_wills(&self, now: Timestamp, heads: &mut Heads) -> Result<()> {
        let sql = concat!(
            "SELECT ",
            will_columns!(),
            " FROM wills w LEFT JOIN messages m ON m.id = w.message WHERE w.due_at <= ?1 ORDER BY w.due_at"
        );
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now)])?, |row| {
            let will = read_will(row)?;
            Ok(Due {
                item: DueItem::Will(will.session),
                at: will.due_at.unwrap_or(now),
                version: RecordVersion(will.epoch.0),
                will: Some(will),
            })
        })
    }

    fn due_queued(&self, now: Timestamp, heads: &mut Heads) -> Result<()> {
        let sql =
            concat!("SELECT ", queue_columns!(), " FROM queue q WHERE expires_at <= ?1 ORDER BY expires_at");
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now)])?, |row| {
            let entry = QueueRow::read(row)?;
            Ok(Due {
                item: DueItem::QueuedExpired(entry.session, entry.seq),
                at: entry.expires_at.unwrap_or(now),
                version: RecordVersion(entry.seq.0),
                will: None,
            })
        })
    }

    fn due_retained(&self, now: Timestamp, heads: &mut Heads) -> Result<()> {
        let sql = "SELECT key, message, version, expires_at, checksum FROM retained \
                   WHERE expires_at <= ?1 ORDER BY expires_at";
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now)])?, |row| {
            RETAINED.read(row, 0, || {
                let topic: TopicName<'static> = topic_of(row.get_ref(0)?.as_blob().map_err(corrupt)?)?;
                Ok(Due {
                    item: DueItem::RetainedExpired(topic),
                    at: Timestamp(uint(row, 3)?),
                    version: RecordVersion(uint(row, 2)?),
                    will: None,
                })
            })
        })
    }

    /// Whether a due item is still there, unchanged, and due at `now`.
    pub(crate) fn check_claim(&self, due: &Due, now: Timestamp) -> Result<()> {
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
            DueItem::Will(id) => self.will_is_due(*id, Epoch(due.version.0), now)?,
            DueItem::QueuedExpired(id, seq) => seq.0 == due.version.0 && self.entry_is_due(*id, *seq, now)?,
            DueItem::RetainedExpired(topic) => self.retained_is_due(topic, due.version, now)?,
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
