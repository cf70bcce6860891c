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
use opifex_packet::{QoS, Version};
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
mod stamp;
mod subscriber;
mod wire;

use board::{Board, record};
use cpu::Meter;
use plan::{Length, Plan};
use progress::Bar;
use publisher::Publisher;
use report::Report;
use server_process::Usage;
use subscriber::{Account, Subscriber};
use wire::{Login, Refused, Wire};

/// Handshakes under way at once.
const HANDSHAKES: usize = 64;

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
    /// What the server had used when measuring began and when all was delivered, and the messages by then.
    server: Option<[(Usage, u64); 2]>,
}

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
        let connections = tokio::select! {
            connections = self.connect() => connections.map_err(not_begun)?,
            signal = signals.next() => return Err(Failure::runtime(anyhow!("{signal} before the first message"))),
        };
        let (plan, board) = (&self.plan, &self.board);

        let mut subscribers = JoinSet::new();
        for (index, wire) in connections.subscribers {
            let subscriber = Subscriber::new(index, wire, Arc::clone(board), Arc::clone(plan));
            subscribers.spawn(async move { (index, subscriber.run().await) });
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
        if end.is_settled {
            tokio::select! {
                () = self.wait_for_deliveries(&bar) => {}
                signal = signals.next() => {
                    end.signal.get_or_insert(signal);
                    end.is_settled = false;
                }
            }
        }
        end.server = end.server.and_then(|[begin, _]| Some([begin, self.server_usage()?]));
        bar.say("closing");
        board.stop();
        let accounts = self.accounts(subscribers).await;
        publishers.shutdown().await;
        // It looks at the board some thousand times a second.
        pacer.join().map_err(|_| Failure::runtime(anyhow!("the pacer failed")))?;
        bar.clear();
        let report = Report::new(plan, board, &accounts, server, &end);
        Ok((report, end.signal))
    }

    /// Makes all connections and subscriptions. The first failure is the run's.
    async fn connect(&self) -> anyhow::Result<Connections> {
        let (plan, board) = (&self.plan, &self.board);
        let permits = Arc::new(Semaphore::new(HANDSHAKES));
        let mut handshakes = JoinSet::new();
        let publishers = if plan.scenario == Scenario::Connect { 0 } else { plan.publishers };
        let publishers = (0..publishers).map(|index| (index, None));
        let subscribers = (0..plan.subscribers).map(|index| (index, Some(plan.filter(index))));
        for (index, filter) in subscribers.chain(publishers) {
            let (permits, login, board) = (Arc::clone(&permits), Arc::clone(&self.login), Arc::clone(board));
            let letter = if filter.is_some() { 's' } else { 'p' };
            let client_id = format!("{}-{letter}{index}", plan.client_prefix);
            let qos = plan.qos;
            handshakes.spawn(async move {
                let _permit = permits.acquire_owned().await?;
                let begin = board.now();
                let mut wire = Wire::connect(&login, &client_id).await?;
                record(&board.connect, &mut vec![board.now() - begin]);
                if let Some(filter) = &filter {
                    wire.subscribe(filter, qos).await?;
                }
                anyhow::Ok((index, filter.is_some(), wire))
            });
        }
        let mut connections = Connections::default();
        while let Some(joined) = handshakes.join_next().await {
            let (index, subscribes, wire) = joined.context("a handshake failed")??;
            let connections =
                if subscribes { &mut connections.subscribers } else { &mut connections.publishers };
            connections.push((index, wire));
        }
        Ok(connections)
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
        Ok(End { signal, is_settled, cpu_percent, server: server.map(|begin| [begin, begin]) })
    }

    /// What the server has used, and the messages by now: deliveries or, where there are none, what was sent.
    fn server_usage(&self) -> Option<(Usage, u64)> {
        let usage = self.plan.server?.usage()?;
        let messages = match self.plan.copies() {
            0 => self.board.sum(|publisher| &publisher.sent),
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
    async fn accounts(
        &self,
        mut subscribers: JoinSet<(usize, (Account, anyhow::Result<()>))>,
    ) -> Vec<Account> {
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
        if timeout(QUIET, all).await.is_err() {
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
