//! What a run does, from its flags: how many of whom, and when each message is due.

use std::time::Duration;

use opifex_packet::{QoS, Version};

use super::server_process::ServerProcess;
use crate::cli::{BenchArgs, Scenario};
use crate::client::max_inflight;

/// The plan of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) scenario: Scenario,
    pub(super) version: Version,
    pub(super) publishers: usize,
    pub(super) subscribers: usize,
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
        let (publishers, subscribers) = match args.scenario {
            Scenario::FanOut => (number(args.publishers, 1), number(args.subscribers, 10)),
            Scenario::FanIn => (number(args.publishers, 10), number(args.subscribers, 1)),
            Scenario::Pairs => (number(args.publishers, 10), number(args.publishers, 10)),
            Scenario::Publish | Scenario::Connect => (number(args.publishers, 10), 0),
        };
        Plan {
            scenario: args.scenario,
            version,
            publishers,
            subscribers,
            qos: args.qos.0,
            size: args.size as usize,
            rate: args.rate,
            warm_up: args.warm_up,
            length: args.count.map_or(Length::Time(args.duration.get()), |count| Length::Count(count.get())),
            max_inflight: max_inflight(args.max_inflight, version),
            backlog: args.backlog.into(),
            prefix,
            client_prefix,
            server: args.server_pid.map(|id| ServerProcess::new(id.get())),
        }
    }

    /// How many subscribers get each message.
    pub(super) fn copies(&self) -> u64 {
        match self.scenario {
            Scenario::Pairs => 1,
            _ => self.subscribers as u64,
        }
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

    pub(super) fn topic(&self, publisher: usize) -> String {
        format!("{}/{publisher}", self.prefix)
    }

    pub(super) fn filter(&self, subscriber: usize) -> String {
        match self.scenario {
            Scenario::Pairs => self.topic(subscriber),
            _ => format!("{}/+", self.prefix),
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
        assert_eq!((pairs.filter(2), pairs.publishers_of(2)), ("p/2".into(), 2..3));
        let out = plan(&["fan-out", "--subscribers", "5"]);
        assert_eq!((out.publishers, out.subscribers, out.copies()), (1, 5, 5));
        assert_eq!((out.filter(4), out.publishers_of(4)), ("p/+".into(), 0..1));
        let fan_in = plan(&["fan-in"]);
        assert_eq!((fan_in.publishers, fan_in.subscribers, fan_in.publishers_of(0)), (10, 1, 0..10));
        assert_eq!(plan(&["publish"]).copies(), 0);
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
