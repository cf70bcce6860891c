//! The checksum of each row: a CRC-32C of the table's name and the row's columns, in the row's last column.
//!
//! It finds what changed on the disk behind our back: a flipped bit in any column, the key too, makes a row that no
//! reader takes for what was written. It is no protection from a person with `sqlite3`.

use std::cmp::Ordering::{self, Equal, Less};
use std::fmt::Write;

use opifex_storage::{ErrorKind, SessionId, StoreError};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Row, ToSql};

use crate::fault::{Fault, Result, note_damage};

/// A table whose rows are sealed: its columns in the order in which they are summed, the key first.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [&'static str],
    key_columns: usize,
}

pub(crate) const COUNTERS: Table = Table { name: "counters", columns: &["name", "value"], key_columns: 1 };

pub(crate) const SESSIONS: Table = Table {
    name: "sessions",
    columns: &[
        "id",
        "client_id",
        "epoch",
        "expiry_secs",
        "offline_since",
        "ended_at",
        "due_at",
        "next_seq",
        "queued_items",
        "queued_bytes",
        "waiting_items",
        "waiting_bytes",
        "subscriptions",
        "inbound_ids",
    ],
    key_columns: 1,
};

/// Its `refs` change with each row that names the body; they are checked by their negation beside them.
pub(crate) const MESSAGES: Table = Table {
    name: "messages",
    columns: &["id", "topic", "qos", "expires_at", "properties", "payload"],
    key_columns: 1,
};

pub(crate) const SUBSCRIPTIONS: Table =
    Table { name: "subscriptions", columns: &["session", "filter", "options", "identifier"], key_columns: 2 };

pub(crate) const QUEUE: Table = Table {
    name: "queue",
    columns: &[
        "session",
        "seq",
        "message",
        "size",
        "qos",
        "retain",
        "packet_id",
        "expires_at",
        "subscription_ids",
        "share",
    ],
    key_columns: 2,
};

pub(crate) const INBOUND: Table =
    Table { name: "inbound", columns: &["session", "packet_id"], key_columns: 2 };

pub(crate) const RETAINED: Table =
    Table { name: "retained", columns: &["key", "message", "version", "expires_at"], key_columns: 1 };

pub(crate) const WILLS: Table = Table {
    name: "wills",
    columns: &["session", "epoch", "message", "retain", "delay_secs", "expiry_secs", "due_at"],
    key_columns: 2,
};

/// All of them.
pub(crate) const TABLES: [&Table; 8] =
    [&COUNTERS, &SESSIONS, &MESSAGES, &SUBSCRIPTIONS, &QUEUE, &INBOUND, &RETAINED, &WILLS];

/// A column's value, on its way into a row.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Field<'a>(pub(crate) ValueRef<'a>);

impl Field<'_> {
    pub(crate) const NULL: Field<'static> = Field(ValueRef::Null);
}

impl From<i64> for Field<'_> {
    fn from(value: i64) -> Self {
        Field(ValueRef::Integer(value))
    }
}

impl<'a> From<&'a str> for Field<'a> {
    fn from(text: &'a str) -> Self {
        Field(ValueRef::Text(text.as_bytes()))
    }
}

impl<'a> From<&'a [u8]> for Field<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Field(ValueRef::Blob(bytes))
    }
}

impl<'a, T: Into<Field<'a>>> From<Option<T>> for Field<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Field::NULL, Into::into)
    }
}

impl ToSql for Field<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}

/// A checksum over many short pieces, which are gathered: each call for itself costs more than its bytes.
struct Sum {
    of_before: u32,
    gathered: [u8; 256],
    len: usize,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { of_before: 0, gathered: [0; 256], len: 0 }
    }
}

impl Sum {
    /// What is before each column: its type, and its number or length.
    #[inline]
    fn add_head(&mut self, tag: u8, number: i64) {
        if self.gathered.len() - self.len < 9 {
            self.end();
        }
        if let Some(place) = self.gathered[self.len..].first_chunk_mut::<9>() {
            place[0] = tag;
            place[1..].copy_from_slice(&number.to_le_bytes());
            self.len += 9;
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        if bytes.len() > self.gathered.len() - self.len {
            self.end();
        }
        match self.gathered.get_mut(self.len..self.len + bytes.len()) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.of_before = crc32c::crc32c_append(self.of_before, bytes),
        }
    }

    /// Of all that was added.
    fn end(&mut self) -> u32 {
        self.of_before = crc32c::crc32c_append(self.of_before, &self.gathered[..self.len]);
        self.len = 0;
        self.of_before
    }
}

