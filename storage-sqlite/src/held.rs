//! New bodies and queue entries that wait to be inserted, some with one statement: to write 32 rows at once takes a
//! quarter less work a row than to run a statement for each.
//!
//! Whatever else looks at the tables writes them first ([`State::db`]), so nobody sees that they were held. What cannot be
//! inserted then is not known to be of one batch: the transaction fails, and where a damaged table is the cause the store
//! holds nothing more back until it is opened again, so that damage refuses the batch that meets it and no other.

use std::cell::Cell;
use std::sync::{Arc, LazyLock};

use opifex_storage::{ErrorKind, Message};
use rusqlite::params_from_iter;

use crate::checksum::{Field, MESSAGES, QUEUE};
use crate::fault::{Result, kind_of};
use crate::queue_row::QueueRow;
use crate::state::{State, time};

/// How many rows a statement writes: the largest that finds as many.
const SIZES: [usize; 3] = [32, 8, 1];

/// A message of so many bytes does not wait: running a statement is little beside copying it.
const LARGE: usize = 16 << 10;

/// Statements that insert rows of one shape, one of each size.
struct Inserts([String; SIZES.len()]);

impl Inserts {
    /// `row` answers the values of a row whose parameters come after so many.
    fn new(columns: &str, row: impl Fn(usize) -> String, parameters: usize) -> Inserts {
        // An error rolls back more than the statement anyway: FAIL spares the journal that ABORT keeps for it.
        Inserts(SIZES.map(|size| {
            let rows: Vec<String> = (0..size).map(|index| row(index * parameters)).collect();
            format!("INSERT OR FAIL INTO {columns} VALUES {}", rows.join(", "))
        }))
    }

    /// With so many parameters a row, one for each column.
    fn plain(columns: &str, parameters: usize) -> Inserts {
        let row = |before: usize| {
            let numbers: Vec<String> = (1..=parameters).map(|n| format!("?{}", before + n)).collect();
            format!("({})", numbers.join(", "))
        };
        Inserts::new(columns, row, parameters)
    }
}

static INTO_MESSAGES: LazyLock<Inserts> = LazyLock::new(|| {
    let columns = "messages (id, refs, topic, qos, expires_at, properties, payload, checksum, refs_check)";
    let row = |n: usize| {
        let of = |index| n + index;
        format!(
            "(?{}, ?{refs}, ?{}, ?{}, ?{}, ?{}, ?{}, ?{}, -?{refs})",
            of(1),
            of(3),
            of(4),
            of(5),
            of(6),
            of(7),
            of(8),
            refs = of(2)
        )
    };
    Inserts::new(columns, row, 8)
});

static INTO_QUEUE: LazyLock<Inserts> = LazyLock::new(|| {
    let columns = "queue (session, seq, message, size, qos, retain, packet_id, expires_at, \
                   subscription_ids, share, checksum)";
    Inserts::plain(columns, 11)
});

/// For entries that have nothing but what each has: what is not bound costs nothing.
static SIMPLE_INTO_QUEUE: LazyLock<Inserts> =
    LazyLock::new(|| Inserts::plain("queue (session, seq, message, size, qos, retain, checksum)", 7));

/// A body that no row holds yet.
struct Body {
    id: i64,
    refs: i64,
    message: Arc<Message>,
}

impl Body {
    fn fields(&self) -> [Field<'_>; 8] {
        let message = &*self.message;
        let [id, topic, qos, expires_at, properties, payload] = [
            self.id.into(),
            message.topic.as_str().into(),
            i64::from(u8::from(message.qos)).into(),
            message.expires_at.map(time).into(),
            message.properties.as_bytes().into(),
            message.payload[..].into(),
        ];
        let checksum = MESSAGES.checksum([id, topic, qos, expires_at, properties, payload]);
        [id, self.refs.into(), topic, qos, expires_at, properties, payload, checksum.into()]
    }
}

impl QueueRow {
    /// Whether it has nothing but what each entry has.
    fn is_simple(&self) -> bool {
        self.packet_id.is_none()
            && self.expires_at.is_none()
            && self.subscription_ids.is_none()
            && self.share.is_none()
    }

