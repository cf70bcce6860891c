//! `mqtt-proto`: its headers and its decoders of whole bodies. That a decoder has used up the body is
//! checked here, for it leaves the offset to its caller.

use mqtt_proto::{Error, PollHeader, Protocol, QosPid, v3, v5};
use opifex_packet::Version;

use crate::neutral::{Neutral, NeutralConnect, NeutralProperties, NeutralWill, Value};
use crate::verdict::Verdict;

pub(crate) fn read(bytes: &[u8], version: Version) -> Verdict {
    let is_v5 = match bytes.first() {
        // A CONNECT says itself what it is; what this codec does not know is 3.x to its decoder.
        Some(0x10..=0x1f) => protocol(bytes).is_some_and(|protocol| protocol == Protocol::V500),
        _ => version.is_v5(),
    };
    let answer = if is_v5 { read_v5(bytes) } else { read_v3(bytes) };
    match answer {
        Ok(Some((packet, len))) => Verdict::Packet { packet: Box::new(packet), len },
        Ok(None) => Verdict::Incomplete,
        Err(error) => Verdict::refused(error),
    }
}

type Answer = Result<Option<(Neutral, usize)>, String>;

/// The bytes of the fixed header, which the header itself does not tell.
fn header_len(bytes: &[u8]) -> usize {
    2 + bytes[1..].iter().take_while(|&&byte| byte >= 0x80).count()
}

fn protocol(bytes: &[u8]) -> Option<Protocol> {
    let header = v5::Header::decode(bytes).ok()?;
    let body = bytes.get(header_len(bytes)..)?;
    Protocol::decode(&body[..body.len().min(header.remaining_len as usize)], &mut 0).ok()
}

