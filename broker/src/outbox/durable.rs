//! The queue of a durable session as the broker sees it: the store holds all of it, memory only what is about to be
//! sent. Sequence numbers make the change between "live" and "behind" without gap or double.

use std::collections::{BTreeMap, HashMap, HashSet};

use opifex_packet::{PacketId, QoS};
use opifex_storage::{Op, QueuePage, QueuedState, Seq};

use super::{Outbox, Step};
use crate::inflight::{Entry, Inflight, Stage};
use crate::pending::Pending;

/// Entries that may arrive before their turn before the session counts as behind.
const EARLY_ENTRIES: usize = 256;
/// Messages that may wait in memory before the session counts as behind.
const LIVE_ENTRIES: usize = 1_024;
/// Bytes of them.
const LIVE_BYTES: usize = 4 << 20;
/// Below this many waiting messages the next page is read.
const READ_BELOW: usize = 64;

/// The durable side of an outbox.
#[derive(Default)]
pub(crate) struct DurableQueue {
    /// The number of the entry that is next to be taken into memory.
    next: Seq,
    /// Live entries that came before their turn.
    early: BTreeMap<Seq, Pending>,
    /// Entries from `next` on are read from the store.
    behind: bool,
    /// A page is being read.
    reading: bool,
    /// The highest number of those that were not taken while behind.
    passed_up_to: Seq,
    /// Ids under which QoS 1 entries were sent in an earlier connection of this process.
    sent_as: HashMap<Seq, PacketId>,
    /// QoS 1 entries below this number may have been sent by an earlier process.
    dup_below: Seq,
    /// Packet ids that an earlier process gave out are still to be set aside.
    unreserved: bool,
    ops: Vec<Op>,
    assigning: Vec<Pending>,
    /// Bytes of messages that leave when their packet ids are durable.
    assigned_bytes: usize,
    releasing: Vec<PacketId>,
    /// Counts what the owner has had written down: there may be room in the stored queue.
    written: u64,
}

/// What the owner is to write down, and what it may send once that is durable.
pub(crate) struct OwnerWork {
    pub(crate) ops: Vec<Op>,
    pub(crate) assigned: Vec<Pending>,
    pub(crate) released: Vec<PacketId>,
}

impl DurableQueue {
    /// A session that was just created: nothing is in its queue.
    pub(crate) fn fresh(next: Seq) -> DurableQueue {
        DurableQueue { next, ..DurableQueue::default() }
    }

    /// A session found in the store by a new process: entries below `next` may have been sent.
    pub(crate) fn recovered(next: Seq) -> DurableQueue {
        DurableQueue {
            next: Seq::ZERO.next(),
            behind: true,
            dup_below: next,
            unreserved: true,
            ..DurableQueue::default()
        }
    }

    pub(crate) fn push_op(&mut self, op: Op) {
        self.ops.push(op);
    }

    pub(crate) fn assign(&mut self, pending: Pending) {
        if let Some(packet_id) = pending.packet_id {
            self.ops.push(Op::Assign { seq: pending.seq, packet_id });
            self.assigned_bytes += pending.size_bytes();
            self.assigning.push(pending);
        }
    }

    /// An assigned message has left.
    pub(crate) fn assigned_left(&mut self, pending: &Pending) {
        self.assigned_bytes = self.assigned_bytes.saturating_sub(pending.size_bytes());
    }

    /// Bytes of messages that leave when their packet ids are durable.
    pub(crate) fn assigned_bytes(&self) -> usize {
        self.assigned_bytes
    }

    pub(crate) fn release(&mut self, seq: Seq, id: PacketId) {
        self.ops.push(Op::Release(seq));
        self.releasing.push(id);
    }

    pub(crate) fn has_owner_work(&self, waiting: usize) -> bool {
        !self.ops.is_empty() || (self.behind && !self.reading && waiting < READ_BELOW)
    }

    /// The connection is gone: what was not sent is in the store; what was keeps its id.
    pub(crate) fn detach(&mut self, inflight: &mut Inflight) {
        // Ids that were not submitted are forgotten; those that were are the store's and stay in the table.
        let unsent: HashSet<Seq> = self.assigning.iter().map(|pending| pending.seq).collect();
        for pending in self.assigning.drain(..) {
            if let Some(id) = pending.packet_id {
                inflight.remove(id);
            }
        }
        self.ops.retain(|op| !matches!(op, Op::Assign { seq, .. } if unsent.contains(seq)));
        self.sent_as = inflight
            .iter()
            .filter(|(_, entry)| entry.stage == Stage::Puback)
            .map(|(id, entry)| (entry.seq, id))
            .collect();
        self.early = BTreeMap::new();
        self.releasing = Vec::new();
        self.assigned_bytes = 0;
        self.next = Seq::ZERO.next();
        self.behind = true;
        self.reading = false;
    }
}

