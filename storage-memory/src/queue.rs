//! The queue of one session: entries in order of their numbers, sixteen bytes each beside the shared message.
//!
//! Numbers are dense when given; settling leaves holes, so an entry knows its own number, as a distance from the
//! queue's base. What few entries have (subscription identifiers, a share) lies in a side table.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use opifex_packet::{PacketId, Properties, QoS, TopicName};
use opifex_storage::{
    DropReason, FullPolicy, Message, PageLimit, QueueLimits, QueuePage, Queued, QueuedState, Seq, SessionId,
    Target, TargetOutcome, Timestamp,
};

use crate::due::{DueIndex, DueKey};
use crate::scan::{MAX_EXAMINED, is_full};

/// A session's queue.
#[derive(Default)]
pub(crate) struct Queue {
    entries: VecDeque<Entry>,
    /// The number that an entry's distance 0 means.
    base: u64,
    /// The last number given.
    last: u64,
    /// Bytes of the messages still kept.
    bytes: u64,
    /// Entries without a packet id, and the bytes of their messages: what `DropOldest` may take.
    waiting_items: u64,
    waiting_bytes: u64,
    /// No entry below this number is waiting.
    waiting_from: u64,
    details: Option<Box<HashMap<u64, Detail>>>,
}

struct Entry {
    /// `None` once released.
    message: Option<Arc<Message>>,
    distance_low: u32,
    packet_id: Option<PacketId>,
    distance_high: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Entry>() == 16);

/// Distances have 40 bits. A queue whose oldest entry stays for longer than that many messages takes no more.
const MAX_DISTANCE: u64 = (1 << 40) - 1;

const QOS_2: u8 = 1;
const RETAIN: u8 = 2;
const DETAIL: u8 = 4;

#[derive(Clone, Default)]
struct Detail {
    subscription_ids: Box<[u32]>,
    share: Option<Arc<str>>,
}

impl Entry {
    fn distance(&self) -> u64 {
        u64::from(self.distance_high) << 32 | u64::from(self.distance_low)
    }

    fn set_distance(&mut self, distance: u64) {
        self.distance_low = distance as u32;
        self.distance_high = (distance >> 32) as u8;
    }

    fn is_waiting(&self) -> bool {
        self.packet_id.is_none()
    }

    fn size(&self) -> u64 {
        self.message.as_ref().map_or(0, |message| message.size_bytes() as u64)
    }

    fn state(&self) -> QueuedState {
        match (self.packet_id, &self.message) {
            (None, _) => QueuedState::Waiting,
            (Some(id), Some(_)) => QueuedState::Assigned(id),
            (Some(id), None) => QueuedState::Released(id),
        }
    }
}

