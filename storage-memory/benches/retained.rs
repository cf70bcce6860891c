//! What a wildcard subscription costs among 1,000 and among 100,000 retained messages when it matches as many.
//!
//! `cargo bench -p opifex-storage-memory --bench retained`; the two times of a group should be alike.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use opifex_conformance::block_on;
use opifex_packet::{Properties, QoS, TopicFilter, TopicName};
use opifex_storage::{Author, Batch, Durability, Message, Op, PageLimit, Persistence, Timestamp};
use opifex_storage_memory::MemoryStore;

/// How many messages each filter finds.
const MATCHES: usize = 50;

/// A store with so many messages, of which `a/+/c` finds `MATCHES` among as many values of its wildcard, and `a/b/#`
/// finds `MATCHES` too. The others lie below the same values, and beside them.
fn store_of(count: usize) -> MemoryStore {
    let store = MemoryStore::new();
    let mut topics: Vec<String> = (0..MATCHES).map(|n| format!("a/v{n}/c")).collect();
    topics.extend((0..MATCHES).map(|n| format!("a/b/n{n}")));
    topics.extend((topics.len()..count).map(|n| match n % 2 {
        0 => format!("a/v{}/other{n}", n % MATCHES),
        _ => format!("elsewhere/v{}/n{n}", n % 1000),
    }));
    let retain = topics.iter().map(|topic| {
        Op::Retain(Arc::new(Message {
            topic: TopicName::new(topic.clone()).expect("a valid topic"),
            qos: QoS::AtMostOnce,
            properties: Properties::default(),
            payload: Bytes::from_static(b"21.5"),
            expires_at: None,
        }))
    });
    let mut batch = Batch::new(Author::Broker, Durability::Memory, Timestamp(0));
    batch.ops = retain.collect();
    block_on(store.submit(batch)).expect("the batch fits");
    store
}

/// Walks all pages, as a SUBSCRIBE does.
fn find(store: &MemoryStore, filter: &TopicFilter<'_>) -> usize {
    let (mut found, mut cursor) = (0, None);
    loop {
        let page = store.retained(std::slice::from_ref(filter), cursor, PageLimit::items(100));
        let page = block_on(page).expect("an open store is read");
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn wildcard_subscription(c: &mut Criterion) {
    let stores = [1_000, 100_000].map(|count| (count, store_of(count)));
    for text in ["a/+/c", "a/b/#"] {
        let filter = TopicFilter::new(text).expect("a valid filter");
        let mut group = c.benchmark_group(format!("retained {text}"));
        for (count, store) in &stores {
            assert_eq!(find(store, &filter), MATCHES);
            group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
                bencher.iter(|| find(store, black_box(&filter)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, wildcard_subscription);
criterion_main!(benches);
