//! Messages from the server: handed on once, acknowledged in their order.

use opifex_packet::{Delivery, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, ReasonCode};

use super::incoming::Ack;
use super::{Link, Machine};
use crate::store::SessionStore;
use crate::{AckToken, Cause, Event, Message};

impl<S: SessionStore> Machine<S> {
    /// The application has done with a message. PUBACK or PUBREC goes out when those of earlier messages have; an
    /// acknowledgement that comes between two connections counts when the server sends the message again.
    pub fn acknowledge(&mut self, token: AckToken) {
        if let Some(id) = self.incoming.acknowledge(token.0) {
            self.store.put_incoming(id);
        }
        self.send_acks();
    }

    pub(super) fn on_publish(&mut self, publish: Publish<'_>) -> Result<(), Cause> {
        let maximum = self.options.topic_alias_maximum;
        let (topic, alias) = (publish.topic.clone(), publish.properties.topic_alias());
        let topic = self.incoming_aliases.resolve(topic, alias, maximum)?;

        let serial = match publish.delivery {
            Delivery::AtMostOnce => {
                let message = Message::received(topic, &publish);
                self.events.push_back(Event::Message { message, dup: false, ack: None });
                return Ok(());
            }
            Delivery::AtLeastOnce(id) => {
                let serial = self.incoming.at_least_once(id);
                // [MQTT-2.2.1-4], 3.1.1 [MQTT-2.3.1-4]; without a reconnect 3.1.1 lets a server repeat itself.
                if serial.is_none() && !publish.dup {
                    return Err(Cause::protocol_error(
                        self.options.version_statement("MQTT-2.3.1-4", "MQTT-2.2.1-4"),
                        "a new message has the packet id of one that is not acknowledged",
                    ));
                }
                serial
            }
            // [MQTT-4.3.3-10]
            Delivery::ExactlyOnce(id) => self.incoming.exactly_once(id),
        };
        // [MQTT-3.3.4-9]
        if self.options.version.is_v5() && self.incoming.under_way() > self.options.receive_maximum.into() {
            return Err(Cause::Violation {
                statement: "MQTT-3.3.4-9",
                what: "more messages are under way than the receive maximum that was announced",
                reason: ReasonCode::ReceiveMaximumExceeded,
            });
        }
        if let Some(serial) = serial {
            let token = AckToken(serial);
            let ack = self.options.manual_acks.then_some(token);
            let message = Message::received(topic, &publish);
            self.events.push_back(Event::Message { message, dup: publish.dup, ack });
            // [MQTT-4.5.0-2]: whatever the application makes of it.
            if ack.is_none() {
                self.acknowledge(token);
            }
        }
        self.send_acks();
        Ok(())
    }

    /// [MQTT-3.3.4-1] [MQTT-4.3.2-4] [MQTT-4.3.3-8]
    fn send_acks(&mut self) {
        while self.link == Link::Connected {
            let Some(ack) = self.incoming.next_ack() else { return };
            self.send(&match ack {
                Ack::Puback(id) => Packet::from(Puback::new(id)),
                Ack::Pubrec(id) => Packet::from(Pubrec::new(id)),
            });
        }
    }

    pub(super) fn on_pubrel(&mut self, packet: Pubrel<'_>) -> Result<(), Cause> {
        let id = packet.packet_id;
        let answer = match self.incoming.is_taken(id) {
            Some(true) => {
                self.incoming.release(id);
                self.store.remove_incoming(id);
                Pubcomp::new(id)
            }
            // 4.3.3: the server has to wait for PUBREC.
            Some(false) => {
                return Err(Cause::protocol_error("MQTT-4.3.3-4", "PUBREL for a message before its PUBREC"));
            }
            // 3.7.2.1: not an error after a reconnect.
            None => Pubcomp::new(id).with_reason(ReasonCode::PacketIdentifierNotFound),
        };
        // [MQTT-4.3.3-11]
        self.send(&Packet::from(answer));
        Ok(())
    }
}
