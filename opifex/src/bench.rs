//! `opifex bench`: loads any broker and measures what becomes of each message. A run has the same steps whatever it
//! measures: connect and subscribe, publish (warm up, then measure), wait for what is on its way, report.
//!
//! It drives its connections itself (`bench/wire.rs`), one task each, without a client's queues and copies in between, so
//! that it is the broker that is measured.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use opifex_packet::{Publish, QoS, TopicName, Version};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{BenchArgs, Scenario};
use crate::client::{address, interrupted, login, random};
use crate::failure::Failure;
use crate::signals::Signals;

mod board;
mod connects;
mod cpu;
mod ledger;
mod pacer;
mod pings;
mod plan;
mod progress;
mod publisher;
mod report;
mod server_process;
mod share;
mod stamp;
mod subscriber;
mod wire;

use board::{Board, record};
use cpu::Meter;
use plan::{Length, Plan};
use progress::Bar;
use publisher::Publisher;
use report::Report;
use server_process::{ServerProcess, Usage};
use subscriber::{Account, Subscriber};
use wire::{Login, Refused, Wire};

/// Handshakes under way at once.
const HANDSHAKES: usize = 64;

/// What is put together before it is written, of what removes retained messages.
const CLEAN_UP_BYTES: usize = 64 * 1024;

/// From the last subscription to the first message.
const RUN_UP: Duration = Duration::from_millis(50);

/// How often it looks how far it is.
const TICK: Duration = Duration::from_millis(20);

/// No delivery comes for so long: what is missing is lost, at QoS 0 and above it.
const QUIET: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(10);

/// The same where later messages have come: what is missing is out of order, or lost.
const GAPS: Duration = Duration::from_secs(2);

/// All has come: what comes now has come before.
const LINGER: Duration = Duration::from_millis(250);

/// So long behind the end what was due before goes out.
const OVERTIME: Duration = Duration::from_secs(5);

/// From the last connection of those that are idle to the look at the server's memory.
const SETTLE: Duration = Duration::from_secs(1);

/// Nothing moves for so long: the broker hangs. The lowest rate is a message a second.
const STUCK: Duration = Duration::from_secs(20);

/// Runs the benchmark and prints what it found.
pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode, Failure> {
    let place = address(&args.server, &args.url);
    let (user_name, password) = login(&args.server, &place)?;
    let version = args.server.protocol_version.unwrap_or(Version::V3_1_1);
    let number = random();
    let url_topic = args.url.url.as_ref().and_then(|url| url.topic.clone());
    let prefix = args.topic.as_ref().map(|topic| topic.as_str().to_owned()).or(url_topic);
    let prefix = prefix.unwrap_or_else(|| format!("opifex-bench/{number:08x}"));
    let plan = Plan::new(args, version, prefix, format!("bench-{number:08x}"));
    let login = Login { host: place.host().into(), port: place.port(), version, user_name, password };

    let mut runtime = match args.threads.get() {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime =
        runtime.enable_all().build().context("cannot start the runtime").map_err(Failure::Runtime)?;
    crate::descriptors::raise_limit();
    let server = place.to_string().trim_start_matches("mqtt://").to_owned();
    let (report, signal) = runtime.block_on(Run::new(plan, login, number).go(server))?;
    match args.json {
        true => println!("{}", report.json()),
        false => print!("{}", report.table()),
    }
    Ok(match signal {
        Some(signal) => interrupted(signal),
        None if report.is_good() => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    })
}

struct Run {
    plan: Arc<Plan>,
    login: Arc<Login>,
    board: Arc<Board>,
}

/// How the sending part of a run ended.
struct End {
    /// The signal that ended it early.
    signal: Option<&'static str>,
    /// What was on its way has been waited for.
    is_settled: bool,
    /// The generator's share of a processor in the measured part.
    cpu_percent: Option<f64>,
    /// When measuring began and when all was delivered (or published, where it is delivered later).
    server: Option<Span>,
    /// Around what the server has to remember, with how much that is.
    stored: Option<Span>,
    delivering: Option<Delivering>,
}

/// What the server had used at a begin and at an end, and the messages by then.
type Span = [(Usage, u64); 2];

/// The second part of a run that delivers later.
struct Delivering {
    seconds: f64,
    server: Option<Span>,
}

/// What a connection is made for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Part {
    Publish,
    Subscribe,
    /// Subscribes and goes, and leaves its session behind.
    Leave,
    /// Goes on with that session.
    Return,
}

/// The tasks of subscribers, with their numbers.
type Subscribers = JoinSet<(usize, (Account, anyhow::Result<()>))>;

