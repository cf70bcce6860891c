//! PUBLISH from a client: checks, its run, its road (direct or by the store), its acknowledgement.

use opifex_packet::{Delivery, PacketId, Publish, QoS, ReasonCode, TopicName};
use opifex_storage::{Op, Persistence};

use super::acks::{Ack, AckPacket};
use super::workbench::{Batch, Verdict};
use super::{End, State, violation};
use crate::access::Action;
use crate::fanout::owned_message;
use crate::router::{Publisher, find_matches};
use crate::shared::too_many_levels;
use crate::stats::DropCause;

impl<P: Persistence> State<P> {
    pub(super) fn publish(&mut self, publish: Publish<'_>, batch: &mut Batch<'_, P>) -> Result<(), End> {
        batch.tally().received += 1;
        // Taken out for the time being, so that a topic can be borrowed from them.
        let mut aliases = std::mem::take(&mut self.aliases);
        let maximum = batch.shared.limits.topic_alias_maximum;
        let routed = match aliases.resolve(&publish, maximum) {
            Ok(topic) => self.publish_to(topic, &publish, batch),
            Err(violation) => Err(End::Violation(violation)),
        };
        self.aliases = aliases;
        routed
    }

    fn publish_to(
        &mut self,
        topic: &TopicName<'_>,
        publish: &Publish<'_>,
        batch: &mut Batch<'_, P>,
    ) -> Result<(), End> {
        let limits = &batch.shared.limits;
        let qos = publish.qos();
        // [MQTT-3.2.2-11] of 5.0
        if qos > limits.max_qos {
            return Err(violation(ReasonCode::QoSNotSupported, "a QoS above the maximum"));
        }
        // [MQTT-3.2.2-14] of 5.0
        if publish.retain && !limits.retain_available {
            return Err(violation(ReasonCode::RetainNotSupported, "RETAIN is not available"));
        }
        if let Delivery::ExactlyOnce(id) = publish.delivery
            && self.inbound.contains(&id)
        {
            // The same message again, whatever its DUP flag says: acknowledged, not routed ([MQTT-4.3.3-10] of 5.0).
            self.acknowledge(AckPacket::Pubrec(id, ReasonCode::Success), None, batch);
            return Ok(());
        }
        // [MQTT-3.3.4-7] of 5.0: more than the receive maximum unacknowledged.
        if qos > QoS::AtMostOnce
            && self.options.version.is_v5()
            && self.unacknowledged + self.inbound.len() >= usize::from(limits.receive_maximum)
        {
            return Err(violation(
                ReasonCode::ReceiveMaximumExceeded,
                "more than the receive maximum in flight",
            ));
        }
        let verdict = self.verdict(topic, qos, publish.retain, batch)?;
        match verdict {
            Verdict::Denied => {
                batch.tally().drop(DropCause::NotAuthorized);
                self.acknowledge_publish(publish.delivery, ReasonCode::NotAuthorized, None, batch);
            }
            Verdict::Direct => {
                let reason = self.routed_reason(batch);
                batch.push(topic, publish);
                self.acknowledge_publish(publish.delivery, reason, None, batch);
            }
            Verdict::Stored => self.publish_stored(topic, publish, batch),
        }
        Ok(())
    }

    /// How this message goes on. The messages of a run share the answer, and the matches.
    fn verdict(
        &mut self,
        topic: &TopicName<'_>,
        qos: QoS,
        retain: bool,
        batch: &mut Batch<'_, P>,
    ) -> Result<Verdict, End> {
        let run = &batch.bench.run;
        if run.active && run.qos == Some(qos) && run.retain == retain && run.topic == topic.as_str() {
            return Ok(run.verdict);
        }
        batch.deliver_run();
        // Levels are a limit of ours: [MQTT-4.7.3-3] allows 65535 bytes of them.
        if too_many_levels(topic.as_str(), &batch.shared.limits) {
            return Err(violation(ReasonCode::TopicNameInvalid, "a topic with too many levels"));
        }
        let verdict = self.look_up(topic, qos, retain, batch);
        let run = &mut batch.bench.run;
        run.active = true;
        run.topic.clear();
        run.topic.push_str(topic.as_str());
        run.qos = Some(qos);
        run.retain = retain;
        run.verdict = verdict;
        Ok(verdict)
    }

