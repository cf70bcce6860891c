//! Finding a topic's subscribers among 10,000 subscriptions, three in ten of them with wildcards.

use std::hint::black_box;

use opifex_broker::topic_tree::TopicTree;
use opifex_packet::{TopicFilter, TopicName};

/// Topics of a round.
pub(crate) const TOPICS: usize = 1_000;
const SUBSCRIPTIONS: u64 = 10_000;

/// splitmix64: the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn topic(&mut self) -> [String; 4] {
        let reading = ["temp", "load", "flow", "volt"][self.below(4) as usize];
        [
            format!("p{:04}", self.below(SUBSCRIPTIONS / 200)),
            format!("line{}", self.below(5)),
            format!("unit{:03}", self.below(25)),
            reading.to_owned(),
        ]
    }

    fn filter(&mut self) -> String {
        let [plant, line, unit, reading] = self.topic();
        match self.below(10) {
            0 => format!("{plant}/{line}/{unit}/+"),
            1 => format!("{plant}/+/{unit}/{reading}"),
            2 => format!("{plant}/{line}/{unit}/#"),
            _ => format!("{plant}/{line}/{unit}/{reading}"),
        }
    }
}

fn look_up(topics: &[String], rounds: usize) {
    let mut random = Random(1);
    let mut tree = TopicTree::new();
    for number in 0..SUBSCRIPTIONS {
        let filter = random.filter();
        tree.insert(&TopicFilter::new(filter).expect("made as a filter"), number, number);
    }
    let topic = |name: &String| TopicName::new(name.clone()).expect("made as a topic");
    let topics: Vec<_> = topics.iter().cycle().take(TOPICS).map(topic).collect();
    let mut found = 0;
    for _ in 0..rounds {
        for topic in &topics {
            tree.matches(black_box(topic), |_, number| found += number);
        }
    }
    black_box(found);
}

pub(crate) fn same_topic(rounds: usize) {
    look_up(&["p0007/line3/unit012/temp".to_owned()], rounds);
}

pub(crate) fn random_topics(rounds: usize) {
    let mut random = Random(2);
    let topics: Vec<String> = (0..TOPICS).map(|_| random.topic().join("/")).collect();
    look_up(&topics, rounds);
}
