//! `rumqttc-v5-next`: its packets have a field a property, so that the last of several counts.

mod properties;

use bytes::BytesMut;
use rumqttc_v5::mqttbytes::v5::{
    AuthReasonCode, Connect, ConnectAuth, ConnectReturnCode, LastWill, Packet, RetainForwardRule,
    SubscribeFilter, SubscribeReasonCode,
};
use rumqttc_v5::mqttbytes::{Error, check};

use crate::neutral::{Neutral, NeutralConnect, NeutralWill};
use crate::verdict::Verdict;

/// Its errors are passed on: one of them says that the version is another one.
pub(super) fn read(bytes: &[u8]) -> Result<Verdict, Error> {
    // Asked first, because bodies too are said to lack bytes where none can follow.
    if let Err(Error::InsufficientBytes(_)) = check(bytes.iter(), None) {
        return Ok(Verdict::Incomplete);
    }
    let mut stream = BytesMut::from(bytes);
    let packet = neutral(Packet::read(&mut stream, None)?)?;
    Ok(Verdict::Packet { packet: Box::new(packet), len: bytes.len() - stream.len() })
}

fn neutral(packet: Packet) -> Result<Neutral, Error> {
    let plain = Neutral::new(packet.packet_type() as u8);
    let ack = |id: u16, reason: u8| Neutral { packet_id: Some(id), reasons: vec![reason], ..plain.clone() };
    Ok(match packet {
        Packet::Connect(it, will, auth) => connect(it, will, auth, plain)?,
        Packet::ConnAck(it) => Neutral {
            session_present: it.session_present,
            reasons: vec![return_code(it.code)],
            properties: properties::connack(it.properties),
            ..plain
        },
        Packet::Publish(it) => Neutral {
            dup: it.dup,
            retain: it.retain,
            qos: it.qos as u8,
            packet_id: (it.pkid != 0).then_some(it.pkid),
            topic: Some(String::from_utf8(it.topic.to_vec()).map_err(|_| Error::MalformedPacket)?),
            payload: it.payload.to_vec(),
            properties: properties::publish(it.properties),
            ..plain
        },
        Packet::PubAck(it) => Neutral {
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..ack(it.pkid, it.reason as u8)
        },
        Packet::PubRec(it) => Neutral {
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..ack(it.pkid, it.reason as u8)
        },
        Packet::PubRel(it) => Neutral {
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..ack(it.pkid, it.reason as u8)
        },
        Packet::PubComp(it) => Neutral {
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..ack(it.pkid, it.reason as u8)
        },
        Packet::Subscribe(it) => Neutral {
            packet_id: Some(it.pkid),
            filters: it.filters.into_iter().map(filter).collect(),
            properties: properties::subscribe(it.properties),
            ..plain
        },
        Packet::SubAck(it) => Neutral {
            packet_id: Some(it.pkid),
            reasons: it.return_codes.into_iter().map(subscribe_reason).collect(),
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..plain
        },
        Packet::Unsubscribe(it) => Neutral {
            packet_id: Some(it.pkid),
            filters: it.filters.into_iter().map(|filter| (filter, 0)).collect(),
            properties: properties::ack(it.properties.map(|it| (None, it.user_properties))),
            ..plain
        },
        Packet::UnsubAck(it) => Neutral {
            packet_id: Some(it.pkid),
            reasons: it.reasons.into_iter().map(|reason| reason as u8).collect(),
            properties: properties::ack(it.properties.map(|it| (it.reason_string, it.user_properties))),
            ..plain
        },
        Packet::PingReq | Packet::PingResp => plain,
        Packet::Disconnect(it) => Neutral {
            reasons: vec![it.reason_code as u8],
            properties: properties::disconnect(it.properties),
            ..plain
        },
        Packet::Auth(it) => Neutral {
            reasons: vec![match it.code {
                AuthReasonCode::Success => 0x00,
                AuthReasonCode::Continue => 0x18,
                AuthReasonCode::ReAuthenticate => 0x19,
            }],
            properties: properties::auth(it.properties),
            ..plain
        },
    })
}

