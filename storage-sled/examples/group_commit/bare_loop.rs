//! sled and nothing around it: the rows that a publish costs the store, as long as the store's, with its cache and its flush.

use std::path::Path;
use std::time::{Duration, Instant};

use opifex_packet::{Properties, QoS, TopicName};
use opifex_storage::encoding::{Counters, QueuedBody, QueuedRow, SessionRow, Tally, key, seal};
use opifex_storage::{Epoch, Message, QueuedState, Seq, SessionExpiry, SessionId, Timestamp};
use opifex_storage_sled::SledOptions;

/// Messages a second in batches of so many: an entry with its message each; session, counters and the mark a batch.
pub(crate) fn messages_a_second(dir: &Path, group: usize, round: Duration) -> f64 {
    let cache = SledOptions::default().cache_bytes;
    let db = sled::Config::new().path(dir).cache_capacity(cache).flush_every_ms(None).open();
    let db = db.expect("it opens");
    let id = SessionId(1);
    let (entry, mut session, mut counters) = (entry(id), session(id), counters());
    let (mut last, start) = (0_u64, Instant::now());
    while start.elapsed() < round {
        let mut batch = sled::Batch::default();
        let number = last.to_be_bytes();
        // sled leaves out what is written as it was.
        session[..8].copy_from_slice(&number);
        counters[..8].copy_from_slice(&number);
        batch.insert(&[0][..], [&number[..], &[0; 4]].concat());
        batch.insert(&key::counters()[..], &counters[..]);
        batch.insert(&key::session(id)[..], &session[..]);
        for _ in 0..group {
            last += 1;
            batch.insert(&key::queued(id, Seq(last))[..], &entry[..]);
        }
        db.apply_batch(batch).expect("it is written");
        db.flush().expect("it is flushed");
    }
    last as f64 / start.elapsed().as_secs_f64()
}

/// A message of 256 bytes that waits in a queue.
fn entry(id: SessionId) -> Vec<u8> {
    let message = Message {
        topic: TopicName::new("bench/10").expect("it is a topic"),
        qos: QoS::AtLeastOnce,
        properties: Properties::default(),
        payload: vec![b'x'; 256].into(),
        expires_at: None,
    };
    let row = QueuedRow {
        body: QueuedBody::inline(&message),
        size_bytes: message.size_bytes() as u64,
        expires_at: None,
        qos: QoS::AtLeastOnce,
        retain: false,
        state: QueuedState::Waiting,
        subscription_ids: Vec::new(),
        share: None,
    };
    seal(&key::queued(id, Seq(1)), &row).to_vec()
}

/// A session that is away, with as many messages as a run leaves it.
fn session(id: SessionId) -> Vec<u8> {
    let (items, bytes) = (1 << 18, 1 << 26);
    let row = SessionRow {
        offline_since: Some(Timestamp(1 << 40)),
        next_seq: Seq(items),
        queued_items: items,
        queued_bytes: bytes,
        waiting_items: items,
        waiting_bytes: bytes,
        subscriptions: 1,
        ..SessionRow::new("away".into(), Epoch(1), SessionExpiry::Never)
    };
    seal(&key::session(id), &row).to_vec()
}

fn counters() -> Vec<u8> {
    let mut tally = Tally::default();
    for (row, rows) in [(key::kind::CLIENT, 1), (key::kind::SESSION, 1), (key::kind::SUBSCRIPTION, 1)] {
        (0..rows).for_each(|_| tally.change(&[row], None, Some(7)));
    }
    (0..1 << 14).for_each(|_| tally.change(&[key::kind::QUEUED], None, Some(7)));
    let counters = Counters { last_epoch: 66, retained: Some(0), tally: Some(tally), ..Counters::default() };
    seal(&key::counters(), &counters).to_vec()
}
