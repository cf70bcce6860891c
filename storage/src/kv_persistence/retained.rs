//! Retained messages, in an order in which everything below a topic lies right behind it: see
//! [`crate::encoding::topic_seek`].

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{TopicFilter, TopicName};

use crate::encoding::topic_seek::{After, Sought};
use crate::encoding::{DueRow, RetainedRow, key, key::DueKey, unseal};
use crate::kv_persistence::page::{MAX_EXAMINED, bad_cursor, go_past, is_full, next_row};
use crate::kv_persistence::rows::{Found, Rows};
use crate::kv_persistence::transaction::Transaction;
use crate::{Cursor, KvSnapshot, Message, Page, PageLimit, RecordVersion, Result, Retained};

impl<S: KvSnapshot> Transaction<'_, S> {
    /// Makes the message its topic's retained one.
    pub(super) fn retain(&mut self, message: Arc<Message>) -> Result<RecordVersion> {
        self.need_room()?;
        let version = self.next_version();
        let key = key::retained(&message.topic);
        if !self.forget_deadline(&key)? {
            self.count_retained();
        }
        if let Some(at) = message.expires_at {
            let item = DueKey::Retained(message.topic.clone());
            self.put(key::due(at, &item), &DueRow { version });
        }
        self.put(key, &RetainedRow { version, message });
        Ok(version)
    }

    /// Removes a topic's message. Answers whether there was one.
    pub(super) fn unretain(&mut self, topic: &TopicName<'_>) -> Result<bool> {
        let key = key::retained(topic);
        let existed = self.forget_deadline(&key)?;
        if existed {
            self.remove(key);
            self.uncount_retained();
        }
        Ok(existed)
    }

    pub(super) fn retained_row(&self, topic: &TopicName<'_>) -> Result<Option<RetainedRow>> {
        self.record(&key::retained(topic))
    }

    /// Answers whether there was a message: one that is damaged can be replaced and removed.
    fn forget_deadline(&mut self, key: &[u8]) -> Result<bool> {
        match self.look::<RetainedRow>(key)? {
            Found::Absent => Ok(false),
            Found::Damaged(_) => Ok(true),
            Found::Whole(row) => {
                if let Some(at) = row.message.expires_at {
                    self.remove_or_leave(key::due(at, &DueKey::Retained(row.message.topic.clone())))?;
                }
                Ok(true)
            }
        }
    }
}

/// A page of the messages that match any of the filters: one filter after the other, without what an earlier one has
/// matched.
pub(super) fn retained_page(
    rows: &impl KvSnapshot,
    filters: &[TopicFilter<'_>],
    cursor: Option<Cursor>,
    limit: PageLimit,
) -> Result<Page<Retained>> {
    let (first, mut start) = match &cursor {
        Some(cursor) => {
            let (filter, key) = cursor.0.split_first_chunk::<8>().ok_or_else(bad_cursor)?;
            if key.first() != Some(&key::kind::RETAINED) {
                return Err(bad_cursor());
            }
            (u64::from_be_bytes(*filter) as usize, Some(Bytes::copy_from_slice(key)))
        }
        None => (0, None),
    };
    let mut walk = Walk { page: Page::new(), bytes: 0, limit };
    for index in first..filters.len() {
        let mut sought = Sought::new(filters[index].as_str());
        let mut at = start.take().unwrap_or_else(|| key_of(&sought.first_key()));
        loop {
            if walk.is_full() || walk.page.examined >= MAX_EXAMINED {
                walk.page.next = Some(Cursor([&(index as u64).to_be_bytes()[..], &at].concat().into()));
                return Ok(walk.page);
            }
            match walk.go_on(rows, &mut sought, &filters[..index], &at)? {
                Some(next) => at = next,
                None => break,
            }
        }
    }
    Ok(walk.page)
}

struct Walk {
    page: Page<Retained>,
    bytes: usize,
    limit: PageLimit,
}

impl Walk {
    fn is_full(&self) -> bool {
        is_full(self.page.items.len(), self.bytes, &self.limit)
    }

    /// Walks on from a key until the next row is elsewhere, a match fills the page, or enough was looked at; answers
    /// at which key to go on.
    fn go_on(
        &mut self,
        rows: &impl KvSnapshot,
        sought: &mut Sought<'_>,
        earlier: &[TopicFilter<'_>],
        from: &[u8],
    ) -> Result<Option<Bytes>> {
        // Finding the place counts, too: many filters that match nothing are work as well.
        self.page.examined += 1;
        let (_, end) = key::all(key::kind::RETAINED);
        let mut range = rows.range(from, &end);
        let mut row = next_row(&mut range, &mut self.page.damaged)?;
        loop {
            let Some((key, value)) = row else { return Ok(None) };
            self.page.examined += 1;
            let text = go_past(&mut self.page.damaged, key::topic_text_of(&key))?;
            let (matches, after) = text.map_or((false, After::NextKey), |text| sought.judge(text));
            if matches {
                self.take(earlier, &key, &value)?;
            }
            let enough = self.is_full() || self.page.examined >= MAX_EXAMINED;
            match after {
                After::End => return Ok(None),
                After::NextKey if enough => return Ok(Some(key::successor(&key))),
                After::NextKey => row = next_row(&mut range, &mut self.page.damaged)?,
                After::Seek(to) if enough => return Ok(Some(key_of(to))),
                After::Seek(to) => {
                    // What is sought is often the very next key; only when it is not, seeking pays.
                    row = next_row(&mut range, &mut self.page.damaged)?;
                    if row.as_ref().is_some_and(|(key, _)| &key[1..] < to.as_bytes()) {
                        return Ok(Some(key_of(to)));
                    }
                }
            }
        }
    }
}

impl Walk {
    /// Takes a row that matches, unless an earlier filter has.
    fn take(&mut self, earlier: &[TopicFilter<'_>], key: &[u8], value: &Bytes) -> Result<()> {
        let row = unseal::<RetainedRow>(key, value);
        let topic = row.as_ref().map_or_else(|_| key::topic_of(key), |row| Ok(row.message.topic.borrow()));
        if topic.is_ok_and(|topic| earlier.iter().any(|filter| filter.matches(&topic))) {
            return Ok(());
        }
        if let Some(row) = go_past(&mut self.page.damaged, row)? {
            self.bytes += row.message.size_bytes();
            self.page.items.push(row.into());
        }
        Ok(())
    }
}

/// The row's key of a topic as it is sought: separators are NUL already.
fn key_of(text: &str) -> Bytes {
    [&[key::kind::RETAINED], text.as_bytes()].concat().into()
}
