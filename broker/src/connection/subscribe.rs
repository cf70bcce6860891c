//! SUBSCRIBE and UNSUBSCRIBE: checks, routing, the record, the retained messages that a subscription brings.

use opifex_packet::{
    Packet, QoS, ReasonCode, RetainHandling, Suback, Subscribe, Subscription, Unsuback, Unsubscribe,
};
use opifex_storage::{Op, Persistence, SubscriptionRecord};

use super::acks::{Ack, AckPacket};
use super::replay::Replay;
use super::workbench::Batch;
use super::{End, State};
use crate::access::Action;
use crate::router::Grant;
use crate::shared::too_many_levels;
use crate::submission::Group;

impl<P: Persistence> State<P> {
    pub(super) fn subscribe(
        &mut self,
        subscribe: Subscribe<'_>,
        batch: &mut Batch<'_, P>,
    ) -> Result<(), End> {
        batch.deliver_run();
        batch.release_table();
        let identifier = subscribe.properties.subscription_identifier().unwrap_or(0);
        let mut reasons = Vec::with_capacity(subscribe.subscriptions.len());
        let mut ops = Vec::new();
        let mut replay = Replay::default();
        for subscription in subscribe.subscriptions {
            let grant = match self.grant(&subscription, identifier) {
                Ok(grant) => grant,
                Err(refusal) => {
                    reasons.push(refusal);
                    continue;
                }
            };
            let filter = subscription.filter.into_owned();
            let existed = self.shared.router.subscribe(&self.session, &filter, grant);
            self.session.subscriptions.lock().insert(filter.as_str());
            reasons.push(granted(grant.options.qos));
            // Retained messages are sent for new subscriptions, or for all, or never; never for shared ones
            // ([MQTT-3.3.1-9] to [MQTT-3.3.1-11] of 5.0, 4.8.2).
            let wanted = match grant.options.retain_handling {
                RetainHandling::SendAtSubscribe => true,
                RetainHandling::SendIfNew => !existed,
                RetainHandling::DoNotSend => false,
            };
            if self.author.is_some() {
                ops.push(Op::Subscribe(SubscriptionRecord {
                    filter: filter.clone(),
                    options: grant.options,
                    identifier: (identifier != 0).then_some(identifier),
                }));
            }
            if wanted && filter.shared().is_none() && self.shared.limits.retain_available {
                replay.add(filter, grant);
            }
        }
        // [MQTT-3.8.4-6]: one answer with a code for each.
        let suback = Suback { packet_id: subscribe.packet_id, properties: Default::default(), reasons };
        let suback = AckPacket::Other(Box::new(Packet::from(suback)));
        let ticket = (!ops.is_empty()).then(|| self.work.push(Group::of_ops(ops)));
        let durable = self.author.is_some();
        let job = (replay.len() > 0).then(|| self.work.push_replay(replay));
        match job.filter(|_| durable) {
            // The messages that it brings at QoS > 0 are on record before SUBACK, as far as the queue has room.
            Some(job) => self.hold_ack_for_job(Ack { packet: suback, ticket }, Some(job)),
            None => self.acknowledge(suback, ticket, batch),
        }
        Ok(())
    }

    /// What is granted to a subscription, or why it is refused.
    fn grant(&self, subscription: &Subscription<'_>, identifier: u32) -> Result<Grant, ReasonCode> {
        let limits = &self.shared.limits;
        let filter = &subscription.filter;
        let v5 = self.options.version.is_v5();
        let refuse = |reason: ReasonCode| Err(if v5 { reason } else { ReasonCode::UnspecifiedError });
        let levels_of = filter.shared().map_or(filter.as_str(), |shared| shared.filter);
        if too_many_levels(levels_of, limits) {
            return refuse(ReasonCode::TopicFilterInvalid);
        }
        if filter.shared().is_some() && !limits.shared_subscriptions {
            return refuse(ReasonCode::SharedSubscriptionsNotSupported);
        }
        if filter.has_wildcards() && !limits.wildcard_subscriptions {
            return refuse(ReasonCode::WildcardSubscriptionsNotSupported);
        }
        let action = Action::Subscribe { filter: filter.as_str() };
        if !self.shared.allows(&self.session, &self.identity, action) {
            return refuse(ReasonCode::NotAuthorized);
        }
        let subscriptions = self.session.subscriptions.lock();
        if subscriptions.len() >= limits.max_subscriptions_per_session
            && !subscriptions.contains(filter.as_str())
        {
            return refuse(ReasonCode::QuotaExceeded);
        }
        let mut options = subscription.options;
        options.qos = options.qos.min(limits.max_qos);
        Ok(Grant { options, identifier })
    }

    pub(super) fn unsubscribe(&mut self, unsubscribe: Unsubscribe<'_>, batch: &mut Batch<'_, P>) {
        batch.deliver_run();
        batch.release_table();
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        let mut ops = Vec::new();
        for filter in unsubscribe.filters {
            let granted = self.shared.router.unsubscribe(&self.session, &filter);
            self.session.subscriptions.lock().remove(filter.as_str());
            let Some(granted) = granted else {
                reasons.push(ReasonCode::NoSubscriptionExisted);
                continue;
            };
            reasons.push(ReasonCode::Success);
            let filter = filter.into_owned();
            self.work.forget_replay(&filter);
            if self.author.is_some() {
                ops.push(Op::Unsubscribe(filter.clone()));
                self.work.unsubscribed(filter, granted);
            }
        }
        let ticket = (!ops.is_empty()).then(|| self.work.push(Group::of_ops(ops)));
        let unsuback = Unsuback { packet_id: unsubscribe.packet_id, properties: Default::default(), reasons };
        self.acknowledge(AckPacket::Other(Box::new(Packet::from(unsuback))), ticket, batch);
    }
}

fn granted(qos: QoS) -> ReasonCode {
    match qos {
        QoS::AtMostOnce => ReasonCode::Success,
        QoS::AtLeastOnce => ReasonCode::GrantedQoS1,
        QoS::ExactlyOnce => ReasonCode::GrantedQoS2,
    }
}
