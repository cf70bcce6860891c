//! What one read batch works with: buffers that belong to the thread and are reused, the matching table locked once,
//! one look at the clock.

use std::cell::Cell;
use std::sync::Arc;

use opifex_packet::{Packet, QoS, TopicName, Version};
use opifex_storage::{Persistence, Timestamp};
use parking_lot::RwLockReadGuard;

use super::acks::AckIn;
use crate::fanout::Fanout;
use crate::outbox::Step;
use crate::router::{LookedUp, Table};
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::Tally;

/// Reused buffers.
#[derive(Default)]
pub(super) struct Workbench {
    pub(super) fanout: Fanout,
    pub(super) run: Run,
    touched: Vec<Arc<Session>>,
    acks_in: Vec<AckIn>,
    own: Vec<u8>,
    tally: Tally,
}

/// The run of equal messages that is being collected.
#[derive(Default)]
pub(super) struct Run {
    pub(super) active: bool,
    pub(super) topic: String,
    pub(super) qos: Option<QoS>,
    pub(super) retain: bool,
    /// What became of the first one holds for all.
    pub(super) verdict: Verdict,
    /// Of those that take the store's road.
    pub(super) looked_up: LookedUp,
}

/// How the messages of a run go on.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing to store: into the fan-out.
    #[default]
    Direct,
    /// The store's road.
    Stored,
    /// Access control says no.
    Denied,
}

thread_local! {
    static WORKBENCH: Cell<Option<Box<Workbench>>> = const { Cell::new(None) };
}

/// One read batch.
pub(super) struct Batch<'s, P> {
    pub(super) shared: &'s Shared<P>,
    pub(super) now: Timestamp,
    table: Option<RwLockReadGuard<'s, Table>>,
    pub(super) bench: Box<Workbench>,
}

impl<'s, P: Persistence> Batch<'s, P> {
    pub(super) fn new(shared: &'s Shared<P>) -> Batch<'s, P> {
        let bench = WORKBENCH.take().unwrap_or_default();
        Batch { shared, now: shared.now(), table: None, bench }
    }

    /// The clock in the unit of keep-alive.
    pub(super) fn tick_secs(&self) -> u32 {
        self.shared.clock.tick_secs_at(self.now)
    }

    pub(super) fn tally(&mut self) -> &mut Tally {
        &mut self.bench.tally
    }

    pub(super) fn step(&mut self) -> Step<'_> {
        Step { limits: &self.shared.limits, now: self.now, tally: &mut self.bench.tally }
    }

    /// The table for matching, locked at its first use in the batch, together with the workbench.
    pub(super) fn table(&mut self) -> (&Table, &mut Workbench) {
        (self.table.get_or_insert_with(|| self.shared.router.read()), &mut self.bench)
    }

    /// Lets go of the table: somebody is about to change it, or to wait.
    pub(super) fn release_table(&mut self) {
        self.table = None;
    }

    pub(super) fn ack_in(&mut self, ack: AckIn) {
        self.bench.acks_in.push(ack);
    }

    pub(super) fn acks_in(&self) -> impl Iterator<Item = AckIn> {
        self.bench.acks_in.iter().copied()
    }

    /// Appends a packet for this connection's own client.
    pub(super) fn answer(&mut self, packet: &Packet<'_>, version: Version) {
        packet.encode(version, &mut self.bench.own);
    }

    /// What the messages of the run have matched, and what is counted.
    pub(super) fn looked_up(&mut self) -> (&mut LookedUp, &mut Tally) {
        (&mut self.bench.run.looked_up, &mut self.bench.tally)
    }

    /// The buffer of packets for this connection's own client.
    pub(super) fn own(&mut self) -> &mut Vec<u8> {
        &mut self.bench.own
    }

    pub(super) fn own_bytes(&self) -> &[u8] {
        &self.bench.own
    }

    pub(super) fn has_own_work(&self) -> bool {
        !self.bench.own.is_empty() || !self.bench.acks_in.is_empty()
    }

    /// Adds a message to the run.
    pub(super) fn push(&mut self, topic: &TopicName<'_>, publish: &opifex_packet::Publish<'_>) {
        let now = self.now;
        let bench = &mut self.bench;
        bench.fanout.push(topic, publish, now);
        if bench.fanout.is_full() {
            self.deliver();
        }
    }

    /// Delivers the run that was collected, and ends it.
    pub(super) fn deliver_run(&mut self) {
        self.deliver();
        self.bench.run.active = false;
        self.bench.run.looked_up.clear();
    }

    fn deliver(&mut self) {
        let Workbench { fanout, touched, tally, .. } = &mut *self.bench;
        let mut step = Step { limits: &self.shared.limits, now: self.now, tally };
        fanout.deliver(touched, &mut step);
    }

    /// Flushes what the batch filled, counts, and gives the workbench back to the thread.
    pub(super) fn finish(mut self) {
        self.table = None;
        self.shared.flush(&mut self.bench.touched);
        self.shared.counters.add(&std::mem::take(&mut self.bench.tally));
        self.bench.own.clear();
        self.bench.acks_in.clear();
        self.bench.fanout.matches.clear();
        self.bench.run.looked_up.clear();
        WORKBENCH.set(Some(self.bench));
    }
}
