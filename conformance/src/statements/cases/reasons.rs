//! Reason Strings and User Properties in what a server answers (5.0 only): they come to those who have not declined them, and
//! as far as the client takes packets that long. A server need not say anything in words; then there is nothing to show here.

use opifex_packet::{
    Connect, Packet, PacketId, PacketType, Properties, Property, Pubrec, Pubrel, QoS, ReasonCode,
};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};
use crate::statements::{Authentication, Scene};

chapter! { "reasons", "3.2 to 3.15 reasons in words";
    a_connack_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.2.2-19"];
    a_connack_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.2.2-20"];
    a_puback_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.4.2-2"];
    a_puback_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.4.2-3"];
    a_pubrec_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.5.2-2"];
    a_pubrec_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.5.2-3"];
    a_pubrel_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.6.2-2"];
    a_pubrel_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.6.2-3"];
    a_pubcomp_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.7.2-2"];
    a_pubcomp_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.7.2-3"];
    a_suback_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.9.2-1"];
    a_suback_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.9.2-2"];
    an_unsuback_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.11.2-1"];
    an_unsuback_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.11.2-2"];
    a_disconnect_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.14.2-3"];
    a_disconnect_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.14.2-4"];
    an_auth_leaves_out_a_reason_string_that_is_too_long: v5 ["MQTT-3.15.2-2"];
    an_auth_leaves_out_user_properties_that_are_too_long: v5 ["MQTT-3.15.2-3"];
    a_puback_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    a_pubrec_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    a_pubrel_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    a_pubcomp_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    a_suback_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    an_unsuback_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
    an_auth_gives_no_reasons_to_who_declines_them: v5 ["MQTT-3.1.2-29"];
}

macro_rules! cases {
    ($($check:ident($kind:ident $(, $said:ident)?): $name:ident;)*) => {
        $(async fn $name(s: &Scene) -> Outcome {
            $check(s, PacketType::$kind $(, Said::$said)?).await
        })*
    };
}

cases! {
    left_out(Connack, ReasonString): a_connack_leaves_out_a_reason_string_that_is_too_long;
    left_out(Connack, UserProperty): a_connack_leaves_out_user_properties_that_are_too_long;
    left_out(Puback, ReasonString): a_puback_leaves_out_a_reason_string_that_is_too_long;
    left_out(Puback, UserProperty): a_puback_leaves_out_user_properties_that_are_too_long;
    left_out(Pubrec, ReasonString): a_pubrec_leaves_out_a_reason_string_that_is_too_long;
    left_out(Pubrec, UserProperty): a_pubrec_leaves_out_user_properties_that_are_too_long;
    left_out(Pubrel, ReasonString): a_pubrel_leaves_out_a_reason_string_that_is_too_long;
    left_out(Pubrel, UserProperty): a_pubrel_leaves_out_user_properties_that_are_too_long;
    left_out(Pubcomp, ReasonString): a_pubcomp_leaves_out_a_reason_string_that_is_too_long;
    left_out(Pubcomp, UserProperty): a_pubcomp_leaves_out_user_properties_that_are_too_long;
    left_out(Suback, ReasonString): a_suback_leaves_out_a_reason_string_that_is_too_long;
    left_out(Suback, UserProperty): a_suback_leaves_out_user_properties_that_are_too_long;
    left_out(Unsuback, ReasonString): an_unsuback_leaves_out_a_reason_string_that_is_too_long;
    left_out(Unsuback, UserProperty): an_unsuback_leaves_out_user_properties_that_are_too_long;
    left_out(Disconnect, ReasonString): a_disconnect_leaves_out_a_reason_string_that_is_too_long;
    left_out(Disconnect, UserProperty): a_disconnect_leaves_out_user_properties_that_are_too_long;
    left_out(Auth, ReasonString): an_auth_leaves_out_a_reason_string_that_is_too_long;
    left_out(Auth, UserProperty): an_auth_leaves_out_user_properties_that_are_too_long;
    declined(Puback): a_puback_gives_no_reasons_to_who_declines_them;
    declined(Pubrec): a_pubrec_gives_no_reasons_to_who_declines_them;
    declined(Pubrel): a_pubrel_gives_no_reasons_to_who_declines_them;
    declined(Pubcomp): a_pubcomp_gives_no_reasons_to_who_declines_them;
    declined(Suback): a_suback_gives_no_reasons_to_who_declines_them;
    declined(Unsuback): an_unsuback_gives_no_reasons_to_who_declines_them;
    declined(Auth): an_auth_gives_no_reasons_to_who_declines_them;
}

/// A way to say something in words.
#[derive(Copy, Clone, Debug)]
enum Said {
    ReasonString,
    UserProperty,
}

impl Said {
    fn is_in(self, properties: &Properties<'_>) -> bool {
        match self {
            Said::ReasonString => properties.reason_string().is_some(),
            Said::UserProperty => properties.user_properties().next().is_some(),
        }
    }
}

/// The property comes to a client that takes any packet, and makes no packet too long for one that does not.
async fn left_out(s: &Scene, kind: PacketType, said: Said) -> Outcome {
    let len = match provoked(s, kind, &[Property::RequestProblemInformation(true)]).await? {
        Answer::Came { properties, len } if said.is_in(&properties) => len,
        _ => return Err(Stop::needs(format!("a {said:?} in {kind:?}"))),
    };
    let limit = len as u32 - 1;
    let asks = [Property::RequestProblemInformation(true), Property::MaximumPacketSize(limit)];
    match provoked(s, kind, &asks).await? {
        Answer::Came { properties, len } => {
            let which = format!("{kind:?} {properties:?}");
            ensure!(len <= limit as usize, "a client that takes {limit} bytes got {len}: {which}");
            Ok(())
        }
        // Without the property it fits.
        other => other.without(kind),
    }
}

