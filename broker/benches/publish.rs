//! What a whole publish costs (decode, checks, matching, encoding, delivery over a pipe in memory) among 1,000, 100,000
//! and 1,000,000 subscriptions, to one topic again and again and to random ones. Each matches one subscription.

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use opifex_broker::{Broker, Peer};
use opifex_packet::{
    Connect, Packet, PacketId, Properties, Publish, QoS, RetainHandling, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use opifex_storage_memory::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

/// Messages in one write.
const BATCH: usize = 1_000;
/// Sessions that share the subscriptions.
const SESSIONS: usize = 100;
/// Filters of one SUBSCRIBE.
const FILTERS: usize = 1_000;
const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];

fn encoded<'a>(packet: impl Into<Packet<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.into().encode(Version::V3_1_1, &mut bytes);
    bytes
}

async fn connect(broker: &Broker<MemoryStore>, client_id: String) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let broker = broker.clone();
    tokio::spawn(async move { broker.serve(theirs, Peer::Local).await });
    let connect = Connect {
        version: Version::V3_1_1,
        clean_start: true,
        keep_alive_secs: 0,
        client_id: client_id.into(),
        will: None,
        user_name: None,
        password: None,
        properties: Properties::new(),
    };
    ours.write_all(&encoded(connect)).await.expect("the broker reads");
    let mut connack = [0; 4];
    ours.read_exact(&mut connack).await.expect("the broker answers");
    ours
}

fn topic(number: usize) -> String {
    format!("p{:04}/line{}/unit{:03}/reading", number / 125, number / 25 % 5, number % 25)
}

/// A broker in which the topics of 0 to `subscriptions` have a subscriber each, and a publisher.
async fn subscribed(subscriptions: usize) -> (Broker<MemoryStore>, DuplexStream) {
    let broker = Broker::builder(MemoryStore::new()).start().await.expect("nothing is in the store");
    for session in 0..SESSIONS {
        let mut client = connect(&broker, format!("subscriber{session}")).await;
        let numbers: Vec<usize> = (session..subscriptions).step_by(SESSIONS).collect();
        for chunk in numbers.chunks(FILTERS) {
            let options = SubscriptionOptions {
                qos: QoS::AtMostOnce,
                no_local: false,
                retain_as_published: false,
                retain_handling: RetainHandling::SendAtSubscribe,
            };
            let filter = |number: &usize| Subscription {
                filter: TopicFilter::new(topic(*number)).expect("spelled as a filter"),
                options,
            };
            let subscribe = Subscribe {
                packet_id: PacketId::MIN,
                properties: Properties::new(),
                subscriptions: chunk.iter().map(filter).collect(),
            };
            client.write_all(&encoded(subscribe)).await.expect("the broker reads");
        }
        // Whatever comes is taken and forgotten.
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 * 1024];
            while client.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
        });
    }
    while broker.stats().subscriptions < subscriptions as u64 {
        tokio::task::yield_now().await;
    }
    let publisher = connect(&broker, "publisher".to_owned()).await;
    (broker, publisher)
}

/// One write of messages to these topics.
fn batch(topics: impl Iterator<Item = usize>) -> Vec<u8> {
    topics
        .take(BATCH)
        .flat_map(|number| {
            encoded(Publish::new(TopicName::new(topic(number)).expect("spelled as a topic"), &[7; 64][..]))
        })
        .collect()
}

/// Sends the batches in turn and waits until the broker has delivered all of them.
async fn publish(
    broker: &Broker<MemoryStore>,
    publisher: &mut DuplexStream,
    batches: &[Vec<u8>],
    iterations: u64,
) -> std::time::Duration {
    let goal = broker.stats().delivered + iterations * BATCH as u64;
    let begin = Instant::now();
    for batch in batches.iter().cycle().take(iterations as usize) {
        publisher.write_all(batch).await.expect("the broker reads");
    }
    while broker.stats().delivered < goal {
        tokio::task::yield_now().await;
    }
    begin.elapsed()
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("publish");
    group.throughput(Throughput::Elements(BATCH as u64)).sample_size(20);
    for subscriptions in SIZES {
        let runtime: Runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (broker, mut publisher) = runtime.block_on(subscribed(subscriptions));
        // A stride that is prime to all sizes visits topics in an order that no cache foresees.
        let random = (0usize..).map(|n| n.wrapping_mul(7_368_787) % subscriptions);
        let random: Vec<usize> = random.take(200 * BATCH).collect();
        let same = vec![batch(std::iter::repeat(subscriptions / 2))];
        let random: Vec<Vec<u8>> = random.chunks(BATCH).map(|chunk| batch(chunk.iter().copied())).collect();
        for (name, batches) in [("same topic", &same), ("random topics", &random)] {
            group.bench_function(BenchmarkId::new(name, subscriptions), |bencher| {
                bencher.iter_custom(|iterations| {
                    runtime.block_on(publish(&broker, &mut publisher, batches, iterations))
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
