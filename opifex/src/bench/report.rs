//! What a run came to: as a table for people and as one JSON object for programs, with the same figures.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::board::Board;
use super::plan::Plan;
use super::server_process::Usage;
use super::share::{self, Share};
use super::subscriber::Account;
use super::{End, Span};
use crate::cli::Scenario;

/// The figures of a run. Times are microseconds unless their name says otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    scenario: &'static str,
    server: String,
    mqtt: &'static str,
    qos: u8,
    publishers: usize,
    subscribers: usize,
    payload_bytes: usize,
    /// Messages a second that were asked for.
    rate: Option<u32>,

    /// Of the measured part: what was sent or, of connections, made; and in how many seconds.
    measured_seconds: f64,
    sent: u64,
    sent_per_second: f64,
    received: u64,
    received_per_second: f64,
    received_bytes_per_second: f64,

    /// Of the whole run, the warm-up included.
    total_sent: u64,
    total_acknowledged: u64,
    refused: u64,
    lost: u64,
    duplicates: u64,
    reordered: u64,
    foreign: u64,
    /// With a rate: due, and never sent.
    unsent: u64,

    delivery_us: Option<Latency>,
    acknowledgement_us: Option<Latency>,
    connect_us: Option<Latency>,
    /// How late the generator was itself, with messages that nothing else held up.
    lag_us: Option<Latency>,
    /// Processor time of the generator while it published what was measured, in percent of one processor.
    generator_cpu_percent: Option<f64>,
    /// With `--server-pid`: for each delivery (`publish`: message; `connect`: connection) from the end of the warm-up on.
    server_cpu_us_per_message: Option<f64>,
    server_context_switches_per_message: Option<f64>,
    /// At the end, in front of the connections' end.
    server_resident_bytes: Option<u64>,
    /// By how much it grew for each: message (`offline`, `retained`), connection (`idle`), subscription (`random`).
    server_resident_bytes_each: Option<f64>,
    /// What `offline` and `retained` had published, on its way to the subscribers; all above is of the publishing then, except
    /// `received`.
    delivering: Option<Delivering>,

    failed_connections: u64,
    errors: Vec<String>,
    stopped_early: bool,
}

/// The second part of a run that delivers later.
#[derive(Debug, Serialize)]
struct Delivering {
    seconds: f64,
    per_second: f64,
    server_cpu_us_per_message: Option<f64>,
}

/// A distribution of times.
#[derive(Debug, Serialize)]
struct Latency {
    count: u64,
    min: f64,
    mean: f64,
    p50: f64,
    p90: f64,
    p99: f64,
    p99_9: f64,
    p99_99: f64,
    max: f64,
}

impl Latency {
    fn of(histogram: &Mutex<Histogram<u64>>) -> Option<Latency> {
        let histogram = histogram.lock().expect("no holder panics");
        let micros = |nanos: u64| nanos as f64 / 1_000.0;
        let at = |quantile| micros(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Latency {
            count: histogram.len(),
            min: micros(histogram.min()),
            mean: histogram.mean() / 1_000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            p99_99: at(0.9999),
            max: micros(histogram.max()),
        })
    }
}

/// How many messages were due before the end and did not go out.
fn unsent(plan: &Plan, board: &Board) -> u64 {
    let (start, end) = (board.start.load(Relaxed), board.end.load(Relaxed));
    if end == u64::MAX || end <= start {
        return 0;
    }
    let due = plan.due_within(end - start - 1).unwrap_or(0);
    due.saturating_sub(board.sum(|publisher| &publisher.sent))
}

