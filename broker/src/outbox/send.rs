//! Sending one message: packet id, expiry, size, topic alias, encoding.

use opifex_packet::{Delivery, PacketId, Property, Publish, Pubrel, QoS, TopicName, Version};
use opifex_storage::{FullPolicy, Message, Op, Seq, Timestamp};

use super::link::OutgoingAlias;
use super::{Link, Outbox, Step};
use crate::inflight::{Entry, Stage};
use crate::pending::Pending;
use crate::stats::DropCause;

/// Payloads from this size on are referred to, not copied.
pub(crate) const SHARE_PAYLOAD_FROM_BYTES: usize = 512;

impl Outbox {
    /// Sends a message that waited, or drops it for a reason that is counted. `Err` gives it back: no packet id is
    /// free.
    pub(super) fn send(&mut self, pending: Pending, step: &mut Step<'_>) -> Result<(), Pending> {
        let Some(link) = &mut self.link else { return Ok(()) };
        let Some(message) = &pending.message else {
            self.send_pubrel(pending);
            return Ok(());
        };
        // An entry with a packet id never expires: the client may hold half of its handshake.
        if pending.packet_id.is_none() && message.is_expired(step.now) {
            // What the store queued becomes due there: it is removed, and counted, once.
            if pending.seq == Seq::ZERO {
                step.tally.drop(DropCause::Expired);
            }
            return Ok(());
        }
        if publish_len(link, message, &pending, step.now) > link.max_packet_size as usize {
            self.drop_pending(&pending, DropCause::PacketTooLarge, step);
            return Ok(());
        }
        let entry = Entry {
            seq: pending.seq,
            stage: Stage::for_qos(pending.qos),
            shared: if self.durable.is_none() { pending.orphan() } else { None },
        };
        let packet_id = match pending.packet_id {
            Some(id) => {
                self.inflight.restore(id, entry);
                id
            }
            None => match self.inflight.allocate(entry) {
                Some(id) => id,
                None => return Err(pending),
            },
        };
        link.outstanding += 1;
        // A QoS 2 message leaves only after its packet id is durable.
        if let (None, QoS::ExactlyOnce, Some(durable)) = (pending.packet_id, pending.qos, &mut self.durable) {
            durable.assign(Pending { packet_id: Some(packet_id), ..pending });
            return Ok(());
        }
        // The store is told that a QoS 1 message is on its way where it could take it as waiting: to expire, or to give
        // way to newer ones.
        let may_go = message.expires_at.is_some() || step.limits.queue_full == FullPolicy::DropOldest;
        if let (None, true, Some(durable)) = (pending.packet_id, may_go, &mut self.durable) {
            durable.push_op(Op::Assign { seq: pending.seq, packet_id });
        }
        append_publish(link, message, &pending, packet_id, step.now);
        step.tally.delivered += 1;
        Ok(())
    }

    /// The packet ids of these messages are durable: they leave.
    pub(crate) fn send_assigned(&mut self, assigned: Vec<Pending>, step: &mut Step<'_>) {
        let Some(link) = &mut self.link else { return };
        for pending in assigned {
            let (Some(message), Some(packet_id)) = (&pending.message, pending.packet_id) else { continue };
            append_publish(link, message, &pending, packet_id, step.now);
            step.tally.delivered += 1;
            if let Some(durable) = &mut self.durable {
                durable.assigned_left(&pending);
            }
        }
    }

    /// The releases of these ids are durable: PUBREL leaves.
    pub(crate) fn send_released(&mut self, released: Vec<PacketId>) {
        let Some(link) = &mut self.link else { return };
        for packet_id in released {
            if let Some(entry) = self.inflight.get_mut(packet_id) {
                entry.stage = Stage::Pubcomp;
            }
            link.append(&Pubrel::new(packet_id).into());
        }
    }

