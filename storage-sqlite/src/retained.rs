//! Retained messages, in an order in which everything below a topic lies behind it without a gap.
//!
//! The table's key is the topic with NUL (which no topic holds and which sorts first) for its level separators: a topic
//! tree laid flat in one B-tree. A wildcard seeks past everything below the last value of its level, so it costs the
//! distinct values there and not what lies between; a place in the walk is a key, right under any change.

use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

use opifex_packet::{TopicFilter, TopicName};
use opifex_storage::{Cursor, Message, Page, PageLimit, RecordVersion, Retained, StoreError, Timestamp};
use rusqlite::{CachedStatement, Row};

use crate::checksum::{KeyOrder, RETAINED};
use crate::fault::{Result, corrupt, note_damage};
use crate::message::{Stored, message_columns, read_message};
use crate::scan::{MAX_EXAMINED, bad_cursor, is_full};
use crate::state::{State, int, optional_time, time, uint};
use crate::tally::Counted;

use opifex_storage::encoding::topic_seek::{After, SEPARATOR, Sought};

impl State<'_> {
    /// Makes the message its topic's retained one.
    pub(crate) fn insert_retained(
        &self,
        message: &Arc<Message>,
        stored: &mut Stored,
    ) -> Result<RecordVersion> {
        let version = self.next_version()?;
        let key = key_of(message.topic.as_str());
        let replaced = self.retained_row(&key)?;
        let body = self.store_message(message, 1, stored)?;
        self.put_retained(&key, body, version, message.expires_at)?;
        match replaced {
            Some(Some(replaced)) => self.release_message(replaced.message, 1)?,
            Some(None) => {}
            None => self.count_rows(Counted::Retained, 1, 0),
        }
        Ok(version)
    }

    /// Whether a topic has a message, be it damaged.
    pub(crate) fn has_retained(&self, topic: &TopicName<'_>) -> Result<bool> {
        self.exists("SELECT 1 FROM retained WHERE key = ?1", [key_of(topic.as_str())])
    }

    pub(crate) fn put_retained(
        &self,
        key: &[u8],
        body: i64,
        version: RecordVersion,
        expires_at: Option<Timestamp>,
    ) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO retained (key, message, version, expires_at, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let fields = [key.into(), body.into(), int(version.0).into(), expires_at.map(time).into()];
        self.write(&RETAINED, sql, &fields)?;
        Ok(())
    }

    /// Removes a topic's message. Answers whether there was one.
    pub(crate) fn remove_retained(&self, topic: &TopicName<'_>) -> Result<bool> {
        let sql = "DELETE FROM retained WHERE key = ?1 RETURNING key, message, version, expires_at, checksum";
        let Some(removed) = self.remove(sql, [key_of(topic.as_str())], read_row)? else { return Ok(false) };
        self.count_rows(Counted::Retained, 0, 1);
        if let Some(row) = removed {
            self.release_message(row.message, 1)?;
        }
        Ok(true)
    }

    /// The version of a topic's message.
    pub(crate) fn retained_version(&self, topic: &TopicName<'_>) -> Result<Option<RecordVersion>> {
        Ok(self.sound_row(topic)?.map(|row| row.version))
    }

    /// Whether a topic's message has this version and has expired at `now`.
    pub(crate) fn retained_is_due(
        &self,
        topic: &TopicName<'_>,
        version: RecordVersion,
        now: Timestamp,
    ) -> Result<bool> {
        let row = self.sound_row(topic)?;
        Ok(row.is_some_and(|row| row.version == version && row.expires_at.is_some_and(|at| at <= now)))
    }

    fn sound_row(&self, topic: &TopicName<'_>) -> Result<Option<RetainedRow>> {
        let sql = "SELECT key, message, version, expires_at, checksum FROM retained WHERE key = ?1";
        self.record(sql, [key_of(topic.as_str())], read_row)
    }

    /// The row with this key; nothing in it when it is damaged.
    fn retained_row(&self, key: &[u8]) -> Result<Option<Option<RetainedRow>>> {
        let sql = "SELECT key, message, version, expires_at, checksum FROM retained WHERE key = ?1";
        self.record(sql, [key], |row| note_damage(read_row(row), &mut Vec::new()))
    }

    /// A page of the messages that match any of the filters: one filter after the other, without what an earlier one
    /// has matched.
    pub(crate) fn retained_page(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        let mut page = Page::new();
        let (first, mut start): (usize, Option<Bound<String>>) = match cursor {
            Some(cursor) => decode_place(&cursor)?,
            None => (0, None),
        };
        let mut bytes = 0;
        for (index, filter) in filters.iter().enumerate().skip(first) {
            let mut sought = Sought::new(filter.as_str());
            let mut at = start.take().unwrap_or_else(|| Included(sought.first_key()));
            loop {
                if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
                    page.next = Some(encode_place(index, &at));
                    return Ok(page);
                }
                let Page { items, examined, damaged, .. } = &mut page;
                let walked = self.walk(&mut sought, at, examined, damaged, |key, row, damaged| {
                    let topic = topic_of(key.as_bytes())?;
                    if !filters[..index].iter().any(|earlier| earlier.matches(&topic)) {
                        let message = RETAINED.read(row, 0, || self.message(row.get(1)?));
                        if let Some(message) = note_damage(message, damaged)? {
                            bytes += message.size_bytes();
                            items.push(Retained { message, version: RecordVersion(uint(row, 2)?) });
                        }
                    }
                    Ok(is_full(items.len(), bytes, &limit))
                })?;
                match walked {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
        Ok(page)
    }

    /// Walks on from `start` until a match fills the page or enough was looked at; answers where to go on.
    fn walk(
        &self,
        sought: &mut Sought<'_>,
        start: Bound<String>,
        examined: &mut usize,
        damaged: &mut Vec<StoreError>,
        mut found: impl FnMut(&str, &Row<'_>, &mut Vec<StoreError>) -> Result<bool>,
    ) -> Result<Option<Bound<String>>> {
        // Finding the place counts, too: many filters that match nothing are work as well. After that it is rows.
        *examined += 1;
        let mut at = start;
        loop {
            let mut statement = self.keys_from(&at)?;
            let key = match &at {
                Included(key) | Excluded(key) => key.as_bytes(),
                Unbounded => &[],
            };
            self.check_before(&RETAINED, &[key.into()], damaged)?;
            let mut rows = statement.query([key])?;
            let mut target: Option<String> = None;
            let mut order = KeyOrder::default();
            loop {
                let Some(row) = rows.next()? else { return Ok(None) };
                *examined += 1;
                // Also one that is not sought: its key may be what is damaged.
                let sound = order.follows(&RETAINED, row).and_then(|()| read_row(row));
                if note_damage(sound, damaged)?.is_none() {
                    continue;
                }
                let key = text(row.get_ref(0)?.as_blob().map_err(corrupt)?)?;
                // What is sought is often the very next key; only when it is not, seeking pays.
                if let Some(to) = target.take()
                    && key < to.as_str()
                {
                    at = Included(to);
                    break;
                }
                let (matches, after) = sought.judge(key);
                let full = matches && found(key, row, damaged)?;
                let enough = full || *examined >= MAX_EXAMINED;
                match after {
                    After::End => return Ok(None),
                    After::NextKey if enough => return Ok(Some(Excluded(key.to_owned()))),
                    After::NextKey => {}
                    After::Seek(to) if enough => return Ok(Some(Included(to.to_owned()))),
                    After::Seek(to) => target = Some(to.to_owned()),
                }
            }
        }
    }

    fn keys_from(&self, start: &Bound<String>) -> Result<CachedStatement<'_>> {
        Ok(self.db()?.prepare_cached(match start {
            Excluded(_) => {
                "SELECT key, message, version, expires_at, checksum FROM retained WHERE key > ?1 ORDER BY key"
            }
            Included(_) | Unbounded => {
                "SELECT key, message, version, expires_at, checksum FROM retained WHERE key >= ?1 ORDER BY key"
            }
        })?)
    }

    /// All messages with keys behind `key`, as long as `take` wants more: for walks of everything.
    pub(crate) fn retained_after(
        &self,
        key: &[u8],
        mut take: impl FnMut(&[u8], Result<Retained>) -> Result<bool>,
    ) -> Result<()> {
        macro_rules! retained_where {
            ($condition:literal) => {
                concat!(
                    "SELECT r.key, r.message, r.version, r.expires_at, r.checksum, ",
                    message_columns!(),
                    " FROM retained r LEFT JOIN messages m ON m.id = r.message WHERE ",
                    $condition,
                    " ORDER BY r.key"
                )
            };
        }
        // From the beginning without a search, which a damaged key would lead astray.
        let sql = match key {
            [] => retained_where!("?1 IS NOT NULL"),
            _ => retained_where!("r.key > ?1"),
        };
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([key])?;
        let mut order = KeyOrder::default();
        while let Some(row) = rows.next()? {
            let retained = order.follows(&RETAINED, row).and_then(|()| {
                RETAINED.read(row, 0, || {
                    let message = read_message(row, 5, row.get(1)?)?;
                    Ok(Retained { message, version: RecordVersion(uint(row, 2)?) })
                })
            });
            // A key of another type is damage that the checksum has found.
            if !take(row.get_ref(0)?.as_bytes().unwrap_or_default(), retained)? {
                break;
            }
        }
        Ok(())
    }
}

/// A row of `retained`, without its key.
struct RetainedRow {
    message: i64,
    version: RecordVersion,
    expires_at: Option<Timestamp>,
}

fn read_row(row: &Row<'_>) -> Result<RetainedRow> {
    RETAINED.read(row, 0, || {
        Ok(RetainedRow {
            message: row.get(1)?,
            version: RecordVersion(uint(row, 2)?),
            expires_at: optional_time(row, 3)?,
        })
    })
}

/// The key of a topic: `/` sorts between other characters, NUL before all of them.
pub(crate) fn key_of(topic: &str) -> Vec<u8> {
    topic.bytes().map(|byte| if byte == b'/' { SEPARATOR as u8 } else { byte }).collect()
}

/// The topic of a key.
pub(crate) fn topic_of(key: &[u8]) -> Result<TopicName<'static>> {
    let topic = text(key)?.replace(SEPARATOR, "/");
    TopicName::new(topic).map_err(|error| corrupt(format_args!("a retained message's key: {error}")))
}