fn read_v5(bytes: &[u8]) -> Answer {
    let header = match v5::Header::decode(bytes) {
        Ok(header) => header,
        Err(error) if error.is_eof() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let len = header_len(bytes) + header.remaining_len as usize;
    let Some(body) = bytes.get(header_len(bytes)..len) else { return Ok(None) };
    if let Some(packet) = header.build_empty_packet() {
        return if body.is_empty() { Ok(Some((neutral_v5(packet), len))) } else { Err(unused(body)) };
    }
    let mut offset = 0;
    let packet = header.decode_buffer(body, &mut offset).map_err(|error| error.to_string())?;
    if offset < body.len() { Err(unused(&body[offset..])) } else { Ok(Some((neutral_v5(packet), len))) }
}

fn read_v3(bytes: &[u8]) -> Answer {
    let header = match v3::Header::decode(bytes) {
        Ok(header) => header,
        Err(error) if error.is_eof() => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let len = header_len(bytes) + header.remaining_len as usize;
    let Some(body) = bytes.get(header_len(bytes)..len) else { return Ok(None) };
    if let Some(packet) = header.build_empty_packet() {
        return if body.is_empty() { Ok(Some((neutral_v3(packet), len))) } else { Err(unused(body)) };
    }
    let mut offset = 0;
    let packet = header.decode_buffer(body, &mut offset).map_err(|error: Error| error.to_string())?;
    if offset < body.len() { Err(unused(&body[offset..])) } else { Ok(Some((neutral_v3(packet), len))) }
}

fn unused(rest: &[u8]) -> String {
    format!("{} bytes are left", rest.len())
}

fn neutral_v3(packet: v3::Packet) -> Neutral {
    let ack = |packet_type, pid: mqtt_proto::Pid| Neutral {
        packet_id: Some(pid.value()),
        reasons: vec![0],
        ..Neutral::new(packet_type)
    };
    match packet {
        v3::Packet::Connect(it) => Neutral {
            connect: Some(NeutralConnect {
                level: it.protocol as u8,
                clean_start: it.clean_session,
                keep_alive_secs: it.keep_alive,
                client_id: it.client_id.to_string(),
                will: it.last_will.map(|will| NeutralWill {
                    qos: will.qos as u8,
                    retain: will.retain,
                    topic: will.topic_name.to_string(),
                    payload: will.message.to_vec(),
                    ..NeutralWill::default()
                }),
                user_name: it.username.map(|name| name.to_string()),
                password: it.password.map(|password| password.to_vec()),
            }),
            ..Neutral::new(1)
        },
        v3::Packet::Connack(it) => {
            Neutral { session_present: it.session_present, reasons: vec![it.code as u8], ..Neutral::new(2) }
        }
        v3::Packet::Publish(it) => Neutral {
            dup: it.dup,
            retain: it.retain,
            topic: Some(it.topic_name.to_string()),
            payload: it.payload.to_vec(),
            ..delivery(it.qos_pid)
        },
        v3::Packet::Puback(pid) => ack(4, pid),
        v3::Packet::Pubrec(pid) => ack(5, pid),
        v3::Packet::Pubrel(pid) => ack(6, pid),
        v3::Packet::Pubcomp(pid) => ack(7, pid),
        v3::Packet::Subscribe(it) => Neutral {
            packet_id: Some(it.pid.value()),
            filters: it.topics.iter().map(|(filter, qos)| (filter.to_string(), *qos as u8)).collect(),
            ..Neutral::new(8)
        },
        v3::Packet::Suback(it) => Neutral {
            packet_id: Some(it.pid.value()),
            // This enum numbers its variants from 0.
            reasons: it
                .topics
                .iter()
                .map(|code| match code {
                    v3::SubscribeReturnCode::MaxLevel0 => 0,
                    v3::SubscribeReturnCode::MaxLevel1 => 1,
                    v3::SubscribeReturnCode::MaxLevel2 => 2,
                    v3::SubscribeReturnCode::Failure => 0x80,
                })
                .collect(),
            ..Neutral::new(9)
        },
        v3::Packet::Unsubscribe(it) => Neutral {
            packet_id: Some(it.pid.value()),
            filters: it.topics.iter().map(|filter| (filter.to_string(), 0)).collect(),
            ..Neutral::new(10)
        },
        v3::Packet::Unsuback(pid) => Neutral { packet_id: Some(pid.value()), ..Neutral::new(11) },
        v3::Packet::Pingreq => Neutral::new(12),
        v3::Packet::Pingresp => Neutral::new(13),
        v3::Packet::Disconnect => Neutral { reasons: vec![0], ..Neutral::new(14) },
    }
}

fn neutral_v5(packet: v5::Packet) -> Neutral {
    match packet {
        v5::Packet::Connect(it) => Neutral {
            connect: Some(NeutralConnect {
                level: it.protocol as u8,
                clean_start: it.clean_start,
                keep_alive_secs: it.keep_alive,
                client_id: it.client_id.to_string(),
                will: it.last_will.map(|will| NeutralWill {
                    qos: will.qos as u8,
                    retain: will.retain,
                    topic: will.topic_name.to_string(),
                    payload: will.payload.to_vec(),
                    properties: will_properties(&will.properties),
                }),
                user_name: it.username.map(|name| name.to_string()),
                password: it.password.map(|password| password.to_vec()),
            }),
            properties: connect_properties(&it.properties),
            ..Neutral::new(1)
        },
        v5::Packet::Connack(it) => Neutral {
            session_present: it.session_present,
            reasons: vec![it.reason_code as u8],
            properties: connack_properties(&it.properties),
            ..Neutral::new(2)
        },
        v5::Packet::Publish(it) => Neutral {
            dup: it.dup,
            retain: it.retain,
            topic: Some(it.topic_name.to_string()),
            payload: it.payload.to_vec(),
            properties: publish_properties(&it.properties),
            ..delivery(it.qos_pid)
        },
        v5::Packet::Puback(it) => ack(
            4,
            it.pid,
            [it.reason_code as u8],
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Pubrec(it) => ack(
            5,
            it.pid,
            [it.reason_code as u8],
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Pubrel(it) => ack(
            6,
            it.pid,
            [it.reason_code as u8],
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Pubcomp(it) => ack(
            7,
            it.pid,
            [it.reason_code as u8],
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Suback(it) => ack(
            9,
            it.pid,
            it.topics.iter().map(|&code| code as u8),
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Unsuback(it) => ack(
            11,
            it.pid,
            it.topics.iter().map(|&code| code as u8),
            &it.properties.reason_string,
            &it.properties.user_properties,
        ),
        v5::Packet::Subscribe(it) => Neutral {
            packet_id: Some(it.pid.value()),
            filters: it
                .topics
                .iter()
                .map(|(filter, options)| (filter.to_string(), options.to_u8()))
                .collect(),
            properties: some(0x0b, it.properties.subscription_id.map(v5::VarByteInt::value))
                .chain(user(&it.properties.user_properties))
                .collect(),
            ..Neutral::new(8)
        },
        v5::Packet::Unsubscribe(it) => Neutral {
            packet_id: Some(it.pid.value()),
            filters: it.topics.iter().map(|filter| (filter.to_string(), 0)).collect(),
            properties: user(&it.properties.user_properties).collect(),
            ..Neutral::new(10)
        },
        v5::Packet::Pingreq => Neutral::new(12),
        v5::Packet::Pingresp => Neutral::new(13),
        v5::Packet::Disconnect(it) => Neutral {
            reasons: vec![it.reason_code as u8],
            properties: some(0x11, it.properties.session_expiry_interval)
                .chain(some(0x1f, it.properties.reason_string.as_deref()))
                .chain(some(0x1c, it.properties.server_reference.as_deref()))
                .chain(user(&it.properties.user_properties))
                .collect(),
            ..Neutral::new(14)
        },
        v5::Packet::Auth(it) => Neutral {
            reasons: vec![it.reason_code as u8],
            properties: some(0x15, it.properties.auth_method.as_deref())
                .chain(some(0x16, it.properties.auth_data.as_deref()))
                .chain(some(0x1f, it.properties.reason_string.as_deref()))
                .chain(user(&it.properties.user_properties))
                .collect(),
            ..Neutral::new(15)
        },
    }
}

/// A PUBLISH with its QoS and packet identifier.
fn delivery(qos_pid: QosPid) -> Neutral {
    Neutral { qos: qos_pid.qos() as u8, packet_id: qos_pid.pid().map(|pid| pid.value()), ..Neutral::new(3) }
}

fn ack(
    packet_type: u8,
    pid: mqtt_proto::Pid,
    reasons: impl IntoIterator<Item = u8>,
    reason_string: &Option<std::sync::Arc<str>>,
    user_properties: &[v5::UserProperty],
) -> Neutral {
    Neutral {
        packet_id: Some(pid.value()),
        reasons: reasons.into_iter().collect(),
        properties: some(0x1f, reason_string.as_deref()).chain(user(user_properties)).collect(),
        ..Neutral::new(packet_type)
    }
}

fn some(id: u8, value: Option<impl Into<Value>>) -> impl Iterator<Item = (u8, Value)> {
    value.map(|value| (id, value.into())).into_iter()
}

fn user(properties: &[v5::UserProperty]) -> impl Iterator<Item = (u8, Value)> {
    properties.iter().map(|one| (0x26, (&*one.name, &*one.value).into()))
}

fn connect_properties(it: &v5::ConnectProperties) -> NeutralProperties {
    some(0x11, it.session_expiry_interval)
        .chain(some(0x21, it.receive_max))
        .chain(some(0x27, it.max_packet_size))
        .chain(some(0x22, it.topic_alias_max))
        .chain(some(0x19, it.request_response_info))
        .chain(some(0x17, it.request_problem_info))
        .chain(some(0x15, it.auth_method.as_deref()))
        .chain(some(0x16, it.auth_data.as_deref()))
        .chain(user(&it.user_properties))
        .collect()
}

fn will_properties(it: &v5::WillProperties) -> NeutralProperties {
    some(0x18, it.delay_interval)
        .chain(some(0x01, it.payload_is_utf8))
        .chain(some(0x02, it.message_expiry_interval))
        .chain(some(0x03, it.content_type.as_deref()))
        .chain(some(0x08, it.response_topic.as_deref()))
        .chain(some(0x09, it.correlation_data.as_deref()))
        .chain(user(&it.user_properties))
        .collect()
}

fn connack_properties(it: &v5::ConnackProperties) -> NeutralProperties {
    some(0x11, it.session_expiry_interval)
        .chain(some(0x21, it.receive_max))
        .chain(some(0x24, it.max_qos.map(|qos| qos as u8)))
        .chain(some(0x25, it.retain_available))
        .chain(some(0x27, it.max_packet_size))
        .chain(some(0x12, it.assigned_client_id.as_deref()))
        .chain(some(0x22, it.topic_alias_max))
        .chain(some(0x1f, it.reason_string.as_deref()))
        .chain(some(0x28, it.wildcard_subscription_available))
        .chain(some(0x29, it.subscription_id_available))
        .chain(some(0x2a, it.shared_subscription_available))
        .chain(some(0x13, it.server_keep_alive))
        .chain(some(0x1a, it.response_info.as_deref()))
        .chain(some(0x1c, it.server_reference.as_deref()))
        .chain(some(0x15, it.auth_method.as_deref()))
        .chain(some(0x16, it.auth_data.as_deref()))
        .chain(user(&it.user_properties))
        .collect()
}

fn publish_properties(it: &v5::PublishProperties) -> NeutralProperties {
    some(0x01, it.payload_is_utf8)
        .chain(some(0x02, it.message_expiry_interval))
        .chain(some(0x23, it.topic_alias))
        .chain(some(0x08, it.response_topic.as_deref()))
        .chain(some(0x09, it.correlation_data.as_deref()))
        .chain(some(0x0b, it.subscription_id.map(v5::VarByteInt::value)))
        .chain(some(0x03, it.content_type.as_deref()))
        .chain(user(&it.user_properties))
        .collect()
}
