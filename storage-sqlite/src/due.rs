//! What becomes due, in order of its time: four tables have an index of their deadlines, a page merges their heads. What is
//! due at one moment comes table by table, and of a table by its keys.

use opifex_packet::TopicName;
use opifex_storage::encoding::key::{self, DueKey};
use opifex_storage::{
    Cursor, Due, DueItem, Epoch, ErrorKind, Page, PageLimit, RecordVersion, Seq, StoreError, Timestamp,
};
use rusqlite::{Row, Rows};

use crate::checksum::RETAINED;
use crate::fault::{Result, corrupt, note_damage};
use crate::queue_row::{QueueRow, queue_columns};
use crate::retained::{key_of, topic_of};
use crate::scan::{MAX_EXAMINED, bad_cursor, is_full};
use crate::session_row::{SessionRow, read_row, session_columns};
use crate::state::{State, int, time, uint};
use crate::will::{read_will, will_columns};

/// The place behind which a walk goes on.
struct After {
    at: Timestamp,
    /// None at the start.
    key: Option<DueKey>,
}

impl After {
    fn new(cursor: Option<Cursor>) -> Result<After> {
        let Some(Cursor(place)) = cursor else {
            return Ok(After { at: Timestamp(0), key: None });
        };
        let (at, key) = key::due_of(&place).map_err(|_| bad_cursor())?;
        Ok(After { at, key: Some(key) })
    }

    /// The same in a table with keys of two numbers: behind all of the moment, or before, when the place is in another.
    fn numbers(&self, table: Table) -> (i64, i64) {
        match &self.key {
            Some(key) if Table::of(key) > table => (i64::MAX, i64::MAX),
            Some(key) if Table::of(key) < table => (-1, -1),
            Some(DueKey::Session(id) | DueKey::Ended(id)) => (int(id.0), 0),
            Some(DueKey::Will(id, Epoch(number)) | DueKey::Queued(id, Seq(number))) => {
                (int(id.0), int(*number))
            }
            Some(DueKey::Retained(_)) | None => (-1, -1),
        }
    }

    /// The same in the last of the tables.
    fn topic(&self) -> Vec<u8> {
        match &self.key {
            Some(DueKey::Retained(topic)) => key_of(topic.as_str()),
            _ => Vec::new(),
        }
    }
}

/// In the order in which they come.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Sessions,
    Wills,
    Queue,
    Retained,
}

impl Table {
    fn of(key: &DueKey) -> Table {
        match key {
            DueKey::Session(_) | DueKey::Ended(_) => Table::Sessions,
            DueKey::Will(..) => Table::Wills,
            DueKey::Queued(..) => Table::Queue,
            DueKey::Retained(_) => Table::Retained,
        }
    }
}

/// The cursor that goes on behind an item.
fn behind(due: &Due) -> Cursor {
    let key = match &due.item {
        DueItem::SessionExpired(id) => DueKey::Session(*id),
        DueItem::SessionEnded(id) => DueKey::Ended(*id),
        DueItem::Will(id) => DueKey::Will(*id, Epoch(due.version.0)),
        DueItem::QueuedExpired(id, seq) => DueKey::Queued(*id, *seq),
        DueItem::RetainedExpired(topic) => DueKey::Retained(topic.clone()),
    };
    Cursor(key::due(due.at, &key))
}

/// The first of each table behind a place.
struct Heads {
    after: After,
    due: Vec<Due>,
    damaged: Vec<StoreError>,
    /// So many of each, and so many bytes of wills.
    most: usize,
    bytes: usize,
    /// A table has others.
    more: bool,
}

impl Heads {
    /// Takes the first of a table's rows, which come in the order of their time.
    fn take(&mut self, mut rows: Rows<'_>, read: impl Fn(&Row<'_>) -> Result<Due>) -> Result<()> {
        let (mut taken, mut bytes) = (0, 0);
        while let Some(row) = rows.next()? {
            if taken >= self.most || (taken > 0 && bytes >= self.bytes) {
                self.more = true;
                break;
            }
            let Some(due) = note_damage(self.in_its_turn(read(row)), &mut self.damaged)? else { continue };
            taken += 1;
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            self.due.push(due);
        }
        Ok(())
    }

    /// A damaged index sends no walk back.
    fn in_its_turn(&self, read: Result<Due>) -> Result<Due> {
        let due = read?;
        if due.at < self.after.at {
            return Err(corrupt(format_args!("{:?} is not due in its turn", due.item)));
        }
        Ok(due)
    }
}

impl State<'_> {
    pub(crate) fn due_page(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Due>> {
        let mut heads = Heads {
            after: After::new(cursor)?,
            due: Vec::new(),
            damaged: Vec::new(),
            most: limit.items.clamp(1, MAX_EXAMINED),
            bytes: limit.bytes,
            more: false,
        };
        self.due_sessions(now, &mut heads)?;
        self.due_wills(now, &mut heads)?;
        self.due_queued(now, &mut heads)?;
        self.due_retained(now, &mut heads)?;
        let Heads { mut due, damaged, mut more, .. } = heads;
        let examined = due.len() + damaged.len();
        // Those of one moment stay as they are.
        due.sort_by_key(|due| due.at);
        let (mut items, mut bytes) = (Vec::new(), 0);
        for due in due {
            if is_full(items.len(), bytes, &limit) {
                more = true;
                break;
            }
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            items.push(due);
        }
        let next = items.last().filter(|_| more).map(behind);
        Ok(Page { items, next, examined, damaged })
    }

    /// Sessions that expired, and what those left that ended.
    fn due_sessions(&self, now: Timestamp, heads: &mut Heads) -> Result<()> {
        let sql = concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions WHERE due_at <= ?1 AND (due_at, id) > (?2, ?3) ORDER BY due_at, id"
        );
        let (at, (id, _)) = (heads.after.at, heads.after.numbers(Table::Sessions));
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now), time(at), id])?, |row| {
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
            " FROM wills w LEFT JOIN messages m ON m.id = w.message WHERE w.due_at <= ?1 AND \
             (w.due_at, w.session, w.epoch) > (?2, ?3, ?4) ORDER BY w.due_at, w.session, w.epoch"
        );
        let (at, (id, epoch)) = (heads.after.at, heads.after.numbers(Table::Wills));
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now), time(at), id, epoch])?, |row| {
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
        let sql = concat!(
            "SELECT ",
            queue_columns!(),
            " FROM queue q WHERE expires_at <= ?1 AND (expires_at, session, seq) > (?2, ?3, ?4) \
             ORDER BY expires_at, session, seq"
        );
        let (at, (id, seq)) = (heads.after.at, heads.after.numbers(Table::Queue));
        heads.take(self.db()?.prepare_cached(sql)?.query([time(now), time(at), id, seq])?, |row| {
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
                   WHERE expires_at <= ?1 AND (expires_at, key) > (?2, ?3) ORDER BY expires_at, key";
        let (at, key) = (heads.after.at, heads.after.topic());
        heads.take(self.db()?.prepare_cached(sql)?.query((time(now), time(at), key))?, |row| {
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
