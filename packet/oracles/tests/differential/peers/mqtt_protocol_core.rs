//! `mqtt-protocol-core`: its packet builder for the frame, its packets' own parsers for the body, with
//! its own check that the body is used up. Its connection above them is not asked: it keeps state.

use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{Property, SubEntry, v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use opifex_packet::Version;

use crate::neutral::{Neutral, NeutralConnect, NeutralProperties, NeutralWill, Value};
use crate::verdict::Verdict;

pub(crate) fn read(bytes: &[u8], version: Version) -> Verdict {
    let mut cursor = Cursor::new(bytes);
    let raw = match PacketBuilder::new().feed(&mut cursor) {
        PacketBuildResult::Complete(raw) => raw,
        PacketBuildResult::Incomplete => return Verdict::Incomplete,
        PacketBuildResult::Error(error) => return Verdict::refused(format_args!("{error:?}")),
    };
    let len = usize::try_from(cursor.position()).expect("a position in a slice");
    let packet = match (raw.packet_type(), version) {
        (1, _) => connect(&raw),
        (_, Version::V5_0) => packet_5_0(&raw),
        (_, Version::V3_1_1 | Version::V3_1) => packet_3_1_1(&raw),
    };
    match packet {
        Ok(packet) => Verdict::Packet { packet: Box::new(packet), len },
        Err(error) => Verdict::refused(format_args!("{error:?}")),
    }
}

/// As its connection does before CONNECT: the level is looked for where 3.1.1 and 5.0 have it.
fn connect(raw: &RawPacket) -> Result<Neutral, MqttError> {
    let plain = Neutral::new(1);
    match raw.data_as_slice().get(6) {
        Some(4) => {
            let it = raw.parse_exact(v3_1_1::Connect::parse)?;
            let will = it.will_topic().map(|topic| NeutralWill {
                qos: it.will_qos() as u8,
                retain: it.will_retain(),
                topic: topic.to_owned(),
                payload: it.will_payload().unwrap_or_default().to_vec(),
                ..NeutralWill::default()
            });
            let connect = NeutralConnect {
                level: it.protocol_version(),
                clean_start: it.clean_session(),
                keep_alive_secs: it.keep_alive(),
                client_id: it.client_id().to_owned(),
                will,
                user_name: it.user_name().map(str::to_owned),
                password: it.password().map(<[u8]>::to_vec),
            };
            Ok(Neutral { connect: Some(connect), ..plain })
        }
        Some(5) => {
            let it = raw.parse_exact(v5_0::Connect::parse)?;
            let will = it.will_topic().map(|topic| NeutralWill {
                qos: it.will_qos() as u8,
                retain: it.will_retain(),
                topic: topic.to_owned(),
                payload: it.will_payload().unwrap_or_default().to_vec(),
                properties: properties(it.will_props()),
            });
            let connect = NeutralConnect {
                level: it.protocol_version(),
                clean_start: it.clean_start(),
                keep_alive_secs: it.keep_alive(),
                client_id: it.client_id().to_owned(),
                will,
                user_name: it.user_name().map(str::to_owned),
                password: it.password().map(<[u8]>::to_vec),
            };
            Ok(Neutral { connect: Some(connect), properties: properties(it.props()), ..plain })
        }
        Some(_) => Err(MqttError::UnsupportedProtocolVersion),
        None => Err(MqttError::MalformedPacket),
    }
}

fn packet_3_1_1(raw: &RawPacket) -> Result<Neutral, MqttError> {
    let plain = Neutral::new(raw.packet_type());
    // What 5.0 made of these packets: success, where 3.1.1 says nothing.
    let ack = |id: u16| Neutral { packet_id: Some(id), reasons: vec![0], ..plain.clone() };
    Ok(match raw.packet_type() {
        2 => {
            let it = raw.parse_exact(v3_1_1::Connack::parse)?;
            let reasons = vec![it.return_code() as u8];
            Neutral { session_present: it.session_present(), reasons, ..plain }
        }
        3 => {
            let PacketData::Publish(body) = &raw.data else { return Err(MqttError::MalformedPacket) };
            let (it, _) = v3_1_1::Publish::parse(raw.flags(), body.clone())?;
            Neutral {
                dup: it.dup(),
                retain: it.retain(),
                qos: it.qos() as u8,
                packet_id: it.packet_id(),
                topic: Some(it.topic_name().to_owned()),
                payload: it.payload().as_slice().to_vec(),
                ..plain
            }
        }
        4 => ack(raw.parse_exact(v3_1_1::Puback::parse)?.packet_id()),
        5 => ack(raw.parse_exact(v3_1_1::Pubrec::parse)?.packet_id()),
        6 => ack(raw.parse_exact(v3_1_1::Pubrel::parse)?.packet_id()),
        7 => ack(raw.parse_exact(v3_1_1::Pubcomp::parse)?.packet_id()),
        8 => {
            let it = raw.parse_exact(v3_1_1::Subscribe::parse)?;
            Neutral { packet_id: Some(it.packet_id()), filters: filters(it.entries()), ..plain }
        }
        9 => {
            let it = raw.parse_exact(v3_1_1::Suback::parse)?;
            let reasons = it.return_codes().into_iter().map(|code| code as u8).collect();
            Neutral { packet_id: Some(it.packet_id()), reasons, ..plain }
        }
        10 => {
            let it = raw.parse_exact(v3_1_1::Unsubscribe::parse)?;
            let filters = it.entries().iter().map(|filter| (filter.as_str().to_owned(), 0)).collect();
            Neutral { packet_id: Some(it.packet_id()), filters, ..plain }
        }
        11 => {
            let it = raw.parse_exact(v3_1_1::Unsuback::parse)?;
            Neutral { packet_id: Some(it.packet_id()), ..plain }
        }
        12 => raw.parse_exact(v3_1_1::Pingreq::parse).map(|_| plain)?,
        13 => raw.parse_exact(v3_1_1::Pingresp::parse).map(|_| plain)?,
        14 => {
            raw.parse_exact(v3_1_1::Disconnect::parse)?;
            Neutral { reasons: vec![0], ..plain }
        }
        _ => return Err(MqttError::MalformedPacket),
    })
}

fn packet_5_0(raw: &RawPacket) -> Result<Neutral, MqttError> {
    let plain = Neutral::new(raw.packet_type());
    let ack = |id: u16, reason: Option<u8>, block: &Option<Vec<Property>>| Neutral {
        packet_id: Some(id),
        reasons: vec![reason.unwrap_or_default()],
        properties: properties(block.as_deref().unwrap_or_default()),
        ..plain.clone()
    };
    Ok(match raw.packet_type() {
        2 => {
            let it = raw.parse_exact(v5_0::Connack::parse)?;
            Neutral {
                session_present: it.session_present(),
                reasons: vec![it.reason_code() as u8],
                properties: properties(it.props()),
                ..plain
            }
        }
        3 => {
            let PacketData::Publish(body) = &raw.data else { return Err(MqttError::MalformedPacket) };
            let (it, _) = v5_0::Publish::parse(raw.flags(), body.clone())?;
            Neutral {
                dup: it.dup(),
                retain: it.retain(),
                qos: it.qos() as u8,
                packet_id: it.packet_id(),
                topic: Some(it.topic_name().to_owned()),
                payload: it.payload().as_slice().to_vec(),
                properties: properties(it.props()),
                ..plain
            }
        }
        4 => {
            let it = raw.parse_exact(v5_0::Puback::parse)?;
            ack(it.packet_id(), it.reason_code().map(|code| code as u8), it.props())
        }
        5 => {
            let it = raw.parse_exact(v5_0::Pubrec::parse)?;
            ack(it.packet_id(), it.reason_code().map(|code| code as u8), it.props())
        }
        6 => {
            let it = raw.parse_exact(v5_0::Pubrel::parse)?;
            ack(it.packet_id(), it.reason_code().map(|code| code as u8), it.props())
        }
        7 => {
            let it = raw.parse_exact(v5_0::Pubcomp::parse)?;
            ack(it.packet_id(), it.reason_code().map(|code| code as u8), it.props())
        }
        8 => {
            let it = raw.parse_exact(v5_0::Subscribe::parse)?;
            Neutral {
                packet_id: Some(it.packet_id()),
                filters: filters(it.entries()),
                properties: properties(it.props()),
                ..plain
            }
        }
        9 => {
            let it = raw.parse_exact(v5_0::Suback::parse)?;
            Neutral {
                packet_id: Some(it.packet_id()),
                reasons: it.reason_codes().into_iter().map(|code| code as u8).collect(),
                properties: properties(it.props()),
                ..plain
            }
        }
        10 => {
            let it = raw.parse_exact(v5_0::Unsubscribe::parse)?;
            Neutral {
                packet_id: Some(it.packet_id()),
                filters: it.entries().iter().map(|filter| (filter.as_str().to_owned(), 0)).collect(),
                properties: properties(it.props()),
                ..plain
            }
        }
        11 => {
            let it = raw.parse_exact(v5_0::Unsuback::parse)?;
            Neutral {
                packet_id: Some(it.packet_id()),
                reasons: it.reason_codes().into_iter().map(|code| code as u8).collect(),
                properties: properties(it.props()),
                ..plain
            }
        }
        12 => raw.parse_exact(v5_0::Pingreq::parse).map(|_| plain)?,
        13 => raw.parse_exact(v5_0::Pingresp::parse).map(|_| plain)?,
        14 => {
            let it = raw.parse_exact(v5_0::Disconnect::parse)?;
            let reasons = vec![it.reason_code().map_or(0, |code| code as u8)];
            Neutral { reasons, properties: properties(it.props().as_deref().unwrap_or_default()), ..plain }
        }
        15 => {
            let it = raw.parse_exact(v5_0::Auth::parse)?;
            let reasons = vec![it.reason_code().map_or(0, |code| code as u8)];
            Neutral { reasons, properties: properties(it.props().as_deref().unwrap_or_default()), ..plain }
        }
        _ => return Err(MqttError::MalformedPacket),
    })
}

fn filters(entries: &[SubEntry]) -> Vec<(String, u8)> {
    let filter = |one: &SubEntry| (one.topic_filter().to_owned(), one.sub_opts().to_buffer()[0]);
    entries.iter().map(filter).collect()
}

fn properties(block: &[Property]) -> NeutralProperties {
    block.iter().map(|property| (property.id() as u8, value(property))).collect()
}

fn value(property: &Property) -> Value {
    match property {
        Property::PayloadFormatIndicator(it) => it.val().into(),
        Property::RequestProblemInformation(it) => it.val().into(),
        Property::RequestResponseInformation(it) => it.val().into(),
        Property::MaximumQos(it) => it.val().into(),
        Property::RetainAvailable(it) => it.val().into(),
        Property::WildcardSubscriptionAvailable(it) => it.val().into(),
        Property::SubscriptionIdentifierAvailable(it) => it.val().into(),
        Property::SharedSubscriptionAvailable(it) => it.val().into(),
        Property::ServerKeepAlive(it) => it.val().into(),
        Property::ReceiveMaximum(it) => it.val().into(),
        Property::TopicAliasMaximum(it) => it.val().into(),
        Property::TopicAlias(it) => it.val().into(),
        Property::MessageExpiryInterval(it) => it.val().into(),
        Property::SessionExpiryInterval(it) => it.val().into(),
        Property::WillDelayInterval(it) => it.val().into(),
        Property::MaximumPacketSize(it) => it.val().into(),
        Property::SubscriptionIdentifier(it) => it.val().into(),
        Property::ContentType(it) => it.val().into(),
        Property::ResponseTopic(it) => it.val().into(),
        Property::AssignedClientIdentifier(it) => it.val().into(),
        Property::AuthenticationMethod(it) => it.val().into(),
        Property::ResponseInformation(it) => it.val().into(),
        Property::ServerReference(it) => it.val().into(),
        Property::ReasonString(it) => it.val().into(),
        Property::CorrelationData(it) => it.val().into(),
        Property::AuthenticationData(it) => it.val().into(),
        Property::UserProperty(it) => (it.key(), it.val()).into(),
    }
}
