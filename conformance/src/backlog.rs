//! The queue of one session that is filled and drained, for tests and measurements of what a store makes of room. It judges
//! nothing.

use std::ops::Range;
use std::sync::Arc;

use opifex_storage::{
    Author, Batch, Durability, Op, OpenSession, PageLimit, Persistence, Result, Seq, SessionId, StoreError,
};

use crate::block_on;
use crate::script::{START, connect, message, target};

/// Messages that are queued in one batch, and entries that are settled in one.
const BATCH: u64 = 16;
const SETTLED: usize = 100;

/// The queue of one session. Its messages are numbered.
pub struct Backlog<'a, P> {
    store: &'a P,
    id: SessionId,
    author: Author,
    durability: Durability,
    padding: usize,
}

impl<'a, P: Persistence> Backlog<'a, P> {
    /// That of the client "c", which takes its session over. Everything is written at this level; a message has so many
    /// bytes behind its number.
    pub fn open(store: &'a P, durability: Durability, padding: usize) -> Backlog<'a, P> {
        let open = OpenSession { durability, ..connect("c") };
        let session = block_on(store.open_session(open)).expect("it opens, on a full disk, too").session;
        let author = Author::Session(session.id, session.epoch);
        Backlog { store, id: session.id, author, durability, padding }
    }

    fn submit(&self, author: Author, ops: Vec<Op>) -> Result<()> {
        let batch = Batch { ops, ..Batch::new(author, self.durability, START) };
        block_on(async { self.store.submit(batch).await?.durable().await }).map(drop)
    }

    /// Queues the messages with these numbers, in one batch.
    pub fn publish(&self, numbers: Range<u64>) -> Result<()> {
        let op = |n: u64| Op::Enqueue {
            message: Arc::new(message("t", [&n.to_be_bytes()[..], &vec![b'x'; self.padding]].concat())),
            targets: vec![target(self.id)],
        };
        self.submit(Author::Broker, numbers.map(op).collect())
    }

    /// Queues messages from this number on until the store refuses; answers the first that it refused, and why.
    pub fn fill(&self, mut next: u64) -> (u64, StoreError) {
        loop {
            match self.publish(next..next + BATCH) {
                Ok(()) => next += BATCH,
                Err(error) => return (next, error),
            }
        }
    }

    /// The places of all messages in the queue, and their numbers.
    pub fn entries(&self) -> Vec<(Seq, u64)> {
        let (mut all, mut after) = (Vec::new(), Seq::ZERO);
        loop {
            let page = block_on(self.store.queue(self.id, after, PageLimit::items(500))).expect("it is read");
            after = page.final_up_to;
            all.extend(page.items.iter().map(|entry| {
                let payload = &entry.message.as_ref().expect("it is not released").payload;
                (entry.seq, u64::from_be_bytes(*payload.first_chunk().expect("a number")))
            }));
            if !page.more {
                return all;
            }
        }
    }

    /// The numbers of all messages in the queue.
    pub fn numbers(&self) -> Vec<u64> {
        self.entries().into_iter().map(|(_, number)| number).collect()
    }

    /// Settles these, some in a batch.
    pub fn settle(&self, entries: &[(Seq, u64)]) -> Result<()> {
        entries.chunks(SETTLED).try_for_each(|some| {
            self.submit(self.author.clone(), some.iter().map(|(seq, _)| Op::Settle(*seq)).collect())
        })
    }

    /// Reads and settles all, a page at a time. Answers how many there were.
    pub fn drain(&self) -> Result<usize> {
        let (mut drained, mut after) = (0, Seq::ZERO);
        loop {
            let page = block_on(self.store.queue(self.id, after, PageLimit::items(SETTLED)))?;
            after = page.final_up_to;
            drained += page.items.len();
            let settle = page.items.iter().map(|entry| Op::Settle(entry.seq)).collect();
            self.submit(self.author.clone(), settle)?;
            if !page.more {
                return Ok(drained);
            }
        }
    }
}
