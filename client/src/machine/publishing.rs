//! Messages to the server: accepted, sent in order under the receive maximum, and what their acknowledgements do.

use std::borrow::Cow;

use opifex_packet::{
    Delivery, Packet, PacketId, Properties, Property, PropertyContext, Puback, Pubcomp, Publish, Pubrec,
    Pubrel, QoS, ReasonCode, Version,
};

use super::awaited::Awaited;
use super::outgoing::{Entry, State};
use super::topic_aliases::{OutgoingAliases, Written};
use super::{Link, Machine};
use crate::store::{SessionStore, StoredMessage};
use crate::{Cause, Message, Refusal, ServerLimits, Token};

impl<S: SessionStore> Machine<S> {
    /// Accepts a message. Of one above QoS 0 the token comes back with [`Event::PublishDone`](crate::Event::PublishDone);
    /// it may be published without a connection, waits for its turn, and is kept over reconnects. QoS 0 goes out at once,
    /// and has no token.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`], [`Refusal::Full`] (try again when something is done or written), and at QoS 0
    /// [`Refusal::NotConnected`].
    pub fn publish(&mut self, message: Message) -> Result<Option<Token>, Refusal> {
        self.check(&message)?;
        if message.qos == QoS::AtMostOnce {
            if self.link != Link::Connected {
                return Err(Refusal::NotConnected);
            }
            if self.out.len() >= self.options.max_buffered {
                return Err(Refusal::Full);
            }
            // A message before it is not overtaken without need.
            self.pump();
            write(
                self.options.version,
                &self.limits,
                &mut self.outgoing_aliases,
                &message,
                None,
                &mut self.out,
            )?;
            return Ok(None);
        }
        if !self.has_room(&message) {
            return Err(Refusal::Full);
        }
        if self.link == Link::Connected {
            self.limits.check(&message)?;
            let delivery = Delivery::new(message.qos, PacketId::MIN);
            self.limits.check_size(in_full(&message, delivery, false).encoded_len(self.options.version))?;
        }
        // [MQTT-4.3.2-1] [MQTT-4.3.3-1]
        let packet_id = self.free_id()?;
        let number = self.number();
        let stored = StoredMessage { number, packet_id, message, released: None };
        self.store.put_outgoing(&stored);
        let entry = Entry { id: packet_id, message: stored.message, state: State::Waiting, known: false };
        self.outgoing.push(number, entry);
        self.pump();
        Ok(Some(Token(number)))
    }

    /// What no server would take.
    fn check(&self, message: &Message) -> Result<(), Refusal> {
        if !self.options.version.is_v5() {
            if !message.properties.is_empty() {
                return Err(Refusal::forbidden("MQTT5 2.2.2", "properties need version 5.0"));
            }
        } else if Properties::from_bytes(PropertyContext::Publish, message.properties.as_bytes()).is_err() {
            return Err(Refusal::forbidden("MQTT5 3.3.2.3", "a property is none of PUBLISH's"));
        }
        if message.properties.topic_alias().is_some() {
            return Err(Refusal::forbidden("MQTT5 3.3.2.3.4", "topic aliases are the client's to choose"));
        }
        // [MQTT-3.3.4-6]
        if message.properties.subscription_identifier().is_some() {
            return Err(Refusal::forbidden("MQTT-3.3.4-6", "a client sends no subscription identifier"));
        }
        // 2.1.4: what MQTT can count.
        let len =
            message.payload.len() + message.properties.as_bytes().len() + message.topic.as_str().len() + 64;
        ServerLimits::NONE.check_size(len)
    }

    /// Sends what waits, as far as the receive maximum and the buffer go. [MQTT-3.3.4-8] [MQTT-4.9.0-3]: all but
    /// PUBLISH passes by.
    pub(super) fn pump(&mut self) {
        // [MQTT-3.3.4-7] [MQTT-4.9.0-2]
        while self.link == Link::Connected
            && self.outgoing.in_flight() < self.limits.receive_maximum.into()
            && self.out.len() < self.options.max_buffered
        {
            let Some((number, entry)) = self.outgoing.next() else { return };
            let (id, sending) = (entry.id, Some((entry.id, entry.known)));
            let (version, aliases) = (self.options.version, &mut self.outgoing_aliases);
            match write(version, &self.limits, aliases, &entry.message, sending, &mut self.out) {
                Ok(()) => self.outgoing.sent(number),
                // The server may have it from an earlier connection, and keeps its id until PUBREL.
                Err(refusal) if entry.known && entry.message.qos == QoS::ExactlyOnce => {
                    if let Some(nth) = self.outgoing.release(id, ReasonCode::Success) {
                        self.outgoing.doubt(id, refusal);
                        self.store.release(id, nth);
                        self.send(&Packet::from(Pubrel::new(id)));
                    }
                }
                Err(refusal) => self.refuse(id, refusal),
            }
        }
    }

