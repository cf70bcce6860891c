//! Retained messages, in an order in which everything below a topic lies behind it without a gap.
//!
//! One ordered map from the topic, its level separators written as NUL (which no topic holds and which sorts first), to
//! the message. That is a topic tree laid flat: a level's values are found one after the other by seeking past
//! everything below the last, so a wildcard costs the distinct values at its level and not what lies between; a place
//! in the walk is a key, right under any change; and the depth of a topic costs nothing.

use std::collections::BTreeMap;
use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::sync::Arc;

use opifex_packet::{TopicFilter, TopicName};
use opifex_storage::encoding::topic_seek::{After, SEPARATOR, Sought};
use opifex_storage::{Cursor, Message, Page, PageLimit, RecordVersion, Result, Retained, Timestamp};

use crate::due::{DueIndex, DueKey};
use crate::scan::{MAX_EXAMINED, bad_cursor, is_full};

/// The retained messages of all topics.
#[derive(Default)]
pub(crate) struct RetainedMessages {
    by_key: BTreeMap<Box<str>, Slot>,
    /// Kept for its capacity: a key is made for every look-up.
    key: String,
}

struct Slot {
    message: Arc<Message>,
    version: RecordVersion,
}

impl Slot {
    fn record(&self) -> Retained {
        Retained { message: Arc::clone(&self.message), version: self.version }
    }
}

impl RetainedMessages {
    /// Topics that have a retained message.
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Makes the message its topic's retained one.
    pub(crate) fn insert(&mut self, message: Arc<Message>, version: RecordVersion, due: &mut DueIndex) {
        write_key(&mut self.key, message.topic.as_str());
        let deadline = message.expires_at.map(|at| (at, DueKey::Retained(Box::new(message.topic.clone()))));
        let slot = Slot { message, version };
        match self.by_key.get_mut(self.key.as_str()) {
            Some(place) => forget_deadline(&std::mem::replace(place, slot), due),
            None => {
                self.by_key.insert(Box::from(self.key.as_str()), slot);
            }
        }
        if let Some((at, key)) = deadline {
            due.insert(at, key);
        }
    }

    /// Removes a topic's message. Answers whether there was one.
    pub(crate) fn remove(&mut self, topic: &TopicName<'_>, due: &mut DueIndex) -> bool {
        write_key(&mut self.key, topic.as_str());
        let removed = self.by_key.remove(self.key.as_str());
        if let Some(slot) = &removed {
            forget_deadline(slot, due);
        }
        removed.is_some()
    }

    /// The version of a topic's message.
    pub(crate) fn version(&self, topic: &TopicName<'_>) -> Option<RecordVersion> {
        Some(self.slot(topic)?.version)
    }

    /// When a topic's message expires.
    pub(crate) fn expires_at(&self, topic: &TopicName<'_>) -> Option<Timestamp> {
        self.slot(topic)?.message.expires_at
    }

    fn slot(&self, topic: &TopicName<'_>) -> Option<&Slot> {
        let mut key = String::new();
        write_key(&mut key, topic.as_str());
        self.by_key.get(key.as_str())
    }

    /// A page of the messages that match any of the filters: one filter after the other, without what an earlier one
    /// has matched.
    pub(crate) fn matching(
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
                let walked = self.walk(&mut sought, at, &mut page.examined, |slot| {
                    let topic = slot.message.topic.borrow();
                    if !filters[..index].iter().any(|earlier| earlier.matches(&topic)) {
                        bytes += slot.message.size_bytes();
                        page.items.push(slot.record());
                    }
                    is_full(page.items.len(), bytes, &limit)
                });
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
        mut found: impl FnMut(&Slot) -> bool,
    ) -> Option<Bound<String>> {
        // Finding the place counts, too: many filters that match nothing are work as well.
        *examined += 1;
        let mut range = self.range(&start);
        let mut entry = range.next();
        loop {
            let (key, slot) = entry?;
            *examined += 1;
            let (matches, after) = sought.judge(key);
            let full = matches && found(slot);
            let enough = full || *examined >= MAX_EXAMINED;
            match after {
                After::End => return None,
                After::NextKey if enough => return Some(Excluded(key.to_string())),
                After::NextKey => entry = range.next(),
                After::Seek(to) if enough => return Some(Included(to.to_owned())),
                After::Seek(to) => {
                    // What is sought is often the very next key; only when it is not, seeking pays.
                    entry = range.next();
                    if entry.is_some_and(|(key, _)| &**key < to) {
                        *examined += 1;
                        range = self.by_key.range::<str, _>((Included(to), Unbounded));
                        entry = range.next();
                    }
                }
            }
        }
    }

    fn range(&self, start: &Bound<String>) -> std::collections::btree_map::Range<'_, Box<str>, Slot> {
        self.by_key.range::<str, _>((start.as_ref().map(String::as_str), Unbounded))
    }

    /// All messages with keys after `key`, each with its key: for walks of everything.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = (&str, Retained)> {
        let start = key.map_or(Unbounded, Excluded);
        self.by_key.range::<str, _>((start, Unbounded)).map(|(key, slot)| (&**key, slot.record()))
    }
}

fn write_key(key: &mut String, topic: &str) {
    key.clear();
    for (index, level) in topic.split('/').enumerate() {
        if index > 0 {
            key.push(SEPARATOR);
        }
        key.push_str(level);
    }
}

fn forget_deadline(slot: &Slot, due: &mut DueIndex) {
    if let Some(at) = slot.message.expires_at {
        due.remove(at, DueKey::Retained(Box::new(slot.message.topic.clone())));
    }
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
