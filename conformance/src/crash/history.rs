//! Random steps on a few sessions and topics, made of a seed and of what is there: the same seed on the same books makes
//! the same history, in this process or in another. It decides and keeps the books; it writes nothing.

use std::collections::BTreeSet;

use super::books::{Body, Books, Entry, Progress, Session};
use crate::Chance;

/// Clients of a writer; names of which one begins with another are among them.
const CLIENTS: [&str; 5] = ["c1", "c10", "c", "c2", "C1"];
/// Its topics.
const TOPICS: [&str; 6] = ["t", "t/1", "t/10", "t//", "T", "t/1/long"];
/// From here on a queue is rather settled than filled.
const LONG_QUEUE: usize = 12;

/// What happens next: an open, a batch, or the removal of what ended sessions left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Open { client: String, clean_start: bool, will: Option<Body> },
    Batch { author: Option<String>, ops: Vec<Do> },
    Purge,
}

/// An operation of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Do {
    Enqueue { body: Body, qos: u8, targets: Vec<String> },
    Retain { topic: String, body: Body },
    Unretain { topic: String },
    Assign { seq: u64, packet_id: u16 },
    Release { seq: u64 },
    Settle { seq: u64 },
    PutInbound { packet_id: u16 },
    DeleteInbound { packet_id: u16 },
    Subscribe { filter: String, qos: u8 },
    Unsubscribe { filter: String },
    TakeWill,
    GoOffline,
}

/// What a step changes: the unit of order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Stream {
    Session(String),
    Topic(String),
}

/// See the module's documentation.
pub(crate) struct History {
    writer: String,
    chance: Chance,
    next_body: u64,
    books: Books,
}

impl History {
    /// The history that a writer makes of what is there. Its clients and topics begin with its name.
    pub(crate) fn new(writer: &str, seed: u64, books: Books) -> History {
        let name_hash = writer.bytes().fold(0, |hash: u64, byte| hash.wrapping_mul(31) + u64::from(byte));
        let mut chance = Chance::new(seed ^ name_hash);
        // Bodies of other rounds and writers are others.
        let next_body = chance.roll() >> 8;
        History { writer: writer.to_owned(), chance, next_body, books }
    }

    pub(crate) fn books(&self) -> &Books {
        &self.books
    }

    fn body(&mut self) -> Body {
        self.next_body += 1;
        let len = match self.chance.below(20) {
            0 => 4_000 + self.chance.below(20_000),
            1..4 => 600 + self.chance.below(3_000),
            _ => self.chance.below(300),
        };
        // As long as its own text at least, so that what is read back says the same length.
        Body { n: self.next_body, len: len.max(48) as usize }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.chance.below(from.len().max(1) as u64) as usize;
        from.get(at).cloned()
    }

    fn client(&mut self) -> String {
        let name = self.pick(&CLIENTS).expect("there are some");
        format!("{}{name}", self.writer)
    }

    fn topic(&mut self) -> String {
        let name = self.pick(&TOPICS).expect("there are some");
        format!("{}{name}", self.writer)
    }

    /// What is done next. It counts as done only when [`History::apply`] is told so.
    pub(crate) fn next(&mut self) -> Step {
        let client = self.client();
        if !self.books.sessions.contains_key(&client) || self.chance.percent(4) {
            let clean_start = self.chance.percent(30);
            let will = self.chance.percent(40).then(|| self.body());
            return Step::Open { client, clean_start, will };
        }
        if self.chance.percent(4) {
            return Step::Purge;
        }
        let by_session = self.chance.percent(75);
        let mut ops = Vec::new();
        for _ in 0..1 + self.chance.below(4) {
            let op = if by_session && self.chance.percent(60) { self.of_session(&client) } else { None };
            let op = match op {
                Some(op) => op,
                None => self.of_anybody(),
            };
            // One operation an entry and a batch: what they do together is the contract's affair.
            if !ops.iter().any(|other| same_record(other, &op)) {
                ops.push(op);
            }
        }
        Step::Batch { author: by_session.then_some(client), ops }
    }

    fn of_anybody(&mut self) -> Do {
        if self.chance.percent(25) {
            let topic = self.topic();
            let is_there = self.books.retained.contains_key(&topic);
            return match is_there && self.chance.percent(30) {
                true => Do::Unretain { topic },
                false => Do::Retain { topic, body: self.body() },
            };
        }
        let all: Vec<_> =
            self.books.sessions.iter().map(|(client, session)| (client, session.queue.len())).collect();
        let short: Vec<String> =
            all.iter().filter(|(_, len)| *len < LONG_QUEUE).map(|(client, _)| (*client).clone()).collect();
        let mut targets = BTreeSet::new();
        for _ in 0..1 + self.chance.below(3) {
            targets.extend(self.pick(&short));
        }
        let qos = 1 + self.chance.below(2) as u8;
        Do::Enqueue { body: self.body(), qos, targets: targets.into_iter().collect() }
    }

