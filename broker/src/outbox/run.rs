//! Appending a run of encoded messages: the hot path of the whole broker.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::QoS;
use opifex_storage::Seq;

use super::{Outbox, Step};
use crate::inflight::{Entry, Stage};
use crate::pending::Pending;
use crate::stats::DropCause;

/// Messages of one kind, encoded one behind the other.
#[derive(Default)]
pub(crate) struct EncodedRun {
    bytes: Vec<u8>,
    items: Vec<Item>,
    /// The same bytes behind a reference count, when several subscribers share them.
    shared: Option<Bytes>,
    longest: usize,
}

/// One message in a run. Offsets into the run's bytes, but for `id_at`, which counts from the packet's first byte.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Item {
    pub(crate) start: u32,
    pub(crate) id_at: u32,
    /// Where a payload begins that is worth sharing; `end` when it is not.
    pub(crate) payload_at: u32,
    pub(crate) end: u32,
}

impl Item {
    fn len(&self) -> usize {
        (self.end - self.start) as usize
    }
}

impl EncodedRun {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
        self.shared = None;
        self.longest = 0;
        // A run of large messages must not leave a large buffer with each thread.
        if self.bytes.capacity() > 256 * 1024 {
            self.bytes = Vec::new();
        }
    }

    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn push_item(&mut self, item: Item) {
        self.longest = self.longest.max(item.len());
        self.items.push(item);
    }

    /// Messages.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes of all of them.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes().len()
    }

    fn bytes(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.bytes)
    }

    /// Puts the bytes behind a reference count, if that pays.
    pub(crate) fn share(&mut self, pays: bool) {
        let has_large = self.items.iter().any(|item| item.payload_at < item.end);
        if (pays || has_large) && self.shared.is_none() {
            self.shared = Some(Bytes::from(std::mem::take(&mut self.bytes)));
        }
    }

    /// One message's packet.
    pub(crate) fn item_bytes(&self, index: usize) -> &[u8] {
        let item = self.items[index];
        &self.bytes()[item.start as usize..item.end as usize]
    }
}

/// Makes the stored form of a message of a run.
type MakePending<'a> = dyn FnMut(&EncodedRun, usize) -> Pending + 'a;

impl Outbox {
    /// Appends a run of which nothing is stored for this session. `pending` makes a message that has to wait.
    pub(crate) fn append_run(
        &mut self,
        run: &EncodedRun,
        v5: bool,
        qos: QoS,
        pending: &mut MakePending<'_>,
        step: &mut Step<'_>,
    ) {
        let Some(link) = &self.link else { return };
        let plain = link.version.is_v5() == v5
            && link.aliases.is_none()
            && run.longest <= link.max_packet_size as usize;
        match (plain, qos) {
            (false, _) => self.append_singly(run, qos, pending, step),
            (true, QoS::AtMostOnce) => self.append_at_most_once(run, step),
            (true, _) => self.append_acknowledged(run, qos, pending, step),
        }
    }

    fn append_at_most_once(&mut self, run: &EncodedRun, step: &mut Step<'_>) {
        let Some(link) = &mut self.link else { return };
        let room = step.limits.max_outbox_bytes.saturating_sub(link.outlet.queued_bytes());
        // A message larger than the limit goes into an empty outbox: it was let in, so it must be let out.
        if run.len_bytes() <= room || link.outlet.is_empty() && run.len() == 1 {
            match &run.shared {
                Some(shared) => link.outlet.append_shared(shared),
                None => link.outlet.append(&run.bytes),
            }
            step.tally.delivered += run.len() as u64;
            return;
        }
        for (index, item) in run.items.iter().enumerate() {
            if link.outlet.queued_bytes() + item.len() > step.limits.max_outbox_bytes {
                step.tally.drop_many(DropCause::OutboxFull, (run.len() - index) as u64);
                return;
            }
            link.outlet.append(run.item_bytes(index));
            step.tally.delivered += 1;
        }
    }

    fn append_acknowledged(
        &mut self,
        run: &EncodedRun,
        qos: QoS,
        pending: &mut MakePending<'_>,
        step: &mut Step<'_>,
    ) {
        let stage = Stage::for_qos(qos);
        for (index, item) in run.items.iter().enumerate() {
            let direct = self.queue.is_empty() && self.has_room(step.limits);
            let id = direct
                .then(|| self.inflight.allocate(Entry { seq: Seq::ZERO, stage, shared: None }))
                .flatten();
            let (Some(id), Some(link)) = (id, &mut self.link) else {
                self.enqueue(pending(run, index), step);
                continue;
            };
            link.outstanding += 1;
            let head = &run.bytes()[item.start as usize..item.payload_at as usize];
            let id_at = item.id_at as usize;
            link.outlet.append_with(|buffer| {
                let start = buffer.len();
                buffer.extend_from_slice(head);
                buffer[start + id_at..start + id_at + 2].copy_from_slice(&id.get().to_be_bytes());
            });
            if item.payload_at < item.end
                && let Some(shared) = &run.shared
            {
                link.outlet.append_shared(&shared.slice(item.payload_at as usize..item.end as usize));
            }
            step.tally.delivered += 1;
        }
    }

    /// For a connection that needs its own encoding: topic aliases, a small maximum packet size, another version than
    /// when the run was begun.
    fn append_singly(
        &mut self,
        run: &EncodedRun,
        qos: QoS,
        pending: &mut MakePending<'_>,
        step: &mut Step<'_>,
    ) {
        for index in 0..run.len() {
            let pending = pending(run, index);
            if qos == QoS::AtMostOnce {
                let message: Option<Arc<_>> = pending.message.clone();
                if let Some(message) = message {
                    self.send_at_most_once(&message, &pending, step);
                }
            } else {
                self.enqueue(pending, step);
            }
        }
        self.pump(step);
    }

    /// Marks the outbox as waiting for its flush; answers whether it was not yet.
    pub(crate) fn touch(&mut self) -> bool {
        self.link.as_mut().is_some_and(|link| !std::mem::replace(&mut link.touched, true))
    }
}