/// The connections of a run before it begins.
#[derive(Default)]
struct Connections {
    publishers: Vec<(usize, Wire)>,
    subscribers: Vec<(usize, Wire)>,
}

impl Run {
    fn new(plan: Plan, login: Login, number: u32) -> Run {
        let board = Arc::new(Board::new(number, plan.publishers));
        Run { plan: Arc::new(plan), login: Arc::new(login), board }
    }

    async fn go(self, server: String) -> Result<(Report, Option<&'static str>), Failure> {
        let mut signals = Signals::new()?;
        let bar = Bar::new();
        bar.say("connecting");
        let empty = self.plan.server.and_then(ServerProcess::usage);
        let connections = tokio::select! {
            connections = self.connect(self.parts()) => connections.map_err(not_begun)?,
            signal = signals.next() => return Err(Failure::Stopped(signal, anyhow!("{signal} before the first message"))),
        };
        let (plan, board) = (&self.plan, &self.board);

        let mut subscribers = JoinSet::new();
        self.begin(&mut subscribers, connections.subscribers);
        let mut stored = None;
        if matches!(plan.scenario, Scenario::Idle | Scenario::Random) {
            sleep(SETTLE).await;
            let full = plan.server.and_then(ServerProcess::usage);
            let kept =
                if plan.scenario == Scenario::Idle { plan.subscribers as u64 } else { plan.topics.into() };
            stored = empty.zip(full).map(|(empty, full)| [(empty, 0), (full, kept)]);
        }
        let start = board.now() + RUN_UP.as_nanos() as u64;
        let measure_from = start + plan.warm_up.as_nanos() as u64;
        board.start.store(start, Relaxed);
        board.measure_from.store(measure_from, Relaxed);
        if let Length::Time(time) = plan.length {
            let end = measure_from + time.as_nanos() as u64;
            board.end.store(end, Relaxed);
            board.cutoff.store(end + OVERTIME.as_nanos() as u64, Relaxed);
        }
        let mut publishers: JoinSet<(usize, anyhow::Result<()>)> = JoinSet::new();
        if plan.scenario == Scenario::Connect {
            for index in 0..plan.publishers {
                let (login, board, plan) = (Arc::clone(&self.login), Arc::clone(board), Arc::clone(plan));
                publishers.spawn(async move { (index, connects::run(index, login, board, plan).await) });
            }
        }
        for (index, wire) in connections.publishers {
            let publisher = Publisher::new(index, wire, Arc::clone(board), Arc::clone(plan));
            let publisher = publisher.map_err(Failure::Runtime)?;
            publishers.spawn(async move { (index, publisher.run().await) });
        }
        let pacer = pacer::start(Arc::clone(board), Arc::clone(plan));

        let mut end = self.wait_for(&mut publishers, &mut signals, &bar).await?;
        end.stored = stored;
        if end.is_settled && plan.delivers_later() {
            end.server = end.server.and_then(|[begin, _]| Some([begin, self.server_usage()?]));
            end.stored = end.server;
            tokio::select! {
                delivering = self.deliver(&mut subscribers, &bar) => end.delivering = Some(delivering?),
                signal = signals.next() => {
                    end.signal.get_or_insert(signal);
                    end.is_settled = false;
                }
            }
        } else if end.is_settled {
            tokio::select! {
                () = self.wait_for_deliveries(&bar) => {}
                signal = signals.next() => {
                    end.signal.get_or_insert(signal);
                    end.is_settled = false;
                }
            }
        }
        if !plan.delivers_later() {
            end.server = end.server.and_then(|[begin, _]| Some([begin, self.server_usage()?]));
        }
        bar.say("closing");
        board.stop();
        let accounts = self.accounts(subscribers).await;
        publishers.shutdown().await;
        // It looks at the board some thousand times a second.
        pacer.join().map_err(|_| Failure::runtime(anyhow!("the pacer failed")))?;
        bar.clear();
        if let Err(error) = self.clean_up().await {
            board.fail("the end", &error);
        }
        let report = Report::new(plan, board, &accounts, server, &end);
        Ok((report, end.signal))
    }

    /// The connections in front of the first message.
    fn parts(&self) -> Vec<(usize, Part)> {
        let plan = &self.plan;
        let publishers = if plan.scenario == Scenario::Connect { 0 } else { plan.publishers };
        let of_subscribers = match plan.scenario {
            Scenario::Offline => Some(Part::Leave),
            Scenario::Retained => None,
            _ => Some(Part::Subscribe),
        };
        let subscribers =
            of_subscribers.into_iter().flat_map(|part| (0..plan.subscribers).map(move |index| (index, part)));
        subscribers.chain((0..publishers).map(|index| (index, Part::Publish))).collect()
    }