    fn of_session(&mut self, client: &str) -> Option<Do> {
        let session = self.books.sessions[client].clone();
        let seqs: Vec<u64> = session.queue.keys().copied().take(4).collect();
        if session.queue.len() >= LONG_QUEUE {
            return Some(Do::Settle { seq: self.pick(&seqs)? });
        }
        let filters = [format!("{client}/#"), "+/a".to_owned(), "$share/g/a".to_owned()];
        match self.chance.below(12) {
            0..5 => {
                let seq = self.pick(&seqs)?;
                let entry = &session.queue[&seq];
                let packet_id = 1 + self.chance.below(65_535) as u16;
                Some(match entry.progress {
                    Progress::Waiting if self.chance.percent(60) => Do::Assign { seq, packet_id },
                    Progress::Assigned(_) if entry.qos == 2 && self.chance.percent(50) => Do::Release { seq },
                    _ => Do::Settle { seq },
                })
            }
            5..7 => Some(Do::PutInbound { packet_id: 1 + self.chance.below(30) as u16 }),
            7..9 => {
                let inbound: Vec<u16> = session.inbound.iter().copied().collect();
                Some(Do::DeleteInbound { packet_id: self.pick(&inbound)? })
            }
            9 => Some(Do::Subscribe { filter: self.pick(&filters)?, qos: self.chance.below(3) as u8 }),
            10 => Some(Do::Unsubscribe { filter: self.pick(&filters)? }),
            _ if session.is_offline => None,
            _ if session.will.is_some() => Some(Do::TakeWill),
            _ => self.chance.percent(30).then_some(Do::GoOffline),
        }
    }

    /// Keeps the books: the step was performed. An open has been told the session's id and epoch, or it was not told.
    pub(crate) fn apply(&mut self, step: &Step, opened: Option<(u64, u64)>) -> Vec<Stream> {
        match step {
            Step::Purge => Vec::new(),
            Step::Open { client, clean_start, will } => {
                let (id, epoch) = opened.unwrap_or_default();
                let continued = self.books.sessions.remove(client).filter(|_| !clean_start);
                let mut session = continued.unwrap_or_else(|| Session { id, ..Session::new() });
                (session.epoch, session.is_offline, session.will) = (epoch, false, *will);
                self.books.sessions.insert(client.clone(), session);
                vec![Stream::Session(client.clone())]
            }
            Step::Batch { author, ops } => {
                let mut streams: BTreeSet<Stream> = author.iter().cloned().map(Stream::Session).collect();
                for op in ops {
                    self.perform(author.as_deref(), op, &mut streams);
                }
                streams.into_iter().collect()
            }
        }
    }

    fn perform(&mut self, author: Option<&str>, op: &Do, streams: &mut BTreeSet<Stream>) {
        let Books { sessions, retained } = &mut self.books;
        match op {
            Do::Enqueue { body, qos, targets } => {
                for target in targets {
                    streams.insert(Stream::Session(target.clone()));
                    let session = sessions.get_mut(target).expect("a target is there");
                    let entry = Entry { body: Some(*body), qos: *qos, progress: Progress::Waiting };
                    session.queue.insert(session.next_seq, entry);
                    session.next_seq += 1;
                }
                return;
            }
            Do::Retain { topic, body } => {
                streams.insert(Stream::Topic(topic.clone()));
                retained.insert(topic.clone(), *body);
                return;
            }
            Do::Unretain { topic } => {
                streams.insert(Stream::Topic(topic.clone()));
                retained.remove(topic);
                return;
            }
            _ => {}
        }
        let author = author.expect("these are of a session");
        let session = sessions.get_mut(author).expect("an author is there");
        match op {
            Do::Enqueue { .. } | Do::Retain { .. } | Do::Unretain { .. } => {}
            Do::Assign { seq, packet_id } => {
                if let Some(entry) = session.queue.get_mut(seq) {
                    entry.progress = Progress::Assigned(*packet_id);
                }
            }
            Do::Release { seq } => {
                if let Some(entry) = session.queue.get_mut(seq)
                    && let Progress::Assigned(id) = entry.progress
                {
                    (entry.progress, entry.body) = (Progress::Released(id), None);
                }
            }
            Do::Settle { seq } => drop(session.queue.remove(seq)),
            Do::PutInbound { packet_id } => drop(session.inbound.insert(*packet_id)),
            Do::DeleteInbound { packet_id } => drop(session.inbound.remove(packet_id)),
            Do::Subscribe { filter, qos } => drop(session.subscriptions.insert(filter.clone(), *qos)),
            Do::Unsubscribe { filter } => drop(session.subscriptions.remove(filter)),
            Do::TakeWill => session.will = None,
            Do::GoOffline => session.is_offline = true,
        }
    }
}

/// Whether both are about one record of the author.
fn same_record(one: &Do, other: &Do) -> bool {
    let seq = |op: &Do| match op {
        Do::Assign { seq, .. } | Do::Release { seq } | Do::Settle { seq } => Some(*seq),
        _ => None,
    };
    let is_of_connection = |op: &Do| matches!(op, Do::TakeWill | Do::GoOffline);
    seq(one).is_some_and(|seq_of| seq(other) == Some(seq_of))
        || (is_of_connection(one) && is_of_connection(other))
}
