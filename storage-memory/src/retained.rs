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
    key: Key,
    message: Arc<Message>,
    version: RecordVersion,
}

/// A topic, of which the message has a share, or a place between topics in the form of `topic_seek`: `/` and NUL are one.
struct Key(Arc<str>);

impl Key {
    fn of(topic: &TopicName<'_>) -> Key {
        Key(topic.clone().into_shared())
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        by_level(&self.0, &other.0)
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

fn by_level(a: &str, b: &str) -> Ordering {
    // Topics share long fronts: those are passed over many bytes at a time.
    let ((a_blocks, _), (b_blocks, _)) = (a.as_bytes().as_chunks::<8>(), b.as_bytes().as_chunks::<8>());
    let same = a_blocks.iter().zip(b_blocks).take_while(|(a, b)| a == b).count() * 8;
    let place = |byte: &u8| if *byte == b'/' { SEPARATOR as u8 } else { *byte };
    a.as_bytes()[same..].iter().map(place).cmp(b.as_bytes()[same..].iter().map(place))
}

impl Borrow<Key> for Slot {
    fn borrow(&self) -> &Key {
        &self.key
    }
}

impl Ord for Slot {
    fn cmp(&self, other: &Slot) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Slot {
    fn partial_cmp(&self, other: &Slot) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Slot {
    fn eq(&self, other: &Slot) -> bool {
        self.key == other.key
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
        let slot = Slot { key: Key::of(&message.topic), message, version };
        if let Some(old) = self.slots.replace(slot) {
            forget_deadline(&old, due);
        }
        if let Some((at, key)) = deadline {
            due.insert(at, key);
        }
    }

    /// Removes a topic's message. Answers whether there was one.
    pub(crate) fn remove(&mut self, topic: &TopicName<'_>, due: &mut DueIndex) -> bool {
        let removed = self.slots.take(&Key::of(topic));
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
        self.slots.get(&Key::of(topic))
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
        let mut range = self.range(start.as_ref().map(|place| Key(place.as_str().into())));
        let mut entry = range.next();
        loop {
            let slot = entry?;
            *examined += 1;
            let key = &*slot.key.0;
            let (matches, after) = sought.judge(key);
            let full = matches && found(slot);
            let enough = full || *examined >= MAX_EXAMINED;
            match after {
                After::End => return None,
                After::NextKey if enough => return Some(Excluded(key.to_owned())),
                After::NextKey => entry = range.next(),
                After::Seek(to) if enough => return Some(Included(to.to_owned())),
                After::Seek(to) => {
                    // What is sought is often the very next key; only when it is not, seeking pays.
                    entry = range.next();
                    if entry.is_some_and(|slot| by_level(&slot.key.0, to).is_lt()) {
                        *examined += 1;
                        range = self.range(Included(Key(to.into())));
                        entry = range.next();
                    }
                }
            }
        }
    }

    fn range(&self, start: Bound<Key>) -> btree_set::Range<'_, Slot> {
        self.slots.range((start, Unbounded))
    }

    /// All messages with keys after `key`, each with its key: for walks of everything.
    pub(crate) fn after(&self, key: Option<&str>) -> impl Iterator<Item = (&str, Retained)> {
        let start = key.map_or(Unbounded, |key| Excluded(Key(key.into())));
        self.range(start).map(|slot| (&*slot.key.0, slot.record()))
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
        let nul = SEPARATOR.to_string();
        for a in &topics {
            for b in &topics {
                let (key_a, key_b) = (a.replace('/', &nul), b.replace('/', &nul));
                assert_eq!(by_level(a, b), key_a.cmp(&key_b), "{a:?} and {b:?}");
                assert_eq!(by_level(a, &key_b), key_a.cmp(&key_b), "{a:?} and the key of {b:?}");
            }
        }
    }

    #[test]
    fn a_retained_message_has_its_topic_once() {
        let (mut retained, mut due) = (RetainedMessages::default(), DueIndex::default());
        let message = || {
            Arc::new(Message {
                topic: TopicName::new("a/b").expect("a topic").into_owned(),
                qos: opifex_packet::QoS::AtMostOnce,
                properties: opifex_packet::Properties::new(),
                payload: Default::default(),
                expires_at: None,
            })
        };
        // Also behind another one of the topic.
        for _ in 0..2 {
            retained.insert(message(), RecordVersion(1), &mut due);
            let slot = retained.slots.first().expect("it was inserted");
            assert!(std::ptr::eq(&*slot.key.0, slot.message.topic.as_str()));
        }
    }
}
