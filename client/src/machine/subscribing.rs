//! SUBSCRIBE and UNSUBSCRIBE, and what they are answered with. Which message goes to which subscription is the
//! application's to sort out; 5.0 has subscription identifiers for that.

use opifex_packet::{
    Packet, PacketId, Properties, PropertyContext, Suback, Subscribe, Subscription, TopicFilter, Unsuback,
    Unsubscribe,
};

use super::awaited::Awaited;
use super::{Link, Machine};
use crate::store::SessionStore;
use crate::{Cause, Event, Refusal, ServerLimits, Token};

/// Requests that wait for an answer at once, at most.
const MAX_REQUESTS: usize = 1024;

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) token: Token,
    pub(super) answer: Awaited,
    kind: Kind,
    filters: usize,
}

impl Request {
    pub(super) fn answered_by(&self) -> &'static str {
        match self.kind {
            Kind::Subscribe => "SUBACK",
            Kind::Unsubscribe => "UNSUBACK",
        }
    }
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Subscribe,
    Unsubscribe,
}

impl<S: SessionStore> Machine<S> {
    /// Sends SUBSCRIBE; the answer is [`Event::Subscribed`].
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], [`Refusal::Full`], and [`Refusal::Forbidden`] as the standard and CONNACK say.
    pub fn subscribe(
        &mut self,
        subscriptions: Vec<Subscription<'_>>,
        properties: Properties<'_>,
    ) -> Result<Token, Refusal> {
        // 3.1.1 [MQTT-3.8.3-3], 5.0 [MQTT-3.8.3-2]
        if subscriptions.is_empty() {
            return Err(Refusal::forbidden("MQTT-3.8.3-2", "SUBSCRIBE without a topic filter"));
        }
        self.check_properties(PropertyContext::Subscribe, &properties)?;
        // 3.2.2.3.12
        if properties.subscription_identifier().is_some() && !self.limits.subscription_identifiers {
            return Err(Refusal::forbidden(
                "MQTT5 3.2.2.3.12",
                "the server knows no subscription identifiers",
            ));
        }
        for Subscription { filter, options } in &subscriptions {
            // [MQTT-3.8.3-4]
            if options.no_local && filter.shared().is_some() {
                return Err(Refusal::forbidden("MQTT-3.8.3-4", "no local on a shared subscription"));
            }
            // 3.2.2.3.11
            if filter.has_wildcards() && !self.limits.wildcards {
                return Err(Refusal::forbidden("MQTT5 3.2.2.3.11", "the server knows no wildcards"));
            }
            // 3.2.2.3.13
            if filter.shared().is_some() && !self.limits.shared_subscriptions {
                return Err(Refusal::forbidden("MQTT5 3.2.2.3.13", "the server shares no subscriptions"));
            }
        }
        let filters = subscriptions.len();
        check_len(&properties, subscriptions.iter().map(|one| &one.filter))?;
        self.request(Kind::Subscribe, filters, |packet_id| {
            Packet::from(Subscribe { packet_id, properties, subscriptions })
        })
    }

    /// Sends UNSUBSCRIBE; the answer is [`Event::Unsubscribed`].
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], [`Refusal::Full`], and [`Refusal::Forbidden`] as the standard says.
    pub fn unsubscribe(
        &mut self,
        filters: Vec<TopicFilter<'_>>,
        properties: Properties<'_>,
    ) -> Result<Token, Refusal> {
        // [MQTT-3.10.3-2]
        if filters.is_empty() {
            return Err(Refusal::forbidden("MQTT-3.10.3-2", "UNSUBSCRIBE without a topic filter"));
        }
        self.check_properties(PropertyContext::Unsubscribe, &properties)?;
        let count = filters.len();
        check_len(&properties, filters.iter())?;
        self.request(Kind::Unsubscribe, count, |packet_id| {
            Packet::from(Unsubscribe { packet_id, properties, filters })
        })
    }

    fn check_properties(&self, context: PropertyContext, properties: &Properties<'_>) -> Result<(), Refusal> {
        let valid = Properties::from_bytes(context, properties.as_bytes()).is_ok();
        if properties.is_empty() || (self.options.version.is_v5() && valid) {
            return Ok(());
        }
        Err(Refusal::forbidden("MQTT5 2.2.2", "a property that this packet or this version does not have"))
    }

    fn request<'a>(
        &mut self,
        kind: Kind,
        filters: usize,
        packet: impl FnOnce(PacketId) -> Packet<'a>,
    ) -> Result<Token, Refusal> {
        if self.link != Link::Connected {
            return Err(Refusal::NotConnected);
        }
        if self.requests.len() >= MAX_REQUESTS {
            return Err(Refusal::Full);
        }
        let id = self.free_id()?;
        let packet = packet(id);
        self.limits.check_size(packet.encoded_len(self.options.version))?;
        let token = Token(self.number());
        self.requests.insert(id, Request { token, answer: Awaited::Soon, kind, filters });
        self.send(&packet);
        Ok(token)
    }

    pub(super) fn on_suback(&mut self, packet: Suback<'_>) -> Result<(), Cause> {
        let filters = self.asked(packet.packet_id, Kind::Subscribe)?;
        // 3.1.1 [MQTT-3.8.4-5], 5.0 [MQTT-3.8.4-6]
        if packet.reasons.len() != filters {
            let statement = self.options.version_statement("MQTT-3.8.4-5", "MQTT-3.8.4-6");
            return Err(Cause::protocol_error(statement, "SUBACK has not one reason code a filter"));
        }
        let Suback { packet_id, properties, reasons } = packet.into_owned();
        if let Some(Request { token, .. }) = self.requests.remove(&packet_id) {
            self.events.push_back(Event::Subscribed { token, reasons, properties });
        }
        Ok(())
    }

    pub(super) fn on_unsuback(&mut self, packet: Unsuback<'_>) -> Result<(), Cause> {
        let filters = self.asked(packet.packet_id, Kind::Unsubscribe)?;
        // [MQTT-3.11.3-1]; before 5.0 there are no reason codes.
        if self.options.version.is_v5() && packet.reasons.len() != filters {
            return Err(Cause::protocol_error("MQTT-3.11.3-1", "UNSUBACK has not one reason code a filter"));
        }
        let Unsuback { packet_id, properties, reasons } = packet.into_owned();
        if let Some(Request { token, .. }) = self.requests.remove(&packet_id) {
            self.events.push_back(Event::Unsubscribed { token, reasons, properties });
        }
        Ok(())
    }

    /// How many filters the request of that id has. An answer of the wrong kind is none. The request stays, so that it is
    /// told of when the answer turns out to be wrong.
    fn asked(&self, id: PacketId, kind: Kind) -> Result<usize, Cause> {
        // [MQTT-2.2.1-6], 3.1.1 [MQTT-2.3.1-7]
        match self.requests.get(&id) {
            Some(request) if request.kind == kind => Ok(request.filters),
            _ => Err(Cause::protocol_error(
                self.options.version_statement("MQTT-2.3.1-7", "MQTT-2.2.1-6"),
                "an answer to a SUBSCRIBE or UNSUBSCRIBE that was not sent",
            )),
        }
    }
}

/// 2.1.4: what MQTT can count; a longer packet has no encoding.
fn check_len<'a>(
    properties: &Properties<'_>,
    filters: impl Iterator<Item = &'a TopicFilter<'a>>,
) -> Result<(), Refusal> {
    let len = properties.as_bytes().len() + filters.map(|filter| filter.as_str().len() + 3).sum::<usize>();
    ServerLimits::NONE.check_size(len + 64)
}
