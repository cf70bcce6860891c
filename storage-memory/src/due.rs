//! What becomes due, in order of its time: one index over sessions, wills, queue entries and retained messages.
//!
//! Every key stands for a record that exists; whoever changes a record's deadline or removes it changes the index.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use opifex_packet::TopicName;
use opifex_storage::encoding::key;
use opifex_storage::{
    Cursor, Due, DueItem, Epoch, ErrorKind, Page, PageLimit, RecordVersion, Result, Seq, SessionId,
    StoreError, Timestamp,
};

use crate::scan::{MAX_EXAMINED, bad_cursor, is_full};
use crate::state::State;

/// The index of everything that has a deadline.
#[derive(Default)]
pub(crate) struct DueIndex(BTreeSet<(Timestamp, DueKey)>);

/// What a deadline belongs to. Boxed where it is large: an expiring queue entry has one of these.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DueKey {
    Session(SessionId),
    Will(SessionId, Epoch),
    Ended(SessionId),
    Queued(SessionId, Seq),
    Retained(Box<TopicName<'static>>),
}

impl DueIndex {
    pub(crate) fn insert(&mut self, at: Timestamp, key: DueKey) {
        self.0.insert((at, key));
    }

    pub(crate) fn remove(&mut self, at: Timestamp, key: DueKey) {
        let removed = self.0.remove(&(at, key));
        debug_assert!(removed, "a record's deadline is in the index");
    }
}

impl State {
    /// A cursor is the place behind which the walk goes on.
    pub(crate) fn due_page(
        &self,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Due>> {
        let mut page = Page::new();
        let mut bytes = 0;
        let after = match cursor {
            Some(cursor) => Excluded(place_of(&cursor)?),
            None => Unbounded,
        };
        let mut last = None;
        for (at, key) in self.due.0.range((after, Unbounded)) {
            if *at > now {
                break;
            }
            if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
                page.next = last.map(|(at, key)| cursor_of(at, key));
                break;
            }
            last = Some((*at, key));
            page.examined += 1;
            let due = self.due_item(*at, key);
            bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
            page.items.push(due);
        }
        Ok(page)
    }

    fn due_item(&self, at: Timestamp, key: &DueKey) -> Due {
        let (item, version, will) = match key {
            DueKey::Session(id) => (DueItem::SessionExpired(*id), self.sessions[id].epoch.0, None),
            DueKey::Will(id, epoch) => {
                (DueItem::Will(*id), epoch.0, Some(self.wills[&(*id, *epoch)].clone()))
            }
            DueKey::Ended(id) => (DueItem::SessionEnded(*id), self.ended[id].session.epoch.0, None),
            DueKey::Queued(id, seq) => (DueItem::QueuedExpired(*id, *seq), seq.0, None),
            DueKey::Retained(topic) => {
                let version = self.retained.version(topic).expect("an indexed retained message exists");
                (DueItem::RetainedExpired((**topic).clone()), version.0, None)
            }
        };
        Due { item, at, version: RecordVersion(version), will }
    }

    /// Whether a due item is still there, unchanged, and due at `now`.
    pub(crate) fn check_claim(&self, due: &Due, now: Timestamp) -> Result<()> {
        let version = due.version.0;
        let due_now = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let holds = match &due.item {
            DueItem::SessionExpired(id) => self
                .sessions
                .get(id)
                .is_some_and(|session| session.epoch.0 == version && due_now(session.deadline())),
            DueItem::Will(id) => {
                self.wills.get(&(*id, Epoch(version))).is_some_and(|will| due_now(will.due_at))
            }
            DueItem::SessionEnded(id) => {
                self.ended.get(id).is_some_and(|ended| ended.session.epoch.0 == version && ended.at <= now)
            }
            DueItem::QueuedExpired(id, seq) => {
                seq.0 == version
                    && self
                        .contents(*id)
                        .is_some_and(|contents| due_now(contents.queue.waiting_deadline(*seq)))
            }
            DueItem::RetainedExpired(topic) => {
                self.retained.version(topic) == Some(due.version) && due_now(self.retained.expires_at(topic))
            }
        };
        if holds {
            Ok(())
        } else {
            Err(StoreError::not_applied(ErrorKind::Conflict, format!("{:?} is not due any more", due.item)))
        }
    }

    /// The first effect of a batch under a claim that was checked.
    pub(crate) fn carry_out_claim(&mut self, due: &Due, now: Timestamp) {
        match &due.item {
            DueItem::SessionExpired(id) => {
                self.end_session(*id, now);
            }
            DueItem::Will(id) => {
                self.remove_will(*id, Epoch(due.version.0));
            }
            DueItem::SessionEnded(_) => {}
            DueItem::QueuedExpired(id, seq) => {
                self.settle(*id, *seq);
            }
            DueItem::RetainedExpired(topic) => {
                self.retained.remove(topic, &mut self.due);
            }
        }
    }
}

/// A place in the index, as the encoding that the stores share has it.
fn cursor_of(at: Timestamp, key: &DueKey) -> Cursor {
    let key = match key {
        DueKey::Session(id) => key::DueKey::Session(*id),
        DueKey::Will(id, epoch) => key::DueKey::Will(*id, *epoch),
        DueKey::Ended(id) => key::DueKey::Ended(*id),
        DueKey::Queued(id, seq) => key::DueKey::Queued(*id, *seq),
        DueKey::Retained(topic) => key::DueKey::Retained((**topic).clone()),
    };
    Cursor(key::due(at, &key))
}

fn place_of(cursor: &Cursor) -> Result<(Timestamp, DueKey)> {
    let (at, key) = key::due_of(&cursor.0).map_err(|_| bad_cursor())?;
    let key = match key {
        key::DueKey::Session(id) => DueKey::Session(id),
        key::DueKey::Will(id, epoch) => DueKey::Will(id, epoch),
        key::DueKey::Ended(id) => DueKey::Ended(id),
        key::DueKey::Queued(id, seq) => DueKey::Queued(id, seq),
        key::DueKey::Retained(topic) => DueKey::Retained(Box::new(topic)),
    };
    Ok((at, key))
}
