//! What has to come next: each word takes what came, and fails the case with what it expected and what there was.

use std::time::Duration;

use opifex_packet::{
    Connack, Delivery, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, Suback, Unsuback,
};

use super::super::stop::Stop;
use super::{Event, Wire};

/// The codes by which 5.0 tells of a packet that breaks a rule without a code of its own; which of them it is to be, is advice.
pub(crate) const BROKEN: &[ReasonCode] =
    &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError, ReasonCode::UnspecifiedError];

macro_rules! expect_kind {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident, $text:literal;)*) => {
        impl Wire {
            $(
                $(#[$doc])*
                pub async fn $name(&mut self) -> Result<$kind<'static>, Stop> {
                    match self.next().await? {
                        Event::Packet(Packet::$kind(packet)) => Ok(packet),
                        other => Err(self.unexpected($text, &other)),
                    }
                }
            )*
        }
    };
}

expect_kind! {
    /// PUBLISH comes; it is not acknowledged.
    expect_publish -> Publish, "PUBLISH";
    /// PUBREL comes.
    expect_pubrel -> Pubrel, "PUBREL";
}

macro_rules! expect_answer {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident, $text:literal;)*) => {
        impl Wire {
            $(
                $(#[$doc])*
                ///
                /// Messages that come first are kept for whoever asks next: they are in no order with answers.
                pub async fn $name(&mut self) -> Result<$kind<'static>, Stop> {
                    match self.next_answer().await? {
                        Event::Packet(Packet::$kind(packet)) => Ok(packet),
                        other => Err(self.unexpected($text, &other)),
                    }
                }
            )*
        }
    };
}

expect_answer! {
    /// CONNACK comes, whatever it says.
    expect_connack -> Connack, "CONNACK";
    /// PUBACK comes.
    expect_puback -> Puback, "PUBACK";
    /// PUBREC comes.
    expect_pubrec -> Pubrec, "PUBREC";
    /// PUBCOMP comes.
    expect_pubcomp -> Pubcomp, "PUBCOMP";
    /// SUBACK comes.
    expect_suback -> Suback, "SUBACK";
    /// UNSUBACK comes.
    expect_unsuback -> Unsuback, "UNSUBACK";
}

impl Wire {
    pub(crate) fn unexpected(&self, expected: &str, came: &Event) -> Stop {
        Stop::failed(format!("{}: expected {expected}, and there came {}", self.name, came.describe()))
    }

    /// The next packet that is not part of a delivery to us.
    async fn next_answer(&mut self) -> Result<Event, Stop> {
        loop {
            match self.read_within(self.patience).await? {
                Event::Packet(packet @ (Packet::Publish(_) | Packet::Pubrel(_))) => {
                    self.early.push_back((packet, self.last.clone()));
                }
                event => return Ok(event),
            }
        }
    }

    /// This packet comes, exactly.
    pub async fn expect<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Result<(), Stop> {
        let expected = Event::Packet(packet.into().into_owned());
        let came = self.next().await?;
        if came == expected { Ok(()) } else { Err(self.unexpected(&expected.describe(), &came)) }
    }

