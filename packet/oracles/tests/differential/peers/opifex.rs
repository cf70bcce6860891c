//! Our own codec's packets in neutral words.

use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Packet, PacketId, Properties, Property, Publish, ReasonCode,
    Role, Version, Will, decode,
};

use crate::neutral::{Neutral, NeutralConnect, NeutralProperties, NeutralWill, Value};
use crate::verdict::Verdict;

pub(crate) fn read(bytes: &[u8], version: Version, role: Role) -> Verdict {
    match decode(bytes, &DecodeOptions::new(version, role)) {
        Ok(Decoded::Packet { packet, len }) => {
            Verdict::Packet { packet: Box::new(neutral(&packet, version)), len }
        }
        Ok(Decoded::Incomplete { .. }) => Verdict::Incomplete,
        Err(error) => {
            Verdict::Refused { statement: Some(error.statement()), why: error.message().to_owned() }
        }
    }
}

fn neutral(packet: &Packet<'_>, version: Version) -> Neutral {
    let plain = Neutral::new(packet.packet_type() as u8);
    match packet {
        Packet::Connect(packet) => connect(packet, plain),
        Packet::Connack(packet) => connack(packet, version, plain),
        Packet::Publish(packet) => publish(packet, plain),
        Packet::Puback(packet) => ack(packet.packet_id, &[packet.reason], &packet.properties, plain),
        Packet::Pubrec(packet) => ack(packet.packet_id, &[packet.reason], &packet.properties, plain),
        Packet::Pubrel(packet) => ack(packet.packet_id, &[packet.reason], &packet.properties, plain),
        Packet::Pubcomp(packet) => ack(packet.packet_id, &[packet.reason], &packet.properties, plain),
        Packet::Suback(packet) => ack(packet.packet_id, &packet.reasons, &packet.properties, plain),
        Packet::Unsuback(packet) => ack(packet.packet_id, &packet.reasons, &packet.properties, plain),
        Packet::Subscribe(packet) => Neutral {
            packet_id: Some(packet.packet_id.get()),
            filters: packet
                .subscriptions
                .iter()
                .map(|one| (one.filter.as_str().to_owned(), one.options.to_byte()))
                .collect(),
            properties: properties(&packet.properties),
            ..plain
        },
        Packet::Unsubscribe(packet) => Neutral {
            packet_id: Some(packet.packet_id.get()),
            filters: packet.filters.iter().map(|filter| (filter.as_str().to_owned(), 0)).collect(),
            properties: properties(&packet.properties),
            ..plain
        },
        Packet::Disconnect(packet) => Neutral {
            reasons: vec![u8::from(packet.reason)],
            properties: properties(&packet.properties),
            ..plain
        },
        Packet::Auth(packet) => Neutral {
            reasons: vec![u8::from(packet.reason)],
            properties: properties(&packet.properties),
            ..plain
        },
        Packet::Pingreq | Packet::Pingresp => plain,
    }
}

fn connect(packet: &Connect<'_>, plain: Neutral) -> Neutral {
    Neutral {
        connect: Some(NeutralConnect {
            level: packet.version.level(),
            clean_start: packet.clean_start,
            keep_alive_secs: packet.keep_alive_secs,
            client_id: packet.client_id.to_string(),
            will: packet.will.as_ref().map(will),
            user_name: packet.user_name.as_ref().map(|name| name.to_string()),
            password: packet.password.as_ref().map(|password| password.to_vec()),
        }),
        properties: properties(&packet.properties),
        ..plain
    }
}

fn will(will: &Will<'_>) -> NeutralWill {
    NeutralWill {
        qos: u8::from(will.qos),
        retain: will.retain,
        topic: will.topic.as_str().to_owned(),
        payload: will.payload.to_vec(),
        properties: properties(&will.properties),
    }
}

fn connack(packet: &Connack<'_>, version: Version, plain: Neutral) -> Neutral {
    let reason = match packet.reason {
        ReasonCode::Success => 0,
        reason if version.is_v5() => u8::from(reason),
        reason => reason.connect_return_code().expect("3.x reads return codes only"),
    };
    Neutral {
        session_present: packet.session_present,
        reasons: vec![reason],
        properties: properties(&packet.properties),
        ..plain
    }
}

fn publish(packet: &Publish<'_>, plain: Neutral) -> Neutral {
    Neutral {
        dup: packet.dup,
        retain: packet.retain,
        qos: u8::from(packet.qos()),
        packet_id: packet.delivery.packet_id().map(PacketId::get),
        topic: Some(packet.topic.as_ref().map_or(String::new(), |topic| topic.as_str().to_owned())),
        payload: packet.payload.to_vec(),
        properties: properties(&packet.properties),
        ..plain
    }
}

fn ack(id: PacketId, reasons: &[ReasonCode], block: &Properties<'_>, plain: Neutral) -> Neutral {
    Neutral {
        packet_id: Some(id.get()),
        reasons: reasons.iter().map(|&reason| u8::from(reason)).collect(),
        properties: properties(block),
        ..plain
    }
}

fn properties(block: &Properties<'_>) -> NeutralProperties {
    block.iter().map(|property| (property.id(), value(property))).collect()
}

fn value(property: Property<'_>) -> Value {
    match property {
        Property::PayloadFormatIndicator(flag)
        | Property::RequestProblemInformation(flag)
        | Property::RequestResponseInformation(flag)
        | Property::RetainAvailable(flag)
        | Property::WildcardSubscriptionAvailable(flag)
        | Property::SubscriptionIdentifierAvailable(flag)
        | Property::SharedSubscriptionAvailable(flag) => flag.into(),
        Property::MaximumQoS(number) => number.into(),
        Property::ServerKeepAlive(number)
        | Property::ReceiveMaximum(number)
        | Property::TopicAliasMaximum(number)
        | Property::TopicAlias(number) => number.into(),
        Property::MessageExpiryInterval(number)
        | Property::SessionExpiryInterval(number)
        | Property::WillDelayInterval(number)
        | Property::MaximumPacketSize(number)
        | Property::SubscriptionIdentifier(number) => number.into(),
        Property::ContentType(text)
        | Property::ResponseTopic(text)
        | Property::AssignedClientIdentifier(text)
        | Property::AuthenticationMethod(text)
        | Property::ResponseInformation(text)
        | Property::ServerReference(text)
        | Property::ReasonString(text) => text.into(),
        Property::CorrelationData(bytes) | Property::AuthenticationData(bytes) => bytes.into(),
        Property::UserProperty(name, value) => (name, value).into(),
    }
}
