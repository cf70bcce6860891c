//! `rumqttc-v4-next`, which calls 3.1.1 by its protocol level.

use bytes::BytesMut;
use rumqttc_v4::mqttbytes::v4::{ConnectAuth, Packet, SubscribeReasonCode};
use rumqttc_v4::mqttbytes::{Error, check};

use crate::neutral::{Neutral, NeutralConnect, NeutralWill};
use crate::verdict::Verdict;

pub(super) fn read(bytes: &[u8]) -> Verdict {
    // Asked first, because bodies too are said to lack bytes where none can follow.
    if let Err(Error::InsufficientBytes(_)) = check(bytes.iter(), usize::MAX) {
        return Verdict::Incomplete;
    }
    let mut stream = BytesMut::from(bytes);
    match Packet::read(&mut stream, usize::MAX).and_then(neutral) {
        Ok(packet) => Verdict::Packet { packet: Box::new(packet), len: bytes.len() - stream.len() },
        Err(error) => Verdict::refused(error),
    }
}

fn neutral(packet: Packet) -> Result<Neutral, Error> {
    let plain = Neutral::new(packet.packet_type() as u8);
    // What 5.0 made of these packets: success, where 3.1.1 says nothing.
    let ack = |id: u16| Neutral { packet_id: Some(id), reasons: vec![0], ..plain.clone() };
    Ok(match packet {
        Packet::Connect(it) => {
            let (user_name, password) = match it.auth {
                ConnectAuth::None => (None, None),
                ConnectAuth::Username { username } => (Some(username), None),
                ConnectAuth::UsernamePassword { username, password } => {
                    (Some(username), Some(password.to_vec()))
                }
            };
            let connect = NeutralConnect {
                level: 4,
                clean_start: it.clean_session,
                keep_alive_secs: it.keep_alive,
                client_id: it.client_id,
                will: it.last_will.map(|will| NeutralWill {
                    qos: will.qos as u8,
                    retain: will.retain,
                    topic: will.topic,
                    payload: will.message.to_vec(),
                    ..NeutralWill::default()
                }),
                user_name,
                password,
            };
            Neutral { connect: Some(connect), ..plain }
        }
        Packet::ConnAck(it) => {
            Neutral { session_present: it.session_present, reasons: vec![it.code as u8], ..plain }
        }
        Packet::Publish(it) => Neutral {
            dup: it.dup,
            retain: it.retain,
            qos: it.qos as u8,
            packet_id: (it.pkid != 0).then_some(it.pkid),
            topic: Some(String::from_utf8(it.topic.to_vec()).map_err(|_| Error::MalformedPacket)?),
            payload: it.payload.to_vec(),
            ..plain
        },
        Packet::PubAck(it) => ack(it.pkid),
        Packet::PubRec(it) => ack(it.pkid),
        Packet::PubRel(it) => ack(it.pkid),
        Packet::PubComp(it) => ack(it.pkid),
        Packet::Subscribe(it) => Neutral {
            packet_id: Some(it.pkid),
            filters: it.filters.into_iter().map(|one| (one.path, one.qos as u8)).collect(),
            ..plain
        },
        Packet::SubAck(it) => {
            let reason = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(qos) => *qos as u8,
                SubscribeReasonCode::Failure => 0x80,
            };
            Neutral {
                packet_id: Some(it.pkid),
                reasons: it.return_codes.iter().map(reason).collect(),
                ..plain
            }
        }
        Packet::Unsubscribe(it) => Neutral {
            packet_id: Some(it.pkid),
            filters: it.topics.into_iter().map(|topic| (topic, 0)).collect(),
            ..plain
        },
        Packet::UnsubAck(it) => Neutral { packet_id: Some(it.pkid), ..plain },
        Packet::PingReq | Packet::PingResp => plain,
        Packet::Disconnect => Neutral { reasons: vec![0], ..plain },
    })
}