impl Outbox {
    /// A queue entry was ordered: takes it if it is this session's next and the session is connected and not behind.
    pub(crate) fn offer(&mut self, seq: Seq, pending: impl FnOnce() -> Pending, step: &mut Step<'_>) {
        let full = self.queue.len() >= LIVE_ENTRIES || self.queue_bytes >= LIVE_BYTES;
        let connected = self.link.is_some();
        let Some(durable) = &mut self.durable else { return };
        if seq < durable.next {
            return;
        }
        if !connected {
            durable.passed_up_to = durable.passed_up_to.max(seq);
            return;
        }
        if durable.behind && !durable.reading {
            durable.passed_up_to = durable.passed_up_to.max(seq);
            return;
        }
        if durable.behind || seq > durable.next {
            if durable.early.len() >= EARLY_ENTRIES {
                durable.behind = true;
                durable.passed_up_to = durable.passed_up_to.max(seq);
            } else {
                durable.early.insert(seq, pending());
            }
            return;
        }
        if full {
            durable.behind = true;
            durable.passed_up_to = durable.passed_up_to.max(seq);
            return;
        }
        durable.next = seq.next();
        self.push(pending());
        self.take_early();
        self.pump(step);
    }

    fn take_early(&mut self) {
        while let Some(durable) = &mut self.durable
            && let Some(pending) = durable.early.remove(&durable.next)
        {
            durable.next = durable.next.next();
            self.push(pending);
        }
    }

    /// Forgets what is in memory of a session that is not connected: the store may have lost some of it.
    pub(crate) fn reload(&mut self, queue: DurableQueue) {
        debug_assert!(self.link.is_none(), "its connection has ended");
        self.durable = Some(Box::new(queue));
        self.inflight = Inflight::default();
        self.queue = Default::default();
        self.queue_bytes = 0;
    }

    /// Whether packet ids that an earlier process gave out are still to be set aside.
    pub(crate) fn needs_reservation(&self) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.unreserved)
    }

    /// They are.
    pub(crate) fn reserved(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.unreserved = false;
        }
    }

    /// Sets aside the ids of entries that an earlier process sent; answers whether the page's last entry has one.
    pub(crate) fn reserve_ids(&mut self, page: &QueuePage) -> bool {
        let mut last = false;
        for queued in &page.items {
            let (id, stage) = match queued.state {
                QueuedState::Waiting => {
                    last = false;
                    continue;
                }
                QueuedState::Assigned(id) => (id, Stage::for_qos(queued.qos)),
                QueuedState::Released(id) => (id, Stage::Pubcomp),
            };
            last = true;
            self.inflight.restore(id, Entry { seq: queued.seq, stage, shared: None });
        }
        last
    }

    /// The number after which to read the next page, if one is to be read now.
    pub(crate) fn start_page(&mut self) -> Option<Seq> {
        let waiting = self.queue.len();
        self.link.as_ref()?;
        let durable = self.durable.as_mut()?;
        if !durable.behind || durable.reading || waiting >= READ_BELOW {
            return None;
        }
        durable.reading = true;
        Some(Seq(durable.next.0.saturating_sub(1)))
    }

    /// Takes a page of the queue that was asked for by `start_page`.
    pub(crate) fn take_page(&mut self, page: QueuePage, step: &mut Step<'_>) {
        let Some(durable) = &mut self.durable else { return };
        durable.reading = false;
        let mut next = durable.next;
        let mut pendings = Vec::with_capacity(page.items.len());
        for queued in page.items {
            if queued.seq < durable.next {
                continue;
            }
            next = next.max(queued.seq.next());
            let sent_as = durable.sent_as.remove(&queued.seq);
            // At QoS 2 what was sent has a packet id.
            let dup = queued.qos == QoS::AtLeastOnce && queued.seq < durable.dup_below;
            pendings.push(Pending::from_queued(queued, sent_as, dup));
        }
        durable.next = next.max(page.final_up_to.next());
        // What was in flight and is not in the store any more has expired there: its id is free.
        let taken = durable.next;
        durable.sent_as.retain(|seq, id| {
            let gone = *seq < taken;
            if gone {
                self.inflight.remove(*id);
            }
            !gone
        });
        durable.early = durable.early.split_off(&durable.next);
        durable.behind = page.more || durable.passed_up_to >= durable.next;
        let caught_up = !durable.behind;
        if !caught_up {
            // What came early is read again with its page.
            if let Some((&last, _)) = durable.early.last_key_value() {
                durable.passed_up_to = durable.passed_up_to.max(last);
            }
            durable.early.clear();
        }
        for pending in pendings {
            self.push(pending);
        }
        if caught_up {
            self.take_early();
        }
        self.pump(step);
    }

    /// How often something of the owner's was written down.
    pub(crate) fn written(&self) -> u64 {
        self.durable.as_ref().map_or(0, |durable| durable.written)
    }

    /// Something is.
    pub(crate) fn note_written(&mut self) {
        if let Some(durable) = &mut self.durable {
            durable.written += 1;
        }
    }

    /// Takes what is to be written down.
    pub(crate) fn take_owner_work(&mut self) -> Option<OwnerWork> {
        let durable = self.durable.as_mut()?;
        if durable.ops.is_empty() {
            return None;
        }
        Some(OwnerWork {
            ops: std::mem::take(&mut durable.ops),
            assigned: std::mem::take(&mut durable.assigning),
            released: std::mem::take(&mut durable.releasing),
        })
    }

    /// Entries that gave way in the store are not sent from memory either.
    pub(crate) fn displaced(&mut self, seqs: &[Seq]) {
        let before = self.queue.len();
        let mut bytes = 0;
        self.queue.retain(|pending| {
            let gone = pending.packet_id.is_none() && seqs.binary_search(&pending.seq).is_ok();
            bytes += if gone { pending.size_bytes() } else { 0 };
            !gone
        });
        if self.queue.len() != before {
            self.queue_bytes -= bytes;
        }
    }
}
