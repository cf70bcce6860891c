//! Retained messages, in an order in which everything below a topic lies behind it without a gap.
//!
//! One set ordered by topic, in which the separator of levels sorts before all that a level can hold, as if it were NUL
//! (which no topic holds). That is a topic tree laid flat: a level's values are found one after the other by seeking past
//! everything below the last, so a wildcard costs the distinct values at its level and not what lies between; a place
//! in the walk is a key, right under any change; and the depth of a topic costs nothing.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, btree_set};
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
    slots: BTreeSet<Slot>,
}

/// A retained message, in the place of its topic.
struct Slot {
    message: Arc<Message>,
    version: RecordVersion,
}

/// A place in the set: a topic, or a key of `topic_seek`, which stands where the topic does that it was made from. What
/// lies in the set needs no key beside its message.
trait Place {
    fn text(&self) -> &str;
}

impl Place for Slot {
    fn text(&self) -> &str {
        self.message.topic.as_str()
    }
}

impl Place for &str {
    fn text(&self) -> &str {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        by_level(self.text(), other.text())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for dyn Place + '_ {}

fn by_level(a: &str, b: &str) -> Ordering {
    // Topics share long fronts: those are passed over many bytes at a time.
    let ((a_blocks, _), (b_blocks, _)) = (a.as_bytes().as_chunks::<16>(), b.as_bytes().as_chunks::<16>());
    let same = a_blocks.iter().zip(b_blocks).take_while(|(a, b)| a == b).count() * 16;
    let place = |byte: &u8| if *byte == b'/' { SEPARATOR as u8 } else { *byte };
    a.as_bytes()[same..].iter().map(place).cmp(b.as_bytes()[same..].iter().map(place))
}

impl<'a> Borrow<dyn Place + 'a> for Slot {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Slot) -> Ordering {
        by_level(self.text(), other.text())
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Slot {}

impl Slot {
    fn record(&self) -> Retained {
        Retained { message: Arc::clone(&self.message), version: self.version }
    }
}

impl RetainedMessages {
    /// Topics that have a retained message.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Makes the message its topic's retained one.
    pub(crate) fn insert(&mut self, message: Arc<Message>, version: RecordVersion, due: &mut DueIndex) {
        let deadline = message.expires_at.map(|at| (at, DueKey::Retained(Box::new(message.topic.clone()))));
        let slot = Slot { message, version };
        if let Some(old) = self.slots.replace(slot) {
            forget_deadline(&old, due);
        }
        if let Some((at, key)) = deadline {
            due.insert(at, key);
        }
    }

    /// Removes a topic's message. Answers whether there was one.
    pub(crate) fn remove(&mut self, topic: &TopicName<'_>, due: &mut DueIndex) -> bool {
        let removed = self.slots.take(&topic.as_str() as &dyn Place);
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
        self.slots.get(&topic.as_str() as &dyn Place)
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
        let mut range = self.range(start.as_ref().map(String::as_str));
        let mut entry = range.next();
        let mut key = String::new();
        loop {
            let slot = entry?;
            *examined += 1;
            write_key(&mut key, slot.text());
            let (matches, after) = sought.judge(&key);
            let full = matches && found(slot);
            let enough = full || *examined >= MAX_EXAMINED;
            match after {
                After::End => return None,
                After::NextKey if enough => return Some(Excluded(key)),
                After::NextKey => entry = range.next(),
                After::Seek(to) if enough => return Some(Included(to.to_owned())),
                After::Seek(to) => {
                    // What is sought is often the very next key; only when it is not, seeking pays.
                    entry = range.next();
                    if entry.is_some_and(|slot| by_level(slot.text(), to).is_lt()) {
                        *examined += 1;
                        range = self.range(Included(to));
                        entry = range.next();
                    }
                }
            }
        }
    }

    fn range(&self, start: Bound<&str>) -> btree_set::Range<'_, Slot> {
        let start = start.as_ref().map(|place| place as &dyn Place);
        self.slots.range::<dyn Place, _>((start, Unbounded))
    }

    /// All messages with keys after `key`, each with its key: for walks of everything.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = (&str, Retained)> {
        let start = key.map_or(Unbounded, Excluded);
        self.range(start).map(|slot| (slot.text(), slot.record()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_ordered_as_if_their_separators_were_nul() {
        let fronts = ["", "a long front / of more than sixteen bytes/"];
        let tails = ["", "/", "a", "a/", "a/b", "a!", "a\u{1}", "a//", "\u{1}", "b", "aé"];
        let topics: Vec<String> =
            fronts.iter().flat_map(|front| tails.iter().map(move |tail| format!("{front}{tail}"))).collect();
        for a in &topics {
            for b in &topics {
                let (mut key_a, mut key_b) = (String::new(), String::new());
                write_key(&mut key_a, a);
                write_key(&mut key_b, b);
                assert_eq!(by_level(a, b), key_a.cmp(&key_b), "{a:?} and {b:?}");
                assert_eq!(by_level(a, &key_b), key_a.cmp(&key_b), "{a:?} and the key of {b:?}");
            }
        }
    }
}