fn connect(it: Connect, will: Option<LastWill>, auth: ConnectAuth, plain: Neutral) -> Result<Neutral, Error> {
    let (user_name, password) = match auth {
        ConnectAuth::None => (None, None),
        ConnectAuth::Username { username } => (Some(username), None),
        ConnectAuth::Password { password } => (None, Some(password.to_vec())),
        ConnectAuth::UsernamePassword { username, password } => (Some(username), Some(password.to_vec())),
    };
    let will = match will {
        None => None,
        Some(will) => Some(NeutralWill {
            qos: will.qos as u8,
            retain: will.retain,
            topic: String::from_utf8(will.topic.to_vec()).map_err(|_| Error::MalformedPacket)?,
            payload: will.message.to_vec(),
            properties: properties::will(will.properties),
        }),
    };
    let connect = NeutralConnect {
        level: 5,
        clean_start: it.clean_start,
        keep_alive_secs: it.keep_alive,
        client_id: it.client_id,
        will,
        user_name,
        password,
    };
    Ok(Neutral { connect: Some(connect), properties: properties::connect(it.properties), ..plain })
}

fn filter(it: SubscribeFilter) -> (String, u8) {
    let retain_handling = match it.retain_forward_rule {
        RetainForwardRule::OnEverySubscribe => 0,
        RetainForwardRule::OnNewSubscribe => 1,
        RetainForwardRule::Never => 2,
    };
    let options =
        retain_handling << 4 | u8::from(it.preserve_retain) << 3 | u8::from(it.nolocal) << 2 | it.qos as u8;
    (it.path, options)
}

/// Its number is not public; those of 3.x in the same list are not read here.
fn return_code(code: ConnectReturnCode) -> u8 {
    match code {
        ConnectReturnCode::Success => 0x00,
        ConnectReturnCode::UnspecifiedError => 0x80,
        ConnectReturnCode::MalformedPacket => 0x81,
        ConnectReturnCode::ProtocolError => 0x82,
        ConnectReturnCode::ImplementationSpecificError => 0x83,
        ConnectReturnCode::UnsupportedProtocolVersion => 0x84,
        ConnectReturnCode::ClientIdentifierNotValid => 0x85,
        ConnectReturnCode::BadUserNamePassword => 0x86,
        ConnectReturnCode::NotAuthorized => 0x87,
        ConnectReturnCode::ServerUnavailable => 0x88,
        ConnectReturnCode::ServerBusy => 0x89,
        ConnectReturnCode::Banned => 0x8a,
        ConnectReturnCode::BadAuthenticationMethod => 0x8c,
        ConnectReturnCode::TopicNameInvalid => 0x90,
        ConnectReturnCode::PacketTooLarge => 0x95,
        ConnectReturnCode::QuotaExceeded => 0x97,
        ConnectReturnCode::PayloadFormatInvalid => 0x99,
        ConnectReturnCode::RetainNotSupported => 0x9a,
        ConnectReturnCode::QoSNotSupported => 0x9b,
        ConnectReturnCode::UseAnotherServer => 0x9c,
        ConnectReturnCode::ServerMoved => 0x9d,
        ConnectReturnCode::ConnectionRateExceeded => 0x9f,
        ConnectReturnCode::RefusedProtocolVersion => 1,
        ConnectReturnCode::BadClientId => 2,
        ConnectReturnCode::ServiceUnavailable => 3,
    }
}

fn subscribe_reason(code: SubscribeReasonCode) -> u8 {
    match code {
        SubscribeReasonCode::Success(qos) => qos as u8,
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => 0x80,
        SubscribeReasonCode::ImplementationSpecific => 0x83,
        SubscribeReasonCode::NotAuthorized => 0x87,
        SubscribeReasonCode::TopicFilterInvalid => 0x8f,
        SubscribeReasonCode::PkidInUse => 0x91,
        SubscribeReasonCode::QuotaExceeded => 0x97,
        SubscribeReasonCode::SharedSubscriptionsNotSupported => 0x9e,
        SubscribeReasonCode::SubscriptionIdNotSupported => 0xa1,
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => 0xa2,
    }
}
