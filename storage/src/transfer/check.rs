//! A store, looked through: every record is read, which verifies the checksums of backends that have them, and records
//! are held against each other. Nothing is repaired.

use std::collections::{HashMap, HashSet};

use super::{Counts, Event, PAGE_BYTES, PAGE_ITEMS, TransferError, name};
use crate::{
    Due, DueItem, PageLimit, Persistence, Queued, QueuedState, Record, RecordKind, Seq, SessionExpiry,
    SessionId, SessionRecord, Timestamp,
};

/// So many faults are remembered as told.
const MAX_REMEMBERED: usize = 10_000;

/// What was looked at, and how much of it is wrong.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// What was read.
    pub counts: Counts,
    /// Faults that were told.
    pub faults: u64,
}

/// Reads everything that a store holds, and tells each fault with the record that it is in.
///
/// What holds between records: a queue is in order, below its session's next number, as many entries and bytes as the
/// session says, no packet id twice; a client has one session; what hangs on a session has one; a will is due when its
/// session is not there; what is due is so by its record. In memory are a few numbers for each session. What is beside
/// the records, such as bodies that nobody refers to, is the backend's to tell ([`Persistence::inspect`]).
///
/// # Errors
/// When the store fails; a damaged record is a fault, no error.
pub async fn check<P: Persistence>(
    store: &P,
    now: Timestamp,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Checked, TransferError> {
    let mut check = Check::default();
    for kind in RecordKind::ALL {
        let mut cursor = None;
        loop {
            let limit = PageLimit { items: PAGE_ITEMS, bytes: PAGE_BYTES };
            let page = store.scan(kind, cursor, limit).await?;
            page.damaged.iter().for_each(|error| check.fault(error));
            for record in page.items {
                check.counts.count(&record);
                let ended = check.look_at(&record);
                if let Some(id) = ended {
                    check.queue(store, id).await?;
                }
            }
            check.tell(&mut tell);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    check.sums();
    check.due(store, now, &mut tell).await?;
    store.inspect().await?.iter().for_each(|error| check.fault(error));
    check.tell(&mut tell);
    Ok(Checked { counts: check.counts, faults: check.told })
}

#[derive(Default)]
struct Check {
    counts: Counts,
    faults: Vec<String>,
    told: u64,
    said: HashSet<String>,
    sessions: HashMap<SessionId, Seen>,
    clients: HashSet<Box<str>>,
    /// Of the session whose queue is read.
    packet_ids: (SessionId, HashSet<u16>),
    last_topic: Option<String>,
}

/// What a session says of itself, and what was found of it.
struct Seen {
    ended: bool,
    deadline: Option<Timestamp>,
    offline: bool,
    next_seq: Seq,
    says: (u64, u64),
    found: (u64, u64),
    last_seq: Seq,
}

impl Check {
    fn fault(&mut self, what: impl ToString) {
        let what = what.to_string();
        // Several walks come by some records.
        let is_new = match self.said.len() < MAX_REMEMBERED {
            true => self.said.insert(what.clone()),
            false => !self.said.contains(&what),
        };
        if is_new {
            self.faults.push(what);
        }
    }

    fn tell(&mut self, tell: &mut impl FnMut(Event<'_>)) {
        self.told += self.faults.len() as u64;
        self.faults.drain(..).for_each(|fault| tell(Event::Fault(fault)));
        tell(Event::Progress(&self.counts));
    }

    /// Looks at a record; answers the session whose queue is to be read on its own.
    fn look_at(&mut self, record: &Record) -> Option<SessionId> {
        match record {
            Record::Session(session) => {
                if !self.clients.insert(session.client_id.clone()) {
                    self.fault(format_args!("client {:?} has two sessions", session.client_id));
                }
                self.session(session, false);
            }
            Record::Ended(session, _) => {
                self.session(session, true);
                return Some(session.id);
            }
            Record::Subscription(id, _) => self.hangs_on_live(*id, record),
            Record::Queued(id, entry) => {
                self.hangs_on_live(*id, record);
                self.entry(*id, entry);
            }
            Record::Inbound(inbound) => self.hangs_on_live(inbound.session, record),
            Record::Will(will) => {
                let live = self.sessions.get(&will.session).filter(|seen| !seen.ended);
                let is_due_in_time = match live {
                    None => will.due_at.is_some(),
                    // One that a later connection replaced is due as well; the last one waits for the end.
                    Some(seen) => seen
                        .deadline
                        .filter(|_| seen.offline)
                        .is_none_or(|deadline| will.due_at.is_some_and(|at| at <= deadline)),
                };
                if !is_due_in_time {
                    self.fault(format_args!("{} is never due, or behind its session's end", name(record)));
                }
                if will.epoch.0 < will.session.0 {
                    self.fault(format_args!("{} is older than its session", name(record)));
                }
            }
            Record::Retained(retained) => {
                let topic = retained.message.topic.as_str();
                if self.last_topic.as_deref() == Some(topic) {
                    self.fault(format_args!("{} is there twice", name(record)));
                }
                self.last_topic = Some(topic.to_owned());
            }
        }
        None
    }

    fn session(&mut self, session: &SessionRecord, ended: bool) {
        if session.epoch.0 < session.id.0 {
            self.fault(format_args!("session {} is at epoch {}, before it began", session.id, session.epoch));
        }
        let deadline = match session.expiry {
            SessionExpiry::Never => None,
            expiry => session.offline_since.and_then(|since| expiry.deadline(since)),
        };
        let seen = Seen {
            ended,
            deadline,
            offline: session.offline_since.is_some(),
            next_seq: session.next_seq,
            says: (session.queued_items, session.queued_bytes),
            found: (0, 0),
            last_seq: Seq::ZERO,
        };
        if self.sessions.insert(session.id, seen).is_some() {
            self.fault(format_args!("session {} is there twice", session.id));
        }
    }

    fn hangs_on_live(&mut self, id: SessionId, record: &Record) {
        if self.sessions.get(&id).is_none_or(|seen| seen.ended) {
            self.fault(format_args!("{} has no session", name(record)));
        }
    }

    fn entry(&mut self, id: SessionId, entry: &Queued) {
        let place = format!("entry {} of session {id}", entry.seq);
        if self.packet_ids.0 != id {
            self.packet_ids = (id, HashSet::new());
        }
        let packet_id = match entry.state {
            QueuedState::Waiting => None,
            QueuedState::Assigned(id) | QueuedState::Released(id) => Some(id.get()),
        };
        if packet_id.is_some_and(|id| !self.packet_ids.1.insert(id)) {
            self.fault(format_args!("{place} has the packet id of another one"));
        }
        if entry.message.is_none() != matches!(entry.state, QueuedState::Released(_)) {
            self.fault(format_args!("{place} has no message, or one that was let go"));
        }
        let Some(seen) = self.sessions.get_mut(&id) else { return };
        seen.found.0 += 1;
        seen.found.1 += entry.message.as_ref().map_or(0, |message| message.size_bytes() as u64);
        let (last, next) = (seen.last_seq, seen.next_seq);
        seen.last_seq = entry.seq;
        if entry.seq <= last {
            self.fault(format_args!("{place} comes behind entry {last}"));
        }
        if entry.seq >= next {
            self.fault(format_args!("{place} has a number that is given yet, {next} is the next"));
        }
    }

    /// The queue of a session that ended.
    async fn queue<P: Persistence>(&mut self, store: &P, id: SessionId) -> Result<(), TransferError> {
        let mut after = Seq::ZERO;
        loop {
            let limit = PageLimit { items: PAGE_ITEMS, bytes: PAGE_BYTES };
            let page = store.queue(id, after, limit).await?;
            page.damaged.iter().for_each(|error| self.fault(error));
            for entry in page.items {
                self.counts.queued += 1;
                self.entry(id, &entry);
            }
            after = page.final_up_to;
            if !page.more {
                return Ok(());
            }
        }
    }

    /// What sessions say of their queues, and what was found there.
    fn sums(&mut self) {
        let mut wrong: Vec<_> =
            self.sessions.iter().filter(|(_, seen)| seen.says != seen.found).map(|(id, _)| *id).collect();
        wrong.sort();
        for id in wrong {
            let Seen { says, found, .. } = &self.sessions[&id];
            let what = format!(
                "session {id} counts {} entries of {} bytes, its queue holds {} of {}",
                says.0, says.1, found.0, found.1
            );
            self.fault(what);
        }
    }

    /// What is due: in order, by now, and by the records.
    async fn due<P: Persistence>(
        &mut self,
        store: &P,
        now: Timestamp,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TransferError> {
        let (mut last, mut cursor) = (Timestamp(0), None);
        loop {
            let limit = PageLimit { items: PAGE_ITEMS, bytes: PAGE_BYTES };
            let page = store.due(now, cursor, limit).await?;
            page.damaged.iter().for_each(|error| self.fault(error));
            for due in page.items {
                if due.at < last || due.at > now {
                    self.fault(format_args!("{:?} is not due in its turn", due.item));
                }
                last = due.at;
                self.due_by_its_record(&due);
            }
            self.tell(tell);
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn due_by_its_record(&mut self, due: &Due) {
        let holds = match &due.item {
            DueItem::SessionExpired(id) => {
                self.sessions.get(id).is_some_and(|seen| !seen.ended && seen.deadline == Some(due.at))
            }
            DueItem::SessionEnded(id) => self.sessions.get(id).is_some_and(|seen| seen.ended),
            DueItem::QueuedExpired(id, _) => self.sessions.contains_key(id),
            DueItem::Will(_) | DueItem::RetainedExpired(_) => true,
        };
        if !holds {
            self.fault(format_args!("{:?} is due, and its record does not say so", due.item));
        }
    }
}

#[cfg(test)]
mod tests;
