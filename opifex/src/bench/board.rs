//! What all connections of a run share: its clock, its phases, and the counts that the progress and the report read.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::sync::Notify;

/// Longer than anything that is measured: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// An empty histogram of nanoseconds with three digits.
pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("these bounds are in order")
}

/// The shared part of a run.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) run: u32,
    began: Instant,
    /// When publishing begins and when measuring does, in nanoseconds of the run; `u64::MAX` until that is known.
    pub(super) start: AtomicU64,
    pub(super) measure_from: AtomicU64,
    /// When publishing ends; `u64::MAX` when a count ends it.
    pub(super) end: AtomicU64,
    /// When also what was due before goes out no more; `u64::MAX` when a count ends it.
    pub(super) cutoff: AtomicU64,
    /// Set when nothing more is to be waited for.
    stopped: AtomicBool,
    pub(super) stop: Notify,

    pub(super) publishers: Vec<Progress>,
    /// Deliveries.
    pub(super) received: AtomicU64,
    /// Of those, without the ones that had come before.
    pub(super) distinct: AtomicU64,
    /// Of all, of messages that were due when it was measured.
    pub(super) measured: AtomicU64,
    /// When the last of those came.
    pub(super) last_measured: AtomicU64,
    /// Messages of other runs, or none of a benchmark's.
    pub(super) foreign: AtomicU64,
    /// From due to delivery, from due to the end of the QoS's flow, from due to the write (of what nothing but the generator
    /// held up), from due to CONNACK.
    pub(super) delivery: Mutex<Histogram<u64>>,
    pub(super) acknowledgement: Mutex<Histogram<u64>>,
    pub(super) lag: Mutex<Histogram<u64>>,
    pub(super) connect: Mutex<Histogram<u64>>,
    /// What went wrong, and how often anything did.
    errors: Mutex<Vec<String>>,
    failed: AtomicU64,
}

/// How far one publisher is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) sent: AtomicU64,
    pub(super) sent_measured: AtomicU64,
    /// When the last of those was written.
    pub(super) last_measured: AtomicU64,
    /// Ends of QoS 1 and 2 flows, and those of them in which the server refused the message.
    pub(super) acknowledged: AtomicU64,
    pub(super) refused: AtomicU64,
    /// Deliveries, of all subscribers together, that need no more waiting for: they came, or later ones did.
    pub(super) accounted: AtomicU64,
    /// Its task waits to be woken.
    waits: AtomicBool,
    pub(super) wake: Notify,
}

impl Progress {
    /// Wakes the publisher if it waits.
    pub(super) fn nudge(&self) {
        if self.waits.swap(false, SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Says that it is going to wait. What it waits for has to be looked at behind this.
    pub(super) fn will_wait(&self) {
        self.waits.store(true, SeqCst);
    }
}

/// The most errors that are kept in words.
const ERRORS: usize = 5;

impl Board {
    pub(super) fn new(run: u32, publishers: usize) -> Board {
        let unknown = || AtomicU64::new(u64::MAX);
        Board {
            run,
            began: Instant::now(),
            start: unknown(),
            measure_from: unknown(),
            end: unknown(),
            cutoff: unknown(),
            stopped: AtomicBool::new(false),
            stop: Notify::new(),
            publishers: (0..publishers).map(|_| Progress::default()).collect(),
            received: AtomicU64::new(0),
            distinct: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            last_measured: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            delivery: Mutex::new(histogram()),
            acknowledgement: Mutex::new(histogram()),
            lag: Mutex::new(histogram()),
            connect: Mutex::new(histogram()),
            errors: Mutex::new(Vec::new()),
            failed: AtomicU64::new(0),
        }
    }

    /// Nanoseconds since the run began.
    pub(super) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Nothing more is put together from now on.
    pub(super) fn cut(&self) {
        let now = self.now();
        self.end.store(now, Relaxed);
        self.cutoff.store(now, Relaxed);
        self.publishers.iter().for_each(|publisher| publisher.wake.notify_one());
    }

    /// Whether a publisher that would send a message that is due then has come to its end.
    pub(super) fn is_over(&self, due: u64, now: u64) -> bool {
        due >= self.end.load(Relaxed) || now >= self.cutoff.load(Relaxed)
    }

    /// Ends everything that still waits.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Relaxed);
        self.stop.notify_waiters();
        self.publishers.iter().for_each(|publisher| publisher.wake.notify_one());
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Relaxed)
    }

    /// Notes that a connection failed.
    pub(super) fn fail(&self, who: &str, error: &anyhow::Error) {
        self.failed.fetch_add(1, Relaxed);
        let mut errors = self.errors.lock().expect("no holder panics");
        if errors.len() < ERRORS {
            errors.push(format!("{who}: {error:#}"));
        }
    }

    /// How many connections failed, and why the first of them did.
    pub(super) fn failures(&self) -> (u64, Vec<String>) {
        (self.failed.load(Relaxed), self.errors.lock().expect("no holder panics").clone())
    }

    /// The sum over all publishers.
    pub(super) fn sum(&self, of: impl Fn(&Progress) -> &AtomicU64) -> u64 {
        self.publishers.iter().map(|publisher| of(publisher).load(Relaxed)).sum()
    }
}

/// Adds values to a histogram, under one lock.
pub(super) fn record(histogram: &Mutex<Histogram<u64>>, values: &mut Vec<u64>) {
    if values.is_empty() {
        return;
    }
    let mut histogram = histogram.lock().expect("no holder panics");
    values.drain(..).for_each(|value| histogram.saturating_record(value));
}
