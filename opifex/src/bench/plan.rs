//! What a run does, from its flags: how many of whom, and when each message is due.

use std::num::NonZeroU64;
use std::time::Duration;

use opifex_packet::{QoS, Version};

use super::server_process::ServerProcess;
use crate::cli::{BenchArgs, Scenario};
use crate::client::max_inflight;

/// Digits of the number in a topic.
pub(super) const TOPIC_DIGITS: usize = 8;

/// Messages or connections of a scenario that counts them, when no flag says how many.
const DEFAULT_COUNT: u64 = 10_000;

/// The plan of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) version: Version,
    pub(super) publishers: usize,
    pub(super) subscribers: usize,
    /// Each message goes to one of the subscribers, whichever.
    pub(super) is_shared: bool,
    /// Of the random ones.
    pub(super) topics: u32,
    pub(super) qos: QoS,
    pub(super) size: usize,
    /// Messages a second, of all publishers.
    pub(super) rate: Option<u32>,
    pub(super) warm_up: Duration,
    pub(super) length: Length,
    pub(super) max_inflight: u16,
    /// Messages of a publisher that no subscriber has yet; 0 for any number.
    pub(super) backlog: u64,
    /// Of topics, and of client ids.
    pub(super) prefix: String,
    pub(super) client_prefix: String,
    pub(super) server: Option<ServerProcess>,
}

/// How long is measured.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Length {
    Time(Duration),
    /// Messages of all publishers together.
    Count(u64),
}

impl Plan {
    pub(super) fn new(args: &BenchArgs, version: Version, prefix: String, client_prefix: String) -> Plan {
        let number = |flag: Option<std::num::NonZeroU32>, default: usize| {
            flag.map_or(default, |number| number.get() as usize)
        };
        let count = args.count.map(NonZeroU64::get);
        let (publishers, subscribers) = match args.scenario {
            Scenario::FanOut => (number(args.publishers, 1), number(args.subscribers, 10)),
            Scenario::FanIn => (number(args.publishers, 10), number(args.subscribers, 1)),
            Scenario::Pairs => (number(args.publishers, 10), number(args.publishers, 10)),
            Scenario::Publish | Scenario::Connect => (number(args.publishers, 10), 0),
            Scenario::Random => (number(args.publishers, 10), number(args.subscribers, 10)),
            Scenario::Offline => (number(args.publishers, 1), number(args.subscribers, 1)),
            Scenario::Retained => (number(args.publishers, 1), 1),
            Scenario::Idle => (0, count.unwrap_or(DEFAULT_COUNT) as usize),
        };
        let has_phases = matches!(args.scenario, Scenario::Offline | Scenario::Retained | Scenario::Idle);
        let count = if has_phases { count.or(Some(DEFAULT_COUNT)) } else { count };
        let is_shared = match args.scenario {
            Scenario::FanIn => args.shared,
            Scenario::Random | Scenario::Retained => true,
            _ => false,
        };
        let qos = match args.scenario {
            // Only an acknowledgement says that it is there.
            Scenario::Offline | Scenario::Retained => args.qos.0.max(QoS::AtLeastOnce),
            _ => args.qos.0,
        };
        Plan {
            scenario: args.scenario,
            version,
            publishers,
            subscribers,
            is_shared,
            topics: args.topics,
            qos,
            size: args.size as usize,
            rate: args.rate,
            warm_up: if has_phases { Duration::ZERO } else { args.warm_up },
            length: count.map_or(Length::Time(args.duration.get()), Length::Count),
            max_inflight: max_inflight(args.max_inflight, version),
            // Nobody takes anything yet.
            backlog: if has_phases { 0 } else { args.backlog.into() },
            prefix,
            client_prefix,
            server: args.server_pid.map(|id| ServerProcess::new(id.get())),
        }
    }

    /// How many subscribers get each message.
    pub(super) fn copies(&self) -> u64 {
        match self.scenario {
            Scenario::Pairs => 1,
            _ if self.is_shared => 1,
            Scenario::Idle => 0,
            _ => self.subscribers as u64,
        }
    }

    /// Whether the subscribers take what they get behind the publishing, and not beside it.
    pub(super) fn delivers_later(&self) -> bool {
        matches!(self.scenario, Scenario::Offline | Scenario::Retained)
    }