    /// Makes these connections and their subscriptions. The first failure is the run's.
    async fn connect(&self, parts: Vec<(usize, Part)>) -> anyhow::Result<Connections> {
        let permits = Arc::new(Semaphore::new(HANDSHAKES));
        let mut handshakes = JoinSet::new();
        for (index, part) in parts {
            let (permits, login) = (Arc::clone(&permits), Arc::clone(&self.login));
            let (plan, board) = (Arc::clone(&self.plan), Arc::clone(&self.board));
            handshakes.spawn(async move {
                let _permit = permits.acquire_owned().await?;
                let letter = if part == Part::Publish { 'p' } else { 's' };
                let client_id = format!("{}-{letter}{index}", plan.client_prefix);
                let begin = board.now();
                let mut wire = match part {
                    Part::Publish | Part::Subscribe => Wire::connect(&login, &client_id).await?,
                    Part::Leave | Part::Return => Wire::resume(&login, &client_id).await?,
                };
                record(&board.connect, &mut vec![board.now() - begin]);
                if matches!(part, Part::Subscribe | Part::Leave) {
                    wire.subscribe(&plan.filters(index), plan.qos).await?;
                }
                if part == Part::Leave {
                    wire.close().await;
                    return Ok(None);
                }
                anyhow::Ok(Some((index, part, wire)))
            });
        }
        let mut connections = Connections::default();
        while let Some(joined) = handshakes.join_next().await {
            match joined.context("a handshake failed")?? {
                Some((index, Part::Publish, wire)) => connections.publishers.push((index, wire)),
                Some((index, _, wire)) => connections.subscribers.push((index, wire)),
                None => {}
            }
        }
        Ok(connections)
    }

    /// Has these subscribers receive.
    fn begin(&self, subscribers: &mut Subscribers, connections: Vec<(usize, Wire)>) {
        for (index, wire) in connections {
            let subscriber = Subscriber::new(index, wire, Arc::clone(&self.board), Arc::clone(&self.plan));
            subscribers.spawn(async move { (index, subscriber.run().await) });
        }
    }

    /// Has the subscribers come, and waits for what was published before.
    async fn deliver(&self, subscribers: &mut Subscribers, bar: &Bar) -> Result<Delivering, Failure> {
        let (plan, board) = (&self.plan, &self.board);
        bar.say("delivering");
        let before = plan.server.and_then(ServerProcess::usage);
        let begin = board.now();
        let part = if plan.scenario == Scenario::Offline { Part::Return } else { Part::Subscribe };
        let parts = (0..plan.subscribers).map(|index| (index, part)).collect();
        let connections = self.connect(parts).await.map_err(not_begun)?;
        self.begin(subscribers, connections.subscribers);
        self.wait_for_deliveries(bar).await;
        let after = plan.server.and_then(ServerProcess::usage);
        let seconds = board.last_measured.load(Relaxed).saturating_sub(begin) as f64 / 1e9;
        let received = board.received.load(Relaxed);
        Ok(Delivering {
            seconds,
            server: before.zip(after).map(|(before, after)| [(before, 0), (after, received)]),
        })
    }

    /// Removes what the run has left on the server: sessions and retained messages.
    async fn clean_up(&self) -> anyhow::Result<()> {
        let (plan, board) = (&self.plan, &self.board);
        match plan.scenario {
            Scenario::Offline => {
                for index in 0..plan.subscribers {
                    Wire::connect(&self.login, &format!("{}-s{index}", plan.client_prefix))
                        .await?
                        .close()
                        .await;
                }
            }
            Scenario::Retained => {
                let mut wire = Wire::connect(&self.login, &format!("{}-c", plan.client_prefix)).await?;
                for (publisher, progress) in board.publishers.iter().enumerate() {
                    for number in 0..progress.sent.load(Relaxed) {
                        let topic = TopicName::new(plan.retained_topic(publisher, number))?;
                        wire.send(Publish { retain: true, ..Publish::new(topic, &[][..]) });
                        if wire.out.len() > CLEAN_UP_BYTES {
                            wire.flush().await?;
                        }
                    }
                }
                wire.flush().await?;
                wire.close().await;
            }
            _ => {}
        }
        Ok(())
    }

