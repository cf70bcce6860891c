//! What it costs to find a topic's subscribers among 1,000, 100,000 and 1,000,000 subscriptions, for
//! one topic again and again and for random ones; and the bytes that a subscription takes.
//!
//! 70 % of the filters have no wildcard, 10 % each end with `+`, have `+` inside, end with `#`. The
//! space of topics grows with the subscriptions, so that a random topic always matches about one.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use opifex_broker::topic_tree::TopicTree;
use opifex_packet::{TopicFilter, TopicName};

/// The largest first: the memory that it takes is fresh from the system, and so can be seen.
const SIZES: [usize; 3] = [1_000_000, 100_000, 1_000];
const RANDOM_TOPICS: usize = 1 << 20;

/// As a broker has it: a pointer to a session.
#[derive(Clone)]
struct Subscriber(Arc<u64>);

impl PartialEq for Subscriber {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Subscriber {}

type Tree = TopicTree<Subscriber, [u64; 2]>;

/// splitmix64: the same topics in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// plant, line, unit, reading: 2.5 times as many topics as subscriptions.
    fn levels(&mut self, subscriptions: usize) -> [String; 4] {
        let reading = ["temp", "load", "flow", "volt"][self.below(4)];
        [
            format!("p{:04}", self.below(subscriptions / 200)),
            format!("line{}", self.below(5)),
            format!("unit{:03}", self.below(25)),
            reading.to_string(),
        ]
    }

    fn filter(&mut self, subscriptions: usize) -> String {
        let [plant, line, unit, reading] = self.levels(subscriptions);
        match self.below(10) {
            0 => format!("{plant}/{line}/{unit}/+"),
            1 => format!("{plant}/+/{unit}/{reading}"),
            2 => format!("{plant}/{line}/{unit}/#"),
            _ => format!("{plant}/{line}/{unit}/{reading}"),
        }
    }
}

fn tree_of(subscriptions: usize) -> Tree {
    let mut random = Random(1);
    let clients: Vec<_> = (0..10_000).map(|client| Subscriber(Arc::new(client))).collect();
    let resident_before = resident_bytes();
    let begin = Instant::now();
    let mut tree = Tree::new();
    for number in 0..subscriptions - 4 {
        let filter = TopicFilter::new(random.filter(subscriptions)).expect("made as a filter");
        tree.insert(&filter, clients[number % clients.len()].clone(), [number as u64; 2]);
    }
    for filter in ["same/line1/unit1/temp", "same/+/unit1/temp", "same/line1/unit1/+", "same/line1/unit1/#"] {
        let filter = TopicFilter::new(filter).expect("spelled as a filter");
        tree.insert(&filter, clients[0].clone(), [0; 2]);
    }
    println!(
        "{} subscriptions, {} ns and {} bytes of resident memory each",
        tree.len(),
        begin.elapsed().as_nanos() as usize / tree.len(),
        resident_bytes().saturating_sub(resident_before) / tree.len(),
    );
    tree
}

/// 0 where there is no /proc.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).unwrap_or(0) * 4096
}

fn matches(tree: &Tree, topic: &TopicName<'_>) -> u64 {
    let mut sum = 0;
    tree.matches(topic, |_, value| sum += value[0]);
    sum
}

fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matches");
    group.throughput(Throughput::Elements(1));
    for subscriptions in SIZES {
        let tree = tree_of(subscriptions);

        let same = TopicName::new("same/line1/unit1/temp").expect("spelled as a topic");
        group.bench_with_input(BenchmarkId::new("same topic", subscriptions), &same, |bencher, topic| {
            bencher.iter(|| matches(&tree, black_box(topic)));
        });

        let mut random = Random(2);
        let topics: Vec<_> = (0..RANDOM_TOPICS)
            .map(|_| TopicName::new(random.levels(subscriptions).join("/")).expect("made as a topic"))
            .collect();
        let mut found = 0;
        for topic in &topics {
            tree.matches(topic, |_, _| found += 1);
        }
        println!("a random topic matches {:.2} subscriptions", found as f64 / topics.len() as f64);
        let mut next = topics.iter().cycle();
        group.bench_function(BenchmarkId::new("random topics", subscriptions), |bencher| {
            bencher.iter(|| next.next().map(|topic| matches(&tree, topic)));
        });
    }
    group.finish();
}

criterion_group!(benches, publish);
criterion_main!(benches);
