//! A store, written to a file.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::io::Write;

use super::frame::{Frame, FrameWriter};
use super::{Counts, Event, PAGE_BYTES, PAGE_ITEMS, TransferError, WINDOW, name};
use crate::{
    Message, PageLimit, Persistence, Queued, Record, RecordKind, Result, Seq, SessionId, SessionRecord,
};

/// Writes everything that a store holds. What cannot be read is told as a fault and left out.
///
/// The store is not to be written meanwhile: a broker that runs on it makes a file of several moments. Blocks on `out`.
///
/// # Errors
/// When the store cannot be read or the file not be written.
pub async fn export<P: Persistence>(
    store: &P,
    out: impl Write,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Counts, TransferError> {
    let mut export = Export {
        file: FrameWriter::begin(out)?,
        written: Written::default(),
        counts: Counts::default(),
        sessions: HashSet::new(),
    };
    for kind in RecordKind::ALL {
        let mut cursor = None;
        loop {
            let limit = PageLimit { items: PAGE_ITEMS, bytes: PAGE_BYTES };
            let page = store.scan(kind, cursor, limit).await?;
            page.damaged.iter().for_each(|error| tell(Event::Fault(error.to_string())));
            for record in page.items {
                match record {
                    Record::Ended(session, at) => {
                        // Only its queue is still of use to anybody: its shared messages go to other members.
                        let queue = session.clone();
                        if session.queued_items > 0 {
                            export.write(Record::Ended(session, at))?;
                            export.queue(store, &queue, &mut tell).await?;
                        }
                    }
                    record if export.has_session_of(&record) => export.write(record)?,
                    record => tell(Event::Fault(format!("{} has no session", name(&record)))),
                }
            }
            tell(Event::Progress(&export.counts));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    export.file.end()?;
    Ok(export.counts)
}

struct Export<W> {
    file: FrameWriter<W>,
    written: Written,
    counts: Counts,
    sessions: HashSet<SessionId>,
}

impl<W: Write> Export<W> {
    fn write(&mut self, record: Record) -> Result<(), TransferError> {
        if let Record::Session(session) | Record::Ended(session, _) = &record {
            self.sessions.insert(session.id);
        }
        self.counts.count(&record);
        let frame = match record {
            Record::Queued(id, entry) => self.entry(id, entry),
            record => Frame::Record(record),
        };
        self.file.write(&frame)
    }

    /// Whether the file holds the session that the record hangs on, if it hangs on one.
    fn has_session_of(&self, record: &Record) -> bool {
        match record {
            Record::Subscription(id, _) | Record::Queued(id, _) => self.sessions.contains(id),
            Record::Inbound(inbound) => self.sessions.contains(&inbound.session),
            Record::Session(_) | Record::Ended(..) | Record::Will(_) | Record::Retained(_) => true,
        }
    }

    fn entry(&mut self, id: SessionId, mut entry: Queued) -> Frame {
        match entry.message.as_ref().and_then(|message| self.written.before(message)) {
            Some(back) => {
                entry.message = None;
                Frame::Same(id, entry, back)
            }
            None => Frame::Record(Record::Queued(id, entry)),
        }
    }

    /// The queue of a session that ended.
    async fn queue<P: Persistence>(
        &mut self,
        store: &P,
        session: &SessionRecord,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TransferError> {
        let mut after = Seq::ZERO;
        loop {
            let limit = PageLimit { items: PAGE_ITEMS, bytes: PAGE_BYTES };
            let page = store.queue(session.id, after, limit).await?;
            page.damaged.iter().for_each(|error| tell(Event::Fault(error.to_string())));
            for entry in page.items {
                self.write(Record::Queued(session.id, entry))?;
            }
            after = page.final_up_to;
            if !page.more {
                return Ok(());
            }
        }
    }
}

/// The messages that were written last, by 128 bits of a keyed hash of all that is in them.
#[derive(Default)]
struct Written {
    keys: (RandomState, RandomState),
    /// The number of each, from 0 in the order of the file.
    numbers: HashMap<(u64, u64), u64>,
    order: VecDeque<(u64, u64)>,
    next: u64,
}

impl Written {
    /// How many messages before the next one this one stands; `None`, and it is the next one, if it is not remembered.
    fn before(&mut self, message: &Message) -> Option<u64> {
        let hash = (digest(&self.keys.0, message), digest(&self.keys.1, message));
        if let Some(number) = self.numbers.get(&hash) {
            return Some(self.next - number);
        }
        if self.order.len() == WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.numbers.remove(&oldest);
        }
        self.order.push_back(hash);
        self.numbers.insert(hash, self.next);
        self.next += 1;
        None
    }
}

fn digest(key: &RandomState, message: &Message) -> u64 {
    let mut hasher = key.build_hasher();
    message.topic.as_str().hash(&mut hasher);
    u8::from(message.qos).hash(&mut hasher);
    message.expires_at.hash(&mut hasher);
    message.properties.as_bytes().hash(&mut hasher);
    message.payload.hash(&mut hasher);
    hasher.finish()
}