    /// Waits until all publishers have sent what they had to send, and what they are owed is there. The second signal ends
    /// that, too.
    async fn wait_for(
        &self,
        publishers: &mut JoinSet<(usize, anyhow::Result<()>)>,
        signals: &mut Signals,
        bar: &Bar,
    ) -> Result<End, Failure> {
        let board = &self.board;
        let (mut signal, mut is_settled) = (None, true);
        let mut moved = (0, Instant::now());
        let mut acknowledged = (0, Instant::now());
        let mut meter = Meter::begin();
        let mut server = self.server_usage();
        let mut warms_up = true;
        while is_settled {
            tokio::select! {
                joined = publishers.join_next() => match joined {
                    None => break,
                    Some(Ok((_, Ok(())))) => {}
                    Some(Ok((index, Err(error)))) => board.fail(&format!("publisher {index}"), &error),
                    Some(Err(error)) => return Err(Failure::runtime(error)),
                },
                name = signals.next() => match signal {
                    Some(_) => is_settled = false,
                    None => {
                        signal = Some(name);
                        (moved.1, acknowledged.1) = (Instant::now(), Instant::now());
                        board.cut();
                    }
                },
                () = sleep(TICK) => {
                    bar.show(board, &self.plan);
                    if warms_up && board.now() >= board.measure_from.load(Relaxed) {
                        (warms_up, meter, server) = (false, Meter::begin(), self.server_usage());
                    }
                    let sent = board.sum(|publisher| &publisher.sent);
                    let ended = board.sum(|publisher| &publisher.acknowledged);
                    if ended != acknowledged.0 || ended >= sent || !self.plan.is_acknowledged() {
                        acknowledged = (ended, Instant::now());
                    }
                    let now = sent + ended + board.received.load(Relaxed);
                    if now != moved.0 || board.now() < board.start.load(Relaxed) {
                        moved = (now, Instant::now());
                    }
                    // Whoever has given a signal does not want to wait long.
                    let patience = if signal.is_some() { QUIET } else { STUCK };
                    // A slow run may send for long what nobody acknowledges.
                    if moved.1.min(acknowledged.1).elapsed() > patience {
                        board.fail("the server", &anyhow!("nothing moved for {} seconds", patience.as_secs()));
                        break;
                    }
                }
            }
        }
        let cpu_percent = meter.and_then(Meter::percent);
        let server = server.map(|begin| [begin, begin]);
        Ok(End { signal, is_settled, cpu_percent, server, stored: None, delivering: None })
    }

    /// What the server has used, and the messages by now: deliveries or, where there are none, what was sent.
    fn server_usage(&self) -> Option<(Usage, u64)> {
        let usage = self.plan.server?.usage()?;
        let messages = match self.plan.copies() {
            0 => self.board.sum(|publisher| &publisher.sent),
            _ if self.plan.delivers_later() => self.board.sum(|publisher| &publisher.sent),
            _ => self.board.received.load(Relaxed),
        };
        Some((usage, messages))
    }

    /// Waits for deliveries, as long as some come, and a moment longer.
    async fn wait_for_deliveries(&self, bar: &Bar) {
        let (plan, board) = (&self.plan, &self.board);
        let patience = if plan.qos == QoS::AtMostOnce { QUIET } else { LATE };
        let mut moved = (0, Instant::now());
        loop {
            let copies = plan.copies();
            let taken = board.sum(|publisher| &publisher.sent) - board.sum(|publisher| &publisher.refused);
            let received = board.received.load(Relaxed);
            if received != moved.0 {
                moved = (received, Instant::now());
            }
            let patience =
                if board.distinct.load(Relaxed) >= taken * copies {
                    LINGER
                } else if board.publishers.iter().all(|publisher| {
                    publisher.accounted.load(SeqCst) >= publisher.sent.load(Relaxed) * copies
                }) {
                    GAPS
                } else {
                    patience
                };
            if copies == 0 || moved.1.elapsed() > patience {
                return;
            }
            bar.show(board, plan);
            sleep(TICK).await;
        }
    }

    /// Ends the subscribers and takes their accounts.
    async fn accounts(&self, mut subscribers: Subscribers) -> Vec<Account> {
        let mut accounts = Vec::new();
        let all = async {
            while let Some(joined) = subscribers.join_next().await {
                let (index, (account, outcome)) = match joined {
                    Ok(joined) => joined,
                    Err(error) => {
                        self.board.fail("a subscriber", &error.into());
                        continue;
                    }
                };
                if let Err(error) = outcome {
                    self.board.fail(&format!("subscriber {index}"), &error);
                }
                accounts.push(account);
            }
        };
        if timeout(LATE, all).await.is_err() {
            self.board.fail("the subscribers", &anyhow!("they do not end"));
        }
        accounts
    }
}

/// A run that could not begin.
fn not_begun(error: anyhow::Error) -> Failure {
    match error.downcast_ref::<Refused>() {
        Some(refused) => Failure::Refused(refused.reason, error),
        None => Failure::Runtime(error),
    }
}