impl Report {
    pub(super) fn new(plan: &Plan, board: &Board, accounts: &[Account], server: String, end: &End) -> Report {
        let (mut lost, mut duplicates, mut reordered) = (0, 0, 0);
        for (publisher, ledger) in accounts.iter().flat_map(Account::by_publisher) {
            lost += ledger.gaps();
            if end.is_settled {
                lost += ledger.behind(board.publishers[publisher].sent.load(Relaxed));
            }
            duplicates += ledger.duplicates();
            reordered += ledger.reordered();
        }
        for publisher in (0..plan.publishers).filter(|_| plan.is_shared) {
            let shares = || accounts.iter().filter_map(|account| account.share_of(publisher));
            let sent = board.publishers[publisher].sent.load(Relaxed);
            let (missing, twice) = share::lost_and_duplicates(shares(), sent);
            // What has not been waited for is not lost.
            lost += if end.is_settled { missing } else { 0 };
            duplicates += twice;
            reordered += if plan.is_ordered() { shares().map(Share::reordered).sum() } else { 0 };
        }
        let measure_from = board.measure_from.load(Relaxed);
        let last_sent = board.publishers.iter().map(|publisher| publisher.last_measured.load(Relaxed)).max();
        let last_received = board.last_measured.load(Relaxed);
        let seconds = |last: u64| last.saturating_sub(measure_from) as f64 / 1e9;
        let (sent, sending) =
            (board.sum(|publisher| &publisher.sent_measured), seconds(last_sent.unwrap_or(0)));
        let receiving =
            end.delivering.as_ref().map_or(seconds(last_received), |delivering| delivering.seconds);
        let received = board.measured.load(Relaxed);
        let per_second = |count: u64, seconds: f64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let (failed_connections, errors) = board.failures();
        let of_server = |span: &Option<Span>, used: fn(&Usage) -> u64| {
            let [(before, messages_before), (after, messages)] = span.as_ref()?;
            let used = used(after).saturating_sub(used(before));
            (messages > messages_before).then(|| used as f64 / (messages - messages_before) as f64)
        };
        let delivering = end.delivering.as_ref().map(|delivering| Delivering {
            seconds: delivering.seconds,
            per_second: per_second(board.received.load(Relaxed), delivering.seconds),
            server_cpu_us_per_message: of_server(&delivering.server, |usage| usage.processor_nanos)
                .map(|nanos| nanos / 1_000.0),
        });
        Report {
            scenario: match plan.scenario {
                Scenario::Pairs => "pairs",
                Scenario::FanIn => "fan-in",
                Scenario::FanOut => "fan-out",
                Scenario::Publish => "publish",
                Scenario::Connect => "connect",
                Scenario::Random => "random",
                Scenario::Offline => "offline",
                Scenario::Retained => "retained",
                Scenario::Idle => "idle",
            },
            server,
            mqtt: match plan.version.level() {
                3 => "3.1",
                4 => "3.1.1",
                _ => "5.0",
            },
            qos: plan.qos.into(),
            publishers: plan.publishers,
            subscribers: plan.subscribers,
            payload_bytes: plan.size,
            rate: plan.rate,
            measured_seconds: if end.delivering.is_some() {
                sending + receiving
            } else {
                sending.max(receiving)
            },
            sent,
            sent_per_second: per_second(sent, sending),
            received,
            received_per_second: per_second(received, receiving),
            received_bytes_per_second: per_second(received * plan.size as u64, receiving),
            total_sent: board.sum(|publisher| &publisher.sent),
            total_acknowledged: board.sum(|publisher| &publisher.acknowledged),
            refused: board.sum(|publisher| &publisher.refused),
            lost,
            duplicates,
            reordered,
            foreign: board.foreign.load(Relaxed),
            unsent: unsent(plan, board),
            // How long a message waits for a client that is away is nobody's latency.
            delivery_us: Latency::of(&board.delivery).filter(|_| !plan.delivers_later()),
            acknowledgement_us: Latency::of(&board.acknowledgement),
            connect_us: Latency::of(&board.connect),
            lag_us: Latency::of(&board.lag),
            generator_cpu_percent: end.cpu_percent,
            server_cpu_us_per_message: of_server(&end.server, |usage| usage.processor_nanos)
                .map(|nanos| nanos / 1_000.0),
            server_context_switches_per_message: of_server(&end.server, |usage| usage.context_switches),
            server_resident_bytes: end.server.map(|[_, (usage, _)]| usage.resident_bytes),
            server_resident_bytes_each: of_server(&end.stored, |usage| usage.resident_bytes),
            delivering,
            failed_connections,
            errors,
            stopped_early: end.signal.is_some(),
        }
    }

    /// Whether all was kept that the QoS promises.
    pub(super) fn is_good(&self) -> bool {
        if self.scenario == "idle" {
            return self.failed_connections == 0;
        }
        let kept = match self.qos {
            0 => self.duplicates == 0,
            1 => self.lost == 0,
            _ => self.lost == 0 && self.duplicates == 0,
        };
        kept && self.reordered == 0 && self.refused == 0 && self.failed_connections == 0 && self.sent > 0
    }