    /// Whether messages that a subscriber gets of one publisher have an order. Retained ones of several topics have none.
    pub(super) fn is_ordered(&self) -> bool {
        self.scenario != Scenario::Retained
    }

    /// Whether what is sent ends with an acknowledgement.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.qos != QoS::AtMostOnce && self.scenario != Scenario::Connect
    }

    /// Whose messages a subscriber gets.
    pub(super) fn publishers_of(&self, subscriber: usize) -> std::ops::Range<usize> {
        match self.scenario {
            Scenario::Pairs => subscriber..subscriber + 1,
            _ => 0..self.publishers,
        }
    }

    /// A publisher's topic. Where it is another one for each message, a number of `TOPIC_DIGITS` digits stands in for it.
    pub(super) fn topic(&self, publisher: usize) -> String {
        match self.scenario {
            Scenario::Random => self.random_topic(0),
            Scenario::Retained => self.retained_topic(publisher, 0),
            _ => format!("{}/{publisher}", self.prefix),
        }
    }

    /// The topic of a retained message.
    pub(super) fn retained_topic(&self, publisher: usize, number: u64) -> String {
        format!("{}/{publisher}/{number:0TOPIC_DIGITS$}", self.prefix)
    }

    fn random_topic(&self, number: u32) -> String {
        format!("{}/{number:0TOPIC_DIGITS$}/unit/reading", self.prefix)
    }

    /// Where in a topic that number stands.
    pub(super) fn digits_at(&self, publisher: usize) -> Option<usize> {
        match self.scenario {
            Scenario::Random => Some(self.prefix.len() + 1),
            Scenario::Retained => Some(self.topic(publisher).len() - TOPIC_DIGITS),
            _ => None,
        }
    }

    /// The number in the topic of a publisher's message.
    pub(super) fn topic_number(&self, publisher: usize, number: u64) -> u64 {
        match self.scenario {
            // splitmix64: the same in each run, and in an order that no cache foresees.
            Scenario::Random => {
                let nth = number.wrapping_mul(self.publishers as u64).wrapping_add(publisher as u64);
                let mixed = nth.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) % u64::from(self.topics)
            }
            _ => number,
        }
    }

    pub(super) fn filters(&self, subscriber: usize) -> Vec<String> {
        match self.scenario {
            Scenario::Pairs => vec![self.topic(subscriber)],
            Scenario::Random => {
                let own = (subscriber as u32..self.topics).step_by(self.subscribers);
                own.map(|number| self.random_filter(number)).collect()
            }
            Scenario::Retained => vec![format!("{}/#", self.prefix)],
            Scenario::Idle => vec![format!("{}/{subscriber}", self.prefix)],
            _ if self.is_shared => vec![format!("$share/bench/{}/+", self.prefix)],
            _ => vec![format!("{}/+", self.prefix)],
        }
    }

    /// Three in ten have wildcards. Each matches one topic.
    fn random_filter(&self, number: u32) -> String {
        let front = format!("{}/{number:0TOPIC_DIGITS$}", self.prefix);
        match number % 10 {
            0 => format!("{front}/unit/+"),
            1 => format!("{front}/+/reading"),
            2 => format!("{front}/#"),
            _ => self.random_topic(number),
        }
    }

    /// When a publisher's message is due with a rate, in nanoseconds from the start: the publishers take turns.
    pub(super) fn due(&self, publisher: usize, number: u64) -> Option<u64> {
        let nth = u128::from(number) * self.publishers as u128 + publisher as u128;
        self.rate.map(|rate| (nth * 1_000_000_000 / u128::from(rate)) as u64)
    }

    /// How many messages of all publishers are due in the first `nanoseconds`, the one at 0 among them.
    pub(super) fn due_within(&self, nanoseconds: u64) -> Option<u64> {
        self.rate.map(|rate| (u128::from(nanoseconds) * u128::from(rate) / 1_000_000_000) as u64 + 1)
    }

    /// How many messages a publisher has to send when a count is measured: the first ones send what does not divide.
    pub(super) fn quota(&self, publisher: usize) -> Option<u64> {
        let Length::Count(count) = self.length else { return None };
        let (each, rest) = (count / self.publishers as u64, count % self.publishers as u64);
        Some(each + u64::from((publisher as u64) < rest))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use opifex_packet::{TopicFilter, TopicName};

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        args: BenchArgs,
    }

    fn plan(flags: &[&str]) -> Plan {
        let flags = Flags::try_parse_from([&["bench"], flags].concat()).map_err(|error| error.to_string());
        Plan::new(
            &flags.map(|flags| flags.args).expect("right flags"),
            Version::V3_1_1,
            "p".into(),
            "c".into(),
        )
    }

    #[test]
    fn a_scenario_says_who_gets_what() {
        let pairs = plan(&["pairs", "--publishers", "3"]);
        assert_eq!((pairs.publishers, pairs.subscribers, pairs.copies()), (3, 3, 1));
        assert_eq!((pairs.filters(2), pairs.publishers_of(2)), (vec!["p/2".into()], 2..3));
        let out = plan(&["fan-out", "--subscribers", "5"]);
        assert_eq!((out.publishers, out.subscribers, out.copies()), (1, 5, 5));
        assert_eq!((out.filters(4), out.publishers_of(4)), (vec!["p/+".into()], 0..1));
        let fan_in = plan(&["fan-in"]);
        assert_eq!((fan_in.publishers, fan_in.subscribers, fan_in.publishers_of(0)), (10, 1, 0..10));
        assert_eq!(plan(&["publish"]).copies(), 0);
    }

    #[test]
    fn each_random_topic_matches_one_filter_of_one_subscriber() {
        let plan = plan(&["random", "--topics", "40", "--subscribers", "3"]);
        let filters: Vec<String> = (0..3).flat_map(|subscriber| plan.filters(subscriber)).collect();
        assert_eq!((filters.len(), plan.copies()), (40, 1));
        let at = plan.digits_at(0).expect("it has digits");
        assert_eq!(&plan.topic(0)[at..at + TOPIC_DIGITS], "00000000");
        for number in 0..40 {
            let topic = TopicName::new(plan.random_topic(number)).expect("a topic");
            let matches =
                |filter: &&String| TopicFilter::new(filter.as_str()).expect("a filter").matches(&topic);
            assert_eq!(filters.iter().filter(matches).count(), 1, "{number}");
        }
        let numbers: std::collections::HashSet<u64> = (0..1000).map(|n| plan.topic_number(3, n)).collect();
        assert_eq!((numbers.len(), numbers.iter().max()), (40, Some(&39)));
    }

    #[test]
    fn a_retained_message_has_a_topic_of_its_own() {
        let plan = plan(&["retained", "--publishers", "11"]);
        let at = plan.digits_at(10).expect("it has digits");
        assert_eq!((plan.topic(10).as_str(), at, plan.topic_number(10, 77)), ("p/10/00000000", 5, 77));
        assert_eq!(plan.length, Length::Count(DEFAULT_COUNT));
    }

    #[test]
    fn the_publishers_of_a_rate_take_turns() {
        let plan = plan(&["--publishers", "4", "--rate", "1000"]);
        let due = |publisher, number| plan.due(publisher, number).expect("a rate");
        assert_eq!([due(0, 0), due(1, 0), due(3, 0), due(0, 1)], [0, 1_000_000, 3_000_000, 4_000_000]);
        // Ten years on it is still exact.
        assert_eq!(due(0, 250 * 315_360_000), 315_360_000_000_000_000);
        for nanoseconds in [0, 999_999, 1_000_000, 1_000_001, 77_777_777] {
            let within =
                (0..4).map(|publisher| (0..100).filter(|n| due(publisher, *n) <= nanoseconds).count());
            assert_eq!(plan.due_within(nanoseconds), Some(within.sum::<usize>() as u64), "{nanoseconds}");
        }
        assert_eq!(self::plan(&[]).due(0, 0), None);
    }

    #[test]
    fn a_count_is_shared_out() {
        let plan = plan(&["--publishers", "3", "--count", "8"]);
        let quotas: Vec<_> = (0..3).map(|publisher| plan.quota(publisher)).collect();
        assert_eq!(quotas, [Some(3), Some(3), Some(2)]);
        assert_eq!(self::plan(&[]).quota(0), None);
    }
}