    pub(super) fn on_puback(&mut self, packet: Puback<'_>) -> Result<(), Cause> {
        match self.outgoing.get(packet.packet_id) {
            // [MQTT-4.3.2-3]; [MQTT-4.4.0-2]: also with a reason that says no.
            Some(Entry { state: State::Sent, message, .. }) if message.qos == QoS::AtLeastOnce => {
                self.acks_awaited = Awaited::Nothing;
                self.done(packet.packet_id, packet.reason, packet.properties);
                Ok(())
            }
            // [MQTT-2.2.1-5]
            _ => Err(Cause::protocol_error("MQTT-2.2.1-5", "PUBACK for no QoS 1 message that was sent")),
        }
    }

    pub(super) fn on_pubrec(&mut self, packet: Pubrec<'_>) -> Result<(), Cause> {
        let id = packet.packet_id;
        self.acks_awaited = Awaited::Nothing;
        match self.outgoing.get(id) {
            Some(entry) if entry.message.qos == QoS::ExactlyOnce => match entry.state {
                // [MQTT-4.4.0-2]
                State::Sent if packet.reason.is_error() => self.done(id, packet.reason, packet.properties),
                // [MQTT-4.3.3-3] [MQTT-4.3.3-4]
                State::Sent => {
                    if let Some(nth) = self.outgoing.release(id, packet.reason) {
                        self.store.release(id, nth);
                    }
                    self.send(&Packet::from(Pubrel::new(id)));
                }
                State::Released(..) => self.send(&Packet::from(Pubrel::new(id))),
                State::Waiting => {
                    return Err(Cause::protocol_error(
                        "MQTT-2.2.1-5",
                        "PUBREC for a message that was not sent",
                    ));
                }
            },
            // [MQTT-2.2.1-5]
            Some(_) => return Err(Cause::protocol_error("MQTT-2.2.1-5", "PUBREC for a QoS 1 message")),
            // 3.6.2.1: the server's session knows of a message that this side does not.
            None => {
                let unknown = Pubrel::new(id).with_reason(ReasonCode::PacketIdentifierNotFound);
                self.send(&Packet::from(unknown));
            }
        }
        Ok(())
    }

    pub(super) fn on_pubcomp(&mut self, packet: Pubcomp<'_>) -> Result<(), Cause> {
        match self.outgoing.get(packet.packet_id).map(|entry| entry.state) {
            // [MQTT-4.3.3-5]. A server that does not know the id (0x92) had completed it on an earlier connection, or
            // never had a message that it would not take now.
            Some(State::Released(_, said)) => {
                self.acks_awaited = Awaited::Nothing;
                if let Some(refusal) = self.outgoing.doubted(packet.packet_id)
                    && packet.reason == ReasonCode::PacketIdentifierNotFound
                {
                    self.refuse(packet.packet_id, refusal);
                    return Ok(());
                }
                // PUBREC has said whether there was somebody to get the message; PUBCOMP has no word for it.
                self.done(packet.packet_id, said, packet.properties);
                Ok(())
            }
            Some(State::Sent | State::Waiting) => {
                Err(Cause::protocol_error("MQTT-4.3.3-11", "PUBCOMP for a message that was not released"))
            }
            // The answer to a PUBREL for an id that nobody knows.
            None => Ok(()),
        }
    }
}

/// The PUBLISH of a message with its topic written out.
fn in_full(message: &Message, delivery: Delivery, dup: bool) -> Publish<'_> {
    Publish {
        // [MQTT-3.3.1-1]
        dup,
        retain: message.retain,
        delivery,
        topic: Some(message.topic.borrow()),
        properties: message.properties.borrow(),
        payload: Cow::Borrowed(&message.payload),
    }
}

/// Writes a message for a server of those limits. `sending`: the packet id, and whether the server may have it already.
fn write(
    version: Version,
    limits: &ServerLimits,
    aliases: &mut OutgoingAliases,
    message: &Message,
    sending: Option<(PacketId, bool)>,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    limits.check(message)?;
    // [MQTT-3.3.1-2]: at QoS 0 there is no DUP.
    let (delivery, dup) = match sending {
        Some((id, dup)) => (Delivery::new(message.qos, id), dup),
        None => (Delivery::AtMostOnce, false),
    };
    let publish = in_full(message, delivery, dup);
    limits.check_size(publish.encoded_len(version))?;
    let topic = message.topic.as_str();
    let (alias, new) = match aliases.look(topic) {
        Written::InFull => {
            publish.encode(version, out);
            return Ok(());
        }
        Written::WithNewAlias(alias) => (alias, true),
        Written::AsAlias(alias) => (alias, false),
    };
    let mut short = publish.clone();
    short.properties.push(Property::TopicAlias(alias));
    if !new {
        short.topic = None;
    }
    // [MQTT-3.2.2-15]: an alias makes a short topic longer.
    if short.encoded_len(version) <= limits.maximum_packet_size {
        if new {
            aliases.announced(topic, alias);
        }
        short.encode(version, out);
    } else {
        publish.encode(version, out);
    }
    Ok(())
}