impl Queue {
    pub(crate) fn next_seq(&self) -> Seq {
        Seq(self.last + 1)
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Queues a message for the session `id`, within the target's limits.
    pub(crate) fn push(
        &mut self,
        id: SessionId,
        message: &Arc<Message>,
        target: Target,
        due: &mut DueIndex,
    ) -> TargetOutcome {
        let size = message.size_bytes() as u64;
        let Some(distance) = self.next_distance() else {
            return TargetOutcome::Dropped(DropReason::QueueItems);
        };
        let displaced = match self.make_room(id, size, &target.limits, due) {
            Ok(displaced) => displaced,
            Err(reason) => return TargetOutcome::Dropped(reason),
        };
        self.last += 1;
        let seq = Seq(self.last);
        let mut flags =
            if target.qos == QoS::ExactlyOnce { QOS_2 } else { 0 } | if target.retain { RETAIN } else { 0 };
        if !target.subscription_ids.is_empty() || target.share.is_some() {
            flags |= DETAIL;
            let detail = Detail { subscription_ids: target.subscription_ids.into(), share: target.share };
            self.details.get_or_insert_default().insert(seq.0, detail);
        }
        let mut entry = Entry {
            message: Some(Arc::clone(message)),
            distance_low: 0,
            packet_id: None,
            distance_high: 0,
            flags,
        };
        entry.set_distance(distance);
        self.entries.push_back(entry);
        self.bytes += size;
        self.waiting_items += 1;
        self.waiting_bytes += size;
        if let Some(at) = message.expires_at {
            due.insert(at, DueKey::Queued(id, seq));
        }
        TargetOutcome::Queued { seq, displaced }
    }

    /// Numbers up to this one were given.
    pub(crate) fn give_up_to(&mut self, seq: Seq) {
        self.last = self.last.max(seq.0);
    }

    /// Puts an entry of another store behind all that are here. Answers whether its number is free for that.
    pub(crate) fn restore(&mut self, id: SessionId, entry: Queued, due: &mut DueIndex) -> bool {
        let last = std::mem::replace(&mut self.last, entry.seq.0.saturating_sub(1));
        let behind = self.entries.back().is_none_or(|back| self.base + back.distance() < entry.seq.0);
        let limits = QueueLimits { items: u64::MAX, bytes: u64::MAX, policy: FullPolicy::DropNewest };
        let target = Target {
            session: id,
            qos: entry.qos,
            retain: entry.retain,
            subscription_ids: entry.subscription_ids,
            share: entry.share,
            limits,
        };
        // What was released has no message; it is let go again below.
        let message = entry.message.unwrap_or_else(|| Arc::new(nothing()));
        let queued = behind && matches!(self.push(id, &message, target, due), TargetOutcome::Queued { .. });
        if queued {
            match entry.state {
                QueuedState::Waiting => {}
                QueuedState::Assigned(packet_id) => {
                    self.assign(entry.seq, packet_id, id, due);
                }
                QueuedState::Released(packet_id) => {
                    self.assign(entry.seq, packet_id, id, due);
                    self.release(entry.seq);
                }
            }
        }
        self.last = self.last.max(last);
        queued
    }

    /// The distance of the next number from the base; an empty queue moves its base.
    fn next_distance(&mut self) -> Option<u64> {
        let next = self.last + 1;
        match self.entries.front() {
            None => self.base = next,
            Some(front) if next - self.base > MAX_DISTANCE && front.distance() > 0 => {
                let shift = front.distance();
                for entry in &mut self.entries {
                    entry.set_distance(entry.distance() - shift);
                }
                self.base += shift;
            }
            Some(_) => {}
        }
        Some(next - self.base).filter(|distance| *distance <= MAX_DISTANCE)
    }

    /// Sees to it that an entry of `size` bytes fits: all that has to give way does, or nothing.
    fn make_room(
        &mut self,
        id: SessionId,
        size: u64,
        limits: &QueueLimits,
        due: &mut DueIndex,
    ) -> Result<Vec<Seq>, DropReason> {
        let mut items_over = (self.len() + 1).saturating_sub(limits.items);
        let mut bytes_over = self.bytes.saturating_add(size).saturating_sub(limits.bytes);
        if items_over == 0 && bytes_over == 0 {
            return Ok(Vec::new());
        }
        let drops_oldest = limits.policy == FullPolicy::DropOldest;
        if items_over > 0 && !(drops_oldest && items_over <= self.waiting_items) {
            return Err(DropReason::QueueItems);
        }
        if bytes_over > 0 && !(drops_oldest && bytes_over <= self.waiting_bytes) {
            return Err(DropReason::QueueBytes);
        }
        let mut displaced = Vec::new();
        while items_over > 0 || bytes_over > 0 {
            let index = self.first_waiting().expect("what waits was counted to be enough");
            let (seq, entry) = self.remove_at(index, id, due);
            items_over = items_over.saturating_sub(1);
            bytes_over = bytes_over.saturating_sub(entry.size());
            displaced.push(seq);
        }
        Ok(displaced)
    }

    /// The index of the oldest entry without a packet id. None ever comes to wait again, so the search goes on from
    /// where the last one ended.
    fn first_waiting(&mut self) -> Option<usize> {
        let from = self.first_at_or_after(self.waiting_from);
        let index = (from..self.entries.len()).find(|index| self.entries[*index].is_waiting());
        self.waiting_from = index.map_or(self.last + 1, |index| self.seq_at(index).0);
        index
    }

    /// Removes an entry. Answers whether it was there.
    pub(crate) fn settle(&mut self, seq: Seq, id: SessionId, due: &mut DueIndex) -> bool {
        let Some(index) = self.index_of(seq) else { return false };
        self.remove_at(index, id, due);
        true
    }

    /// Removes the oldest entry. Answers whether there was one.
    pub(crate) fn pop_first(&mut self, id: SessionId, due: &mut DueIndex) -> bool {
        if self.entries.is_empty() {
            return false;
        }
        self.remove_at(0, id, due);
        true
    }

    /// Records the packet id of an entry, which then expires no more. Answers whether it was there.
    pub(crate) fn assign(
        &mut self,
        seq: Seq,
        packet_id: PacketId,
        id: SessionId,
        due: &mut DueIndex,
    ) -> bool {
        let Some(index) = self.index_of(seq) else { return false };
        let entry = &mut self.entries[index];
        if entry.packet_id.replace(packet_id).is_none() {
            let size = entry.size();
            if let Some(at) = entry.message.as_ref().and_then(|message| message.expires_at) {
                due.remove(at, DueKey::Queued(id, seq));
            }
            self.waiting_items -= 1;
            self.waiting_bytes -= size;
        }
        true
    }

    /// Lets the message of an entry go that has a packet id. Answers whether there was one.
    pub(crate) fn release(&mut self, seq: Seq) -> bool {
        let Some(index) = self.index_of(seq) else { return false };
        let entry = &mut self.entries[index];
        if entry.is_waiting() {
            return false;
        }
        self.bytes -= entry.size();
        entry.message = None;
        true
    }

    /// The message of an entry.
    pub(crate) fn message(&self, seq: Seq) -> Option<Arc<Message>> {
        self.entries[self.index_of(seq)?].message.clone()
    }

    /// When an entry expires that has no packet id.
    pub(crate) fn waiting_deadline(&self, seq: Seq) -> Option<Timestamp> {
        let entry = &self.entries[self.index_of(seq)?];
        entry.message.as_ref().filter(|_| entry.is_waiting())?.expires_at
    }

    pub(crate) fn page(&self, after: Seq, limit: PageLimit) -> QueuePage {
        let start = self.first_at_or_after(after.0.saturating_add(1));
        let (mut items, mut bytes) = (Vec::new(), 0);
        for index in start..self.entries.len() {
            if is_full(items.len(), bytes, &limit) || items.len() >= MAX_EXAMINED {
                break;
            }
            bytes += self.entries[index].size() as usize;
            items.push(self.queued(index));
        }
        let more = start + items.len() < self.entries.len();
        let final_up_to = match items.last() {
            Some(item) if more => item.seq,
            _ => Seq(self.last).max(after),
        };
        QueuePage { items, final_up_to, more, damaged: Vec::new() }
    }

    /// Entries with numbers after `after`, for walks of everything.
    pub(crate) fn after(&self, after: Seq) -> impl Iterator<Item = Queued> + '_ {
        (self.first_at_or_after(after.0.saturating_add(1))..self.entries.len())
            .map(|index| self.queued(index))
    }