impl Table {
    /// The checksum of a row with these columns.
    pub(crate) fn checksum<'a>(&self, fields: impl IntoIterator<Item = Field<'a>>) -> i64 {
        let mut sum = Sum::default();
        sum.add(self.name.as_bytes());
        for Field(value) in fields {
            match value {
                ValueRef::Null => sum.add_head(0, 0),
                ValueRef::Integer(number) => sum.add_head(1, number),
                ValueRef::Real(number) => sum.add_head(2, number.to_bits() as i64),
                ValueRef::Text(text) => {
                    sum.add_head(3, text.len() as i64);
                    sum.add(text);
                }
                ValueRef::Blob(blob) => {
                    sum.add_head(4, blob.len() as i64);
                    sum.add(blob);
                }
            }
        }
        i64::from(sum.end())
    }

    /// Reads a row whose columns begin at `first`, in the table's order, with the checksum behind them. What is wrong
    /// with it is a `Corrupt` that names the row.
    pub(crate) fn read<T>(&self, row: &Row<'_>, first: usize, read: impl FnOnce() -> Result<T>) -> Result<T> {
        self.verify(row, first).and_then(|()| read()).map_err(|fault| match fault {
            Fault::Refused(error) if error.kind() == ErrorKind::Corrupt => {
                self.damaged(row, first, &error.to_string())
            }
            // Not the engine's word: a column is not of the type that we wrote.
            Fault::Engine(error) if error.sqlite_error_code().is_none() => {
                self.damaged(row, first, &error.to_string())
            }
            other => other,
        })
    }

    /// Whether a row, whose columns are the first, is behind those that begin with `value`. Only a sound one tells: the
    /// key of a damaged one would hide what is behind it.
    pub(crate) fn is_behind(&self, row: &Row<'_>, value: i64) -> Result<bool> {
        if row.get_ref(0)? == ValueRef::Integer(value) {
            return Ok(false);
        }
        Ok(note_damage(self.read(row, 0, || Ok(())), &mut Vec::new())?.is_some())
    }

    /// The query for the last row up to a key.
    pub(crate) fn row_before(&self) -> String {
        let (columns, name) = (self.columns.join(", "), self.name);
        match self.columns[..self.key_columns] {
            [first, second] => format!(
                "SELECT {columns}, checksum FROM {name} WHERE ({first}, {second}) <= (?1, ?2) \
                 ORDER BY {first} DESC, {second} DESC LIMIT 1"
            ),
            _ => {
                let key = self.columns[0];
                format!(
                    "SELECT {columns}, checksum FROM {name} WHERE {key} <= ?1 ORDER BY {key} DESC LIMIT 1"
                )
            }
        }
    }

    /// What is to be said when not all the rows of a session are found that are counted in its row: one with a damaged
    /// key can hide others.
    pub(crate) fn hidden(&self, session: SessionId, found: u64, counted: u64) -> Option<StoreError> {
        let what = format!(
            "table {} is damaged: session {session} has {counted} rows there, and {found} are found",
            self.name
        );
        (found != counted).then(|| StoreError::not_applied(ErrorKind::Corrupt, what))
    }

    fn verify(&self, row: &Row<'_>, first: usize) -> Result<()> {
        let columns = first..first + self.columns.len();
        let fields =
            columns.map(|column| row.get_ref(column).map(Field)).collect::<rusqlite::Result<Vec<_>>>()?;
        let stored: i64 = row.get(first + self.columns.len())?;
        if self.checksum(fields) == stored {
            return Ok(());
        }
        Err(StoreError::not_applied(ErrorKind::Corrupt, "its checksum differs").into())
    }

    /// Says which row it is.
    fn damaged(&self, row: &Row<'_>, first: usize, why: &str) -> Fault {
        let mut key = String::new();
        for (index, column) in self.columns[..self.key_columns].iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let value = match row.get_ref(first + index) {
                Ok(ValueRef::Integer(number)) => number.to_string(),
                Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                    format!("{:?}", String::from_utf8_lossy(bytes).replace('\0', "/"))
                }
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            // Writing to a string does not fail.
            let _ = write!(key, "{separator}{column} {value}");
        }
        let what = format!("the row of table {} with {key} is damaged: {why}", self.name);
        StoreError::not_applied(ErrorKind::Corrupt, what).into()
    }
}

/// The order of a walk: a row that does not follow the one before it is damage, however sound it is.
#[derive(Default)]
pub(crate) struct KeyOrder(Vec<Value>);

impl KeyOrder {
    /// Whether the row, whose columns are the first, follows; `Corrupt` when not.
    pub(crate) fn follows(&mut self, table: &Table, row: &Row<'_>) -> Result<()> {
        let key =
            (0..table.key_columns).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<Value>>>()?;
        let compared = self.0.iter().zip(&key).map(|(before, now)| compare(before, now));
        let follows = self.0.is_empty() || compared.fold(Equal, Ordering::then) == Less;
        if follows {
            self.0 = key;
            return Ok(());
        }
        Err(table.damaged(row, 0, "it is not in its place"))
    }
}

/// As SQLite orders values of one type; those of different types are not in a sound table.
fn compare(one: &Value, other: &Value) -> Ordering {
    match (one, other) {
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Text(one), Value::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        (Value::Blob(one), Value::Blob(other)) => one.cmp(other),
        _ => Less,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_of_a_row_changes_its_checksum() {
        let sum = |number: i64, text: &[u8]| {
            MESSAGES.checksum([number.into(), Field(ValueRef::Text(text)), Field::NULL, text.into()])
        };
        let right = sum(5, b"home/lamp");
        for bit in 0..64 {
            assert_ne!(sum(5 ^ (1 << bit), b"home/lamp"), right, "bit {bit} of the number");
        }
        for bit in 0..72 {
            let mut text = *b"home/lamp";
            text[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(sum(5, &text), right, "bit {bit} of the text");
        }
    }

    #[test]
    fn equal_columns_in_another_table_or_of_another_type_are_another_row() {
        let one = [Field::from(1), Field::from(2)];
        assert_ne!(INBOUND.checksum(one), COUNTERS.checksum(one));
        assert_ne!(INBOUND.checksum([Field::from("x")]), INBOUND.checksum([Field::from(&b"x"[..])]));
        assert_ne!(
            INBOUND.checksum([Field::from("ab"), Field::from("c")]),
            INBOUND.checksum([Field::from("a"), Field::from("bc")])
        );
        assert_ne!(INBOUND.checksum([Field::NULL]), INBOUND.checksum([Field::from(0)]));
    }
}