    /// PUBLISH with this topic and payload comes, and is acknowledged to its end.
    pub async fn expect_message(&mut self, topic: &str, payload: &str) -> Result<Publish<'static>, Stop> {
        let publish = self.expect_unacknowledged(topic, payload).await?;
        self.acknowledge(&publish).await?;
        Ok(publish)
    }

    /// The same with this QoS.
    pub async fn expect_message_at(
        &mut self,
        topic: &str,
        payload: &str,
        qos: QoS,
    ) -> Result<Publish<'static>, Stop> {
        let publish = self.expect_message(topic, payload).await?;
        if publish.qos() == qos {
            return Ok(publish);
        }
        Err(self.unexpected(&format!("it at {qos:?}"), &Event::Packet(publish.into())))
    }

    /// PUBLISH with this topic and payload comes; it is left unacknowledged.
    pub async fn expect_unacknowledged(
        &mut self,
        topic: &str,
        payload: &str,
    ) -> Result<Publish<'static>, Stop> {
        let publish = self.expect_publish().await?;
        let named = publish.topic.as_ref().is_some_and(|name| name.as_str() == topic);
        if named && *publish.payload == *payload.as_bytes() {
            return Ok(publish);
        }
        let expected = format!("PUBLISH of {payload:?} to {topic:?}");
        Err(self.unexpected(&expected, &Event::Packet(publish.into())))
    }

    /// Acknowledges a PUBLISH to its end; messages that come meanwhile are kept.
    pub async fn acknowledge(&mut self, publish: &Publish<'_>) -> Result<(), Stop> {
        match publish.delivery {
            Delivery::AtMostOnce => Ok(()),
            Delivery::AtLeastOnce(id) => self.send(Puback::new(id)).await,
            Delivery::ExactlyOnce(id) => {
                self.send(Pubrec::new(id)).await?;
                loop {
                    match self.read_within(self.patience).await? {
                        Event::Packet(Packet::Pubrel(pubrel)) if pubrel.packet_id == id => break,
                        Event::Packet(packet @ (Packet::Publish(_) | Packet::Pubrel(_))) => {
                            self.early.push_back((packet, self.last.clone()));
                        }
                        other => return Err(self.unexpected("PUBREL", &other)),
                    }
                }
                self.send(Pubcomp::new(id)).await
            }
        }
    }

    /// Nothing comes, neither before the answer to PINGREQ nor for a while after it.
    pub async fn expect_silence(&mut self) -> Result<(), Stop> {
        self.send(Packet::Pingreq).await?;
        let came = self.next().await?;
        if came != Event::Packet(Packet::Pingresp) {
            return Err(self.unexpected("PINGRESP and nothing before it", &came));
        }
        self.expect_nothing(self.silence).await
    }

    /// Nothing comes for that time, and the connection stays open.
    pub async fn expect_nothing(&mut self, time: Duration) -> Result<(), Stop> {
        match self.next_within(time).await? {
            Event::Nothing => Ok(()),
            came => Err(self.unexpected("nothing", &came)),
        }
    }

    /// The connection is open and served.
    pub async fn expect_alive(&mut self) -> Result<(), Stop> {
        self.send(Packet::Pingreq).await?;
        match self.next_answer().await? {
            Event::Packet(Packet::Pingresp) => Ok(()),
            other => Err(self.unexpected("PINGRESP", &other)),
        }
    }

    /// The connection closes without another packet.
    pub async fn expect_closed(&mut self) -> Result<(), Stop> {
        self.expect_closed_within(self.patience).await
    }

    /// The same in that time.
    pub async fn expect_closed_within(&mut self, time: Duration) -> Result<(), Stop> {
        match self.next_within(time).await? {
            Event::End => Ok(()),
            came => Err(self.unexpected("the end of the connection", &came)),
        }
    }

    /// A rule was broken, and the broker closes. 5.0 may say why before it: by CONNACK before it has accepted CONNECT, by
    /// DISCONNECT after; then with one of these codes. 3.1.1 says nothing.
    pub async fn expect_refused(&mut self, codes: &[ReasonCode]) -> Result<(), Stop> {
        self.expect_refused_within(self.patience, codes).await
    }

    /// The same in that time.
    pub async fn expect_refused_within(&mut self, time: Duration, codes: &[ReasonCode]) -> Result<(), Stop> {
        if !self.version.is_v5() {
            return self.expect_closed_within(time).await;
        }
        let came = self.next_within(time).await?;
        let said = match &came {
            Event::End => return Ok(()),
            Event::Packet(Packet::Connack(connack)) if !self.connected => Some(connack.reason),
            Event::Packet(Packet::Disconnect(disconnect)) if self.connected => Some(disconnect.reason),
            _ => None,
        };
        if said.is_some_and(|code| codes.contains(&code)) {
            return self.expect_closed().await;
        }
        let with = codes.iter().map(|code| format!("{:#04x}", *code as u8)).collect::<Vec<_>>().join(" or ");
        let word = if self.connected { "DISCONNECT" } else { "CONNACK" };
        Err(self.unexpected(&format!("the end of the connection, or before it {word} {with}"), &came))
    }

    /// The packet just sent is malformed or a protocol error without a code of its own, and the broker closes.
    pub async fn expect_broken(&mut self) -> Result<(), Stop> {
        self.expect_refused(BROKEN).await
    }
}