fn text(key: &[u8]) -> Result<&str> {
    std::str::from_utf8(key).map_err(|error| corrupt(format_args!("a retained message's key: {error}")))
}

/// A place in the walk: the filter, and the key at or behind which it goes on.
fn encode_place(filter: usize, at: &Bound<String>) -> Cursor {
    let (behind, key) = match at {
        Included(key) => (0, key.as_str()),
        Excluded(key) => (1, key.as_str()),
        Unbounded => (0, ""),
    };
    let mut bytes = Vec::with_capacity(9 + key.len());
    bytes.extend_from_slice(&(filter as u64).to_be_bytes());
    bytes.push(behind);
    bytes.extend_from_slice(key.as_bytes());
    Cursor(bytes.into())
}

fn decode_place(cursor: &Cursor) -> Result<(usize, Option<Bound<String>>)> {
    let (filter, rest) = cursor.0.split_first_chunk::<8>().ok_or_else(bad_cursor)?;
    let (behind, key) = rest.split_first().ok_or_else(bad_cursor)?;
    let key = String::from_utf8(key.to_vec()).map_err(|_| bad_cursor())?;
    let at = if *behind == 0 { Included(key) } else { Excluded(key) };
    Ok((u64::from_be_bytes(*filter) as usize, Some(at)))
}
