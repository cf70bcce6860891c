//! Whatever is written in whatever order: sled, on the ordered-KV road, answers as the memory store does and holds the
//! same records afterwards, also when it was opened again.

use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, expiring, filter, message, packet_id, subscription, topic};
use opifex_storage::{
    Author, Batch, Due, DueItem, Durability, Epoch, FullPolicy, NewWill, Op, OpenSession, Outcome, PageLimit,
    Persistence, QueueLimits, Queued, Record, RecordKind, Seq, SessionExpiry, SessionId, Target, Timestamp,
};
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::{SledOptions, SledStore};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use tempfile::TempDir;

/// A step whose sessions are meant by their places among those that were opened.
#[derive(Clone, Debug)]
enum Step {
    Open {
        client: u8,
        clean_start: bool,
        expiry: SessionExpiry,
        will: Option<u32>,
    },
    Batch {
        author: Option<usize>,
        ops: Vec<Write>,
    },
    /// Claims the first of what is due, and purges if that is its kind.
    Claim {
        limit: usize,
    },
    Wait {
        secs: u32,
    },
}

#[derive(Clone, Debug)]
enum Write {
    Plain(Op),
    Enqueue { targets: Vec<(usize, QueueLimits)>, expires: Option<u32>, bytes: usize },
    EndOf(usize),
}

fn expiry() -> impl Strategy<Value = SessionExpiry> {
    prop_oneof![Just(SessionExpiry::Never), (0..3_u32).prop_map(|n| SessionExpiry::Secs(n * 10))]
}

fn limits() -> impl Strategy<Value = QueueLimits> {
    prop_oneof![
        Just(QueueLimits::UNLIMITED),
        (0..3_u64, 0..60_u64, any::<bool>()).prop_map(|(items, bytes, newest)| {
            let policy = if newest { FullPolicy::DropNewest } else { FullPolicy::DropOldest };
            QueueLimits { items, bytes, policy }
        }),
    ]
}

fn write() -> impl Strategy<Value = Write> {
    let seq = || (1..8_u64).prop_map(Seq);
    let id = || (1..4_u16).prop_map(packet_id);
    let name = || (0..3_u8).prop_map(|n| format!("r/{n}"));
    prop_oneof![
        4 => (vec((0..4_usize, limits()), 0..5), option::of(0..30_u32), 0..20_usize)
            .prop_map(|(targets, expires, bytes)| Write::Enqueue { targets, expires, bytes }),
        1 => (0..8_usize).prop_map(Write::EndOf),
        1 => expiry().prop_map(|expiry| Write::Plain(Op::SetExpiry(expiry))),
        2 => Just(Write::Plain(Op::GoOffline)),
        1 => name().prop_map(|text| Write::Plain(Op::Subscribe(subscription(&text)))),
        1 => name().prop_map(|text| Write::Plain(Op::Unsubscribe(filter(&text)))),
        3 => (seq(), id()).prop_map(|(seq, packet_id)| Write::Plain(Op::Assign { seq, packet_id })),
        2 => seq().prop_map(|seq| Write::Plain(Op::Release(seq))),
        3 => seq().prop_map(|seq| Write::Plain(Op::Settle(seq))),
        1 => id().prop_map(|id| Write::Plain(Op::PutInbound(id))),
        1 => id().prop_map(|id| Write::Plain(Op::DeleteInbound(id))),
        2 => (name(), option::of(0..30_u32)).prop_map(|(text, expires)| Write::Plain(Op::Retain(Arc::new(
            match expires {
                Some(secs) => expiring(&text, "x", START.plus_secs(secs)),
                None => message(&text, "x"),
            }
        )))),
        1 => name().prop_map(|text| Write::Plain(Op::Unretain(topic(&text)))),
        1 => Just(Write::Plain(Op::TakeWill)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, any::<bool>(), expiry(), option::of(0..20_u32)).prop_map(
            |(client, clean_start, expiry, will)| Step::Open { client, clean_start, expiry, will }
        ),
        8 => (option::of(0..8_usize), vec(write(), 1..5))
            .prop_map(|(author, ops)| Step::Batch { author, ops }),
        3 => (1..4_usize).prop_map(|limit| Step::Claim { limit }),
        1 => (0..15_u32).prop_map(|secs| Step::Wait { secs }),
    ]
}

/// Everything that a store shows.
#[derive(Debug, PartialEq)]
struct Shown {
    records: Vec<Vec<Record>>,
    queues: Vec<(Vec<Queued>, Seq)>,
    due: Vec<Due>,
}