    fn queued(&self, index: usize) -> Queued {
        let (seq, entry) = (self.seq_at(index), &self.entries[index]);
        let detail = match &self.details {
            Some(details) if entry.flags & DETAIL != 0 => details[&seq.0].clone(),
            _ => Detail::default(),
        };
        Queued {
            seq,
            message: entry.message.clone(),
            qos: if entry.flags & QOS_2 != 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce },
            retain: entry.flags & RETAIN != 0,
            subscription_ids: detail.subscription_ids.into_vec(),
            share: detail.share,
            state: entry.state(),
        }
    }

    fn remove_at(&mut self, index: usize, id: SessionId, due: &mut DueIndex) -> (Seq, Entry) {
        let seq = self.seq_at(index);
        let entry = self.entries.remove(index).expect("the caller found the index");
        let size = entry.size();
        self.bytes -= size;
        if entry.is_waiting() {
            self.waiting_items -= 1;
            self.waiting_bytes -= size;
            if let Some(at) = entry.message.as_ref().and_then(|message| message.expires_at) {
                due.remove(at, DueKey::Queued(id, seq));
            }
        }
        if let Some(details) = self.details.as_mut().filter(|_| entry.flags & DETAIL != 0) {
            details.remove(&seq.0);
            if details.is_empty() {
                self.details = None;
            }
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 4 {
            self.entries.shrink_to(self.entries.len() * 2);
        }
        (seq, entry)
    }

    fn seq_at(&self, index: usize) -> Seq {
        Seq(self.base + self.entries[index].distance())
    }

    fn index_of(&self, seq: Seq) -> Option<usize> {
        let index = self.first_at_or_after(seq.0);
        (index < self.entries.len() && self.seq_at(index) == seq).then_some(index)
    }

    /// The index of the first entry with this number or a later one. Mostly there are no holes and it is found at once.
    fn first_at_or_after(&self, seq: u64) -> usize {
        let Some(front) = self.entries.front() else { return 0 };
        let Some(guess) = seq.checked_sub(self.base + front.distance()) else { return 0 };
        if self.entries.get(guess as usize).is_some_and(|entry| self.base + entry.distance() == seq) {
            return guess as usize;
        }
        self.entries.partition_point(|entry| self.base + entry.distance() < seq)
    }
}

/// A message of no bytes.
fn nothing() -> Message {
    Message {
        topic: TopicName::new("-").expect("a topic of one letter"),
        qos: QoS::ExactlyOnce,
        properties: Properties::default(),
        payload: Default::default(),
        expires_at: None,
    }
}