    fn look_up(
        &mut self,
        topic: &TopicName<'_>,
        qos: QoS,
        retain: bool,
        batch: &mut Batch<'_, P>,
    ) -> Verdict {
        let shared = batch.shared;
        let action = Action::Publish { topic: topic.as_str(), qos, retain };
        if !shared.allows(&self.session, &self.identity, action) {
            return Verdict::Denied;
        }
        // A QoS 2 message of a durable publisher leaves its packet id in the batch that routes it. Once something of
        // this read waits for the store, all that follows does, so that nothing is overtaken.
        let stored = retain || !self.work.is_empty() || (qos == QoS::ExactlyOnce && self.author.is_some());
        if stored {
            return Verdict::Stored;
        }
        let publisher = Publisher { session: Some(&self.session) };
        let (table, bench) = batch.table();
        find_matches(table, topic, publisher, &mut bench.fanout.matches);
        let withheld = shared.withhold(topic.as_str(), &mut bench.fanout.matches.singles);
        let stored = shared.needs_store(&bench.fanout.matches, qos)
            || (shared.checks_receive && !bench.fanout.matches.shares.is_empty());
        if stored {
            return Verdict::Stored;
        }
        bench.fanout.begin(qos, retain);
        batch.tally().drop_many(DropCause::NotAuthorized, withheld);
        Verdict::Direct
    }

    fn routed_reason(&self, batch: &Batch<'_, P>) -> ReasonCode {
        match self.options.version.is_v5() && batch.bench.fanout.matches.is_empty() {
            true => ReasonCode::NoMatchingSubscribers,
            false => ReasonCode::Success,
        }
    }

    fn publish_stored(&mut self, topic: &TopicName<'_>, publish: &Publish<'_>, batch: &mut Batch<'_, P>) {
        batch.release_table();
        let publisher = Publisher { session: Some(&self.session) };
        let (shared, now) = (batch.shared, batch.now);
        let (last, tally) = batch.looked_up();
        let topic = last.topic.get_or_insert_with(|| topic.clone().into_owned()).clone();
        let message = owned_message(topic, publish, now);
        let mut group = shared.route_like(last, message, publish.retain, publisher, tally);
        let nobody = group.routed.as_ref().is_some_and(|routed| routed.matches.is_empty());
        if let (Delivery::ExactlyOnce(id), Some(_)) = (publish.delivery, self.author) {
            group.ops.push(Op::PutInbound(id));
        }
        let reason = match nobody && self.options.version.is_v5() {
            true => ReasonCode::NoMatchingSubscribers,
            false => ReasonCode::Success,
        };
        // Without anything to store it waits its turn behind what has.
        group.ack = match publish.delivery {
            Delivery::AtMostOnce => None,
            _ => Some(self.acks_made),
        };
        let ticket = self.work.push(group);
        self.acknowledge_publish(publish.delivery, reason, Some(ticket), batch);
    }

    fn acknowledge_publish(
        &mut self,
        delivery: Delivery,
        reason: ReasonCode,
        ticket: Option<u64>,
        batch: &mut Batch<'_, P>,
    ) {
        // Before 5.0 there is no way to say no: the message is dropped, and acknowledged ([MQTT-3.3.5-2]).
        let reason = if self.options.version.is_v5() { reason } else { ReasonCode::Success };
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.acknowledge(AckPacket::Puback(id, reason), ticket, batch),
            Delivery::ExactlyOnce(id) => {
                // A PUBREC with a refusal leaves no id behind.
                if !reason.is_error() {
                    self.inbound.insert(id);
                }
                self.acknowledge(AckPacket::Pubrec(id, reason), ticket, batch);
            }
        }
    }

    /// PUBREL: the id is free again. Only durable publishers' ids are in the store.
    pub(super) fn pubrel(&mut self, id: PacketId, batch: &mut Batch<'_, P>) {
        let known = self.inbound.remove(&id);
        let ticket = (known && self.author.is_some())
            .then(|| self.work.push(crate::submission::Group::of_ops(vec![Op::DeleteInbound(id)])));
        let reason = match !known && self.options.version.is_v5() {
            true => ReasonCode::PacketIdentifierNotFound,
            false => ReasonCode::Success,
        };
        self.acknowledge(AckPacket::Pubcomp(id, reason), ticket, batch);
    }

    /// Sends an acknowledgement, or lets it wait for its ticket and for those before it.
    pub(super) fn acknowledge(&mut self, packet: AckPacket, ticket: Option<u64>, batch: &mut Batch<'_, P>) {
        let ack = Ack { packet, ticket };
        if self.acks.is_empty() && ticket.is_none() {
            ack.packet.encode(self.told(), batch.own());
            return;
        }
        self.hold_ack(ack);
    }
}