    fn simple_fields(&self) -> [Field<'_>; 7] {
        let fields = self.fields();
        let checksum = QUEUE.checksum(fields).into();
        let [session, seq, message, size, qos, retain, ..] = fields;
        [session, seq, message, size, qos, retain, checksum]
    }

    fn all_fields(&self) -> [Field<'_>; 11] {
        let fields = self.fields();
        let checksum = QUEUE.checksum(fields).into();
        let [session, seq, message, size, qos, retain, packet_id, expires_at, ids, share] = fields;
        [session, seq, message, size, qos, retain, packet_id, expires_at, ids, share, checksum]
    }
}

/// The rows of a transaction that wait.
#[derive(Default)]
pub(crate) struct Held {
    bodies: Vec<Body>,
    entries: Vec<QueueRow>,
}

impl<'db> State<'db> {
    /// Inserts a body that so many rows will name, now or later.
    pub(crate) fn insert_body(&self, id: i64, refs: i64, message: &Arc<Message>) -> Result<()> {
        self.note_change();
        let waiting = {
            let bodies = &mut self.held.borrow_mut().bodies;
            bodies.push(Body { id, refs, message: Arc::clone(message) });
            bodies.len()
        };
        let waits = waiting < self.most_held() && message.size_bytes() < LARGE;
        if waits { Ok(()) } else { Ok(self.write_bodies()?) }
    }

    /// So many rows more will name a body; answers whether it is one that waits.
    pub(crate) fn add_refs_to_held(&self, id: i64, refs: i64) -> bool {
        let mut held = self.held.borrow_mut();
        let body = held.bodies.iter_mut().rev().find(|body| body.id == id);
        body.map(|body| body.refs += refs).is_some()
    }

    /// Inserts an entry, now or later.
    pub(crate) fn insert_entry(&self, row: QueueRow) -> Result<()> {
        self.note_change();
        let waiting = {
            let entries = &mut self.held.borrow_mut().entries;
            entries.push(row);
            entries.len()
        };
        if waiting < self.most_held() { Ok(()) } else { Ok(self.write_entries()?) }
    }

    fn most_held(&self) -> usize {
        match self.holds.is_some_and(Cell::get) {
            true => SIZES[0],
            false => 1,
        }
    }

    /// Inserts what waits.
    pub(crate) fn write_held(&self) -> rusqlite::Result<()> {
        self.write_bodies()?;
        self.write_entries()
    }

    fn write_bodies(&self) -> rusqlite::Result<()> {
        self.write_rows(&self.held.borrow().bodies, &INTO_MESSAGES, Body::fields)?;
        self.held.borrow_mut().bodies.clear();
        Ok(())
    }

    fn write_entries(&self) -> rusqlite::Result<()> {
        for run in self.held.borrow().entries.chunk_by(|one, next| one.is_simple() == next.is_simple()) {
            match run[0].is_simple() {
                true => self.write_rows(run, &SIMPLE_INTO_QUEUE, QueueRow::simple_fields)?,
                false => self.write_rows(run, &INTO_QUEUE, QueueRow::all_fields)?,
            }
        }
        self.held.borrow_mut().entries.clear();
        Ok(())
    }

    /// Inserts rows of one shape.
    fn write_rows<'r, T, const N: usize>(
        &self,
        mut rows: &'r [T],
        inserts: &'static Inserts,
        fields: impl Fn(&'r T) -> [Field<'r>; N],
    ) -> rusqlite::Result<()> {
        for (size, sql) in SIZES.iter().zip(&inserts.0) {
            while rows.len() >= *size {
                let (now, later) = rows.split_at(*size);
                let params = params_from_iter(now.iter().flat_map(&fields));
                self.without_held(sql, |statement| statement.execute(params))
                    .inspect_err(|error| self.note_lost(error))?;
                rows = later;
            }
        }
        Ok(())
    }

    /// Rows of the transaction could not be inserted, and are not those of the batch that learns of it.
    fn note_lost(&self, error: &rusqlite::Error) {
        self.note_change();
        if let Some(holds) = self.holds.filter(|_| kind_of(error) == ErrorKind::Corrupt) {
            self.lost_held.set(holds.replace(false));
        }
    }

    /// Whether the tables have failed rows of any batch, so that all of the transaction fails.
    pub(crate) fn has_lost_held(&self) -> bool {
        self.lost_held.get()
    }
}