    /// One line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts")
    }

    /// Some lines.
    pub(super) fn table(&self) -> String {
        let mut text = String::new();
        self.write_table(&mut text).expect("a String takes all");
        text
    }

    fn write_table(&self, text: &mut String) -> std::fmt::Result {
        let Report { scenario, server, mqtt, qos, publishers, subscribers, payload_bytes, .. } = self;
        if *scenario == "connect" {
            writeln!(text, "connect: {publishers} at a time, MQTT {mqtt}, {server}\n")?;
            writeln!(text, "{:<16}{:>12}{:>14.0} a second", "connections", self.sent, self.sent_per_second)?;
        } else if *scenario == "idle" {
            writeln!(
                text,
                "idle: {subscribers} connections with a subscription each, MQTT {mqtt}, {server}"
            )?;
        } else {
            let who = format!("{publishers} publishers, {subscribers} subscribers");
            writeln!(text, "{scenario}: {who}, QoS {qos}, {payload_bytes} bytes, MQTT {mqtt}, {server}\n")?;
            writeln!(text, "{:<16}{:>12}{:>14.0} a second", "sent", self.sent, self.sent_per_second)?;
            if *subscribers > 0 {
                let mib = self.received_bytes_per_second / f64::from(1 << 20);
                let rate = self.received_per_second;
                writeln!(
                    text,
                    "{:<16}{:>12}{rate:>14.0} a second{mib:>10.2} MiB/s",
                    "received", self.received
                )?;
                for (name, count) in
                    [("lost", self.lost), ("duplicates", self.duplicates), ("out of order", self.reordered)]
                {
                    writeln!(text, "{name:<16}{count:>12}")?;
                }
            }
            if self.unsent > 0 {
                writeln!(text, "{:<16}{:>12}  the rate was not reached", "never sent", self.unsent)?;
            }
            if self.refused > 0 {
                writeln!(text, "{:<16}{:>12}", "refused", self.refused)?;
            }
            if self.foreign > 0 {
                writeln!(text, "{:<16}{:>12}", "of others", self.foreign)?;
            }
        }
        let latencies = [
            ("delivery", &self.delivery_us),
            ("acknowledged", &self.acknowledgement_us),
            ("connect", &self.connect_us),
            ("own lag", &self.lag_us),
        ];
        let columns = ["min", "mean", "p50", "p90", "p99", "p99.9", "max"];
        write!(text, "\n{:<16}", "milliseconds")?;
        columns.iter().try_for_each(|column| write!(text, "{column:>10}"))?;
        writeln!(text)?;
        for (name, latency) in latencies {
            let Some(Latency { min, mean, p50, p90, p99, p99_9, max, .. }) = latency else { continue };
            write!(text, "{name:<16}")?;
            [min, mean, p50, p90, p99, p99_9, max]
                .into_iter()
                .try_for_each(|micros| write!(text, "{:>10.3}", micros / 1_000.0))?;
            writeln!(text)?;
        }
        if let Some(percent) = self.generator_cpu_percent {
            writeln!(text, "\nthe generator took {percent:.0} % of a processor")?;
        }
        if let (Some(micros), Some(resident)) = (self.server_cpu_us_per_message, self.server_resident_bytes) {
            let mib = resident as f64 / f64::from(1 << 20);
            writeln!(
                text,
                "the server took {micros:.3} microseconds of a processor a message, and {mib:.1} MiB of memory"
            )?;
        }
        if let Some(bytes) = self.server_resident_bytes_each {
            let each = match *scenario {
                "idle" => "connection",
                "random" => "subscription",
                _ => "message that is kept",
            };
            writeln!(text, "its memory grew by {bytes:.0} bytes for each {each}")?;
        }
        if let Some(micros) = self.delivering.as_ref().and_then(|part| part.server_cpu_us_per_message) {
            writeln!(text, "delivering later took it {micros:.3} microseconds a message")?;
        }
        if self.failed_connections > 0 {
            writeln!(text, "\n{} connections failed, among them:", self.failed_connections)?;
            self.errors.iter().try_for_each(|error| writeln!(text, "  {error}"))?;
        }
        if self.stopped_early {
            writeln!(text, "\nstopped before its time")?;
        }
        Ok(())
    }
}