/// Neither comes to a client that wants no problem information, and one of them does to one that wants it.
async fn declined(s: &Scene, kind: PacketType) -> Outcome {
    let explained = |properties: &Properties<'_>| {
        Said::ReasonString.is_in(properties) || Said::UserProperty.is_in(properties)
    };
    let declined = provoked(s, kind, &[Property::RequestProblemInformation(false)]).await?;
    if let Answer::Came { properties, .. } = &declined {
        ensure!(!explained(properties), "nobody asked for problem information: {kind:?} {properties:?}");
    }
    let asked = provoked(s, kind, &[Property::RequestProblemInformation(true)]).await?;
    let explains = matches!(asked, Answer::Came { properties, .. } if explained(&properties));
    s.needs(explains, &format!("a Reason String or User Property in {kind:?}"))?;
    declined.without(kind)
}

/// What a broker says to what should bring it to explain itself.
#[derive(Debug)]
enum Answer {
    /// The packet that was looked for, so many bytes long.
    Came { properties: Properties<'static>, len: usize },
    /// The connection ended without it.
    Ended,
    /// Nothing, and the connection is open.
    Nothing,
}

impl Answer {
    /// That the packet does not come at all where it need not explain anything: a refusal need not be told, and
    /// acknowledgements have to come.
    fn without(self, kind: PacketType) -> Outcome {
        let may_be_left_out = matches!(kind, PacketType::Connack | PacketType::Disconnect | PacketType::Auth);
        match self {
            Answer::Came { .. } => Ok(()),
            Answer::Ended if may_be_left_out => Ok(()),
            other => Err(Stop::failed(format!("expected {kind:?} without a word of explanation: {other:?}"))),
        }
    }
}

/// Brings a broker that explains itself to do so in a packet of that kind.
async fn provoked(s: &Scene, kind: PacketType, asks: &[Property<'_>]) -> Result<Answer, Stop> {
    let mut wire = match kind {
        PacketType::Connack => {
            let (connect, _) = super::connack::refused(s)?;
            said(s, connect, asks).await?
        }
        PacketType::Auth => {
            let method = s.descriptor.authentication.as_ref();
            let method = method.ok_or_else(|| Stop::needs("an authentication method (authentication)"))?;
            said(s, with_method(s, method), asks).await?
        }
        _ => connected(s, asks).await?,
    };
    let topic = || s.descriptor.forbidden_topic.clone().unwrap_or_else(|| s.topic("t"));
    let filter = || s.descriptor.forbidden_filter.clone().unwrap_or_else(|| s.topic("t"));
    let unknown = PacketId::MAX;
    let provocation: Packet<'_> = match kind {
        PacketType::Puback => wire.message(&topic(), "x", QoS::AtLeastOnce).into(),
        PacketType::Pubrec => wire.message(&topic(), "x", QoS::ExactlyOnce).into(),
        PacketType::Pubrel => Pubrec::new(unknown).into(),
        PacketType::Pubcomp => Pubrel::new(unknown).into(),
        PacketType::Suback => wire.subscription(&filter(), QoS::AtMostOnce.into(), None).into(),
        PacketType::Unsuback => wire.unsubscription(&[&s.topic("never")]).into(),
        PacketType::Disconnect => s.connect("a").into(),
        _ => return took(&mut wire, kind).await,
    };
    wire.send(provocation).await?;
    took(&mut wire, kind).await
}

/// The next packet of that kind, before the end and as long as an answer takes.
async fn took(wire: &mut Wire, kind: PacketType) -> Result<Answer, Stop> {
    loop {
        let packet = match wire.next().await? {
            Event::Packet(packet) => packet,
            Event::End => return Ok(Answer::Ended),
            Event::Nothing => return Ok(Answer::Nothing),
        };
        if packet.packet_type() != kind {
            continue;
        }
        let len = wire.last_bytes().len();
        let properties = match packet {
            Packet::Connack(packet) => packet.properties,
            Packet::Puback(packet) => packet.properties,
            Packet::Pubrec(packet) => packet.properties,
            Packet::Pubrel(packet) => packet.properties,
            Packet::Pubcomp(packet) => packet.properties,
            Packet::Suback(packet) => packet.properties,
            Packet::Unsuback(packet) => packet.properties,
            Packet::Disconnect(packet) => packet.properties,
            Packet::Auth(packet) => packet.properties,
            _ => Properties::new(),
        };
        return Ok(Answer::Came { properties, len });
    }
}

/// A connection on which this CONNECT was said, and asked for so much.
async fn said(s: &Scene, mut connect: Connect<'static>, asks: &[Property<'_>]) -> Result<Wire, Stop> {
    for ask in asks {
        connect.properties.push(*ask);
    }
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    Ok(wire)
}

/// A connection that was accepted, and asked for so much.
async fn connected(s: &Scene, asks: &[Property<'_>]) -> Result<Wire, Stop> {
    let mut wire = said(s, s.connect("a"), asks).await?;
    match wire.next().await? {
        Event::Packet(Packet::Connack(connack)) if connack.reason == ReasonCode::Success => Ok(wire),
        Event::Packet(Packet::Connack(_)) | Event::End if asks.len() > 1 => {
            Err(Stop::needs("a CONNACK that is shorter than the answer that is looked for"))
        }
        came => Err(wire.unexpected("CONNACK that accepts", &came)),
    }
}

fn with_method(s: &Scene, method: &Authentication) -> Connect<'static> {
    let mut connect = Connect::new(s.version, s.client_id("a"));
    connect.properties.push(Property::AuthenticationMethod(&method.method));
    connect.properties.push(Property::AuthenticationData(method.data.as_bytes()));
    connect
}