    /// A message of QoS 0 that comes singly, from a stored form.
    pub(crate) fn send_at_most_once(&mut self, message: &Message, pending: &Pending, step: &mut Step<'_>) {
        let Some(link) = &mut self.link else { return };
        let len = publish_len(link, message, pending, step.now);
        let cause = if message.is_expired(step.now) {
            Some(DropCause::Expired)
        } else if len > link.max_packet_size as usize {
            Some(DropCause::PacketTooLarge)
        } else if link.outlet.queued_bytes() + len > step.limits.max_outbox_bytes && !link.outlet.is_empty() {
            Some(DropCause::OutboxFull)
        } else {
            None
        };
        if let Some(cause) = cause {
            step.tally.drop(cause);
            return;
        }
        append(link, message, pending, Delivery::AtMostOnce, step.now);
        step.tally.delivered += 1;
    }

    fn send_pubrel(&mut self, pending: Pending) {
        let (Some(link), Some(packet_id)) = (&mut self.link, pending.packet_id) else { return };
        self.inflight.restore(packet_id, Entry { seq: pending.seq, stage: Stage::Pubcomp, shared: None });
        link.outstanding += 1;
        link.append(&Pubrel::new(packet_id).into());
    }

    fn drop_pending(&mut self, pending: &Pending, cause: DropCause, step: &mut Step<'_>) {
        step.tally.drop(cause);
        if pending.seq != Seq::ZERO
            && let Some(durable) = &mut self.durable
        {
            durable.push_op(Op::Settle(pending.seq));
        }
    }
}

fn append_publish(link: &mut Link, message: &Message, pending: &Pending, id: PacketId, now: Timestamp) {
    let delivery = match pending.qos {
        QoS::ExactlyOnce => Delivery::ExactlyOnce(id),
        _ => Delivery::AtLeastOnce(id),
    };
    append(link, message, pending, delivery, now);
}

fn append(link: &mut Link, message: &Message, pending: &Pending, delivery: Delivery, now: Timestamp) {
    let mut publish = publish(link.version, message, pending, delivery, now);
    if let Some(aliases) = &mut link.aliases {
        match aliases.lookup(message.topic.as_str()) {
            OutgoingAlias::Known(alias) => {
                publish.topic = None;
                publish.properties.push(Property::TopicAlias(alias));
            }
            OutgoingAlias::New(alias) => publish.properties.push(Property::TopicAlias(alias)),
            OutgoingAlias::None => {}
        }
    }
    let version = link.version;
    if message.payload.len() < SHARE_PAYLOAD_FROM_BYTES {
        publish.payload = message.payload.as_ref().into();
        link.outlet.append_with(|buffer| {
            publish.encode_with_id_offset(version, buffer);
        });
    } else {
        link.outlet.append_with(|buffer| {
            publish.encode_head(version, message.payload.len(), buffer);
        });
        link.outlet.append_shared(&message.payload);
    }
}

/// The PUBLISH for this message without its payload.
pub(crate) fn publish<'m>(
    version: Version,
    message: &'m Message,
    pending: &Pending,
    delivery: Delivery,
    now: Timestamp,
) -> Publish<'m> {
    let mut publish = Publish {
        dup: pending.dup && pending.qos != QoS::AtMostOnce,
        retain: pending.retain,
        delivery,
        topic: Some(TopicName::borrow(&message.topic)),
        properties: Default::default(),
        payload: Default::default(),
    };
    if version.is_v5() {
        publish.properties = message.properties.borrow();
        if let Some(secs) = message.remaining_secs(now) {
            publish.properties.push(Property::MessageExpiryInterval(secs));
        }
        for id in pending.ids.iter().flatten() {
            publish.properties.push(Property::SubscriptionIdentifier(*id));
        }
    }
    publish
}

/// The length of the packet, at most: with a topic alias it may come out a little longer or shorter.
fn publish_len(link: &Link, message: &Message, pending: &Pending, now: Timestamp) -> usize {
    // Cheap upper bound first: only packets near the limit are counted exactly.
    let bound = message.size_bytes() + 32 + pending.ids.as_ref().map_or(0, |ids| ids.len() * 5);
    if bound <= link.max_packet_size as usize {
        return bound;
    }
    let delivery = match pending.qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        _ => Delivery::AtLeastOnce(PacketId::MAX),
    };
    let mut publish = publish(link.version, message, pending, delivery, now);
    publish.payload = message.payload.as_ref().into();
    if link.aliases.is_some() {
        publish.properties.push(Property::TopicAlias(u16::MAX));
    }
    opifex_packet::Packet::from(publish).encoded_len(link.version)
}