fn shown(store: &impl Persistence, opened: &[(SessionId, Epoch)]) -> Shown {
    let limit = PageLimit::items(1000);
    let kinds = [
        RecordKind::Session,
        RecordKind::Subscription,
        RecordKind::Queued,
        RecordKind::Inbound,
        RecordKind::Retained,
        RecordKind::Will,
    ];
    let scan = |kind| block_on(store.scan(kind, None, limit)).expect("it is read").items;
    let queue = |(id, _): &(SessionId, Epoch)| {
        let page = block_on(store.queue(*id, Seq::ZERO, limit)).expect("it is read");
        (page.items, page.final_up_to)
    };
    Shown {
        records: kinds.map(scan).into(),
        queues: opened.iter().map(queue).collect(),
        due: due(store, Timestamp(u64::MAX)),
    }
}

fn due(store: &impl Persistence, now: Timestamp) -> Vec<Due> {
    block_on(store.due(now, None, PageLimit::items(1000))).expect("it is read").items
}

fn submit(store: &impl Persistence, batch: &Batch) -> Result<Vec<Outcome>, opifex_storage::ErrorKind> {
    let durability = store.capabilities().max_durability;
    let done = block_on(async {
        let receipt = store.submit(Batch { durability, ..batch.clone() }).await?;
        let outcomes = receipt.outcomes().to_vec();
        receipt.durable().await.map(|_| outcomes)
    });
    done.map_err(|error| error.kind())
}

fn op(write: &Write, opened: &[(SessionId, Epoch)]) -> Op {
    let session = |place: usize| opened.get(place).map_or(SessionId(99), |(id, _)| *id);
    match write {
        Write::Plain(op) => op.clone(),
        Write::EndOf(place) => Op::EndSession(session(*place)),
        Write::Enqueue { targets, expires, bytes } => {
            let payload = vec![b'x'; *bytes];
            let message = match expires {
                Some(secs) => expiring("t", payload, START.plus_secs(*secs)),
                None => message("t", payload),
            };
            let target = |(place, limits): &(usize, QueueLimits)| Target {
                limits: *limits,
                ..opifex_conformance::script::target(session(*place))
            };
            Op::Enqueue { message: Arc::new(message), targets: targets.iter().map(target).collect() }
        }
    }
}

/// Nobody fills a disk here.
fn options() -> SledOptions {
    SledOptions { reserve_bytes: 0, ..SledOptions::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_steps_leave_the_same_as_in_memory(steps in vec(step(), 1..60)) {
        let directory = TempDir::new().expect("a directory can be made");
        let memory = MemoryStore::new();
        let sled = SledStore::open_with(directory.path(), options()).expect("it opens");
        let mut opened: Vec<(SessionId, Epoch)> = Vec::new();
        let mut now = START;
        for step in steps {
            match &step {
                Step::Wait { secs } => now = now.plus_secs(*secs),
                Step::Open { client, clean_start, expiry, will } => {
                    let open = OpenSession {
                        clean_start: *clean_start,
                        expiry: *expiry,
                        will: will.map(|delay_secs| NewWill {
                            delay_secs,
                            ..opifex_conformance::script::will("w", "gone")
                        }),
                        now,
                        ..connect(&format!("c{client}"))
                    };
                    let expected = block_on(memory.open_session(open.clone())).expect("it opens");
                    let open = OpenSession { durability: Durability::Process, ..open };
                    prop_assert_eq!(&block_on(sled.open_session(open)).expect("it opens"), &expected);
                    opened.push((expected.session.id, expected.session.epoch));
                }
                Step::Batch { author, ops } => {
                    let author = author.and_then(|place| opened.get(place));
                    let author = author.map_or(Author::Broker, |(id, epoch)| Author::Session(*id, *epoch));
                    let mut batch = Batch::new(author, Durability::Memory, now);
                    batch.ops = ops.iter().map(|write| op(write, &opened)).collect();
                    prop_assert_eq!(submit(&sled, &batch), submit(&memory, &batch), "{:?}", step);
                }
                Step::Claim { limit } => {
                    let Some(first) = due(&memory, now).into_iter().next() else { continue };
                    let purges = matches!(first.item, DueItem::SessionEnded(_));
                    let mut batch = Batch::new(Author::Claim(first), Durability::Memory, now);
                    if purges {
                        batch.ops.push(Op::Purge { limit: *limit });
                    }
                    prop_assert_eq!(submit(&sled, &batch), submit(&memory, &batch), "{:?}", step);
                }
            }
            prop_assert_eq!(due(&sled, now), due(&memory, now), "behind {:?}", step);
        }
        let expected = shown(&memory, &opened);
        prop_assert_eq!(&shown(&sled, &opened), &expected);
        drop(sled);
        let sled = SledStore::open_with(directory.path(), options()).expect("it opens again");
        prop_assert_eq!(&shown(&sled, &opened), &expected);
    }
}
