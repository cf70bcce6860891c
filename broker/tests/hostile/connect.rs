//! CONNECT: what it may say, and that nothing comes before it.

use std::time::Duration;

use opifex_broker::{
    AccessControl, Action, Credentials, Identity, Limits, Peer as Origin, Verdict, VerdictFuture,
};
use opifex_packet::raw::RawPacket;
use opifex_packet::{
    Auth, Connect, Disconnect, Packet, Properties, Property, QoS, ReasonCode, TopicName, Version, Will,
};

use crate::house::{House, PATIENCE};
use crate::peer::*;

#[tokio::test]
async fn every_packet_before_connect_closes_without_a_word() {
    let mut house = House::start().await;
    for first_byte in
        [0x20, 0x30, 0x32, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0]
    {
        let bytes = RawPacket::new(first_byte).u16(1).string("a").u8(0).to_bytes();
        house.turns_away(Version::V5_0, &bytes, None).await;
        house.turns_away(Version::V5_0, &[first_byte, 0], None).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_packet_before_connect_closes_at_its_first_byte() {
    let limits = Limits { connect_timeout: 100 * PATIENCE, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    for first_byte in [0x30, 0x82, 0xc0, 0xe0, 0xf0] {
        house.turns_away(Version::V5_0, &[first_byte], None).await;
        house.turns_away(Version::V5_0, &[first_byte, 0xff, 0x7f, 0x00], None).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn http_tls_and_websocket_clients_are_turned_away() {
    let mut house = House::start().await;
    let tls = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03];
    house.turns_away(Version::V5_0, b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n", None).await;
    house.turns_away(Version::V5_0, &tls, None).await;
    house.turns_away(Version::V5_0, b"SSH-2.0-OpenSSH_9.2\r\n", None).await;
    house.finish().await;
}

#[tokio::test]
async fn a_wrong_protocol_name_is_turned_away() {
    let mut house = House::start().await;
    for name in ["", "MQTt", "mqtt", "MQTTX", "MQIsdP", "AMQP", "MQTT\u{2764}"] {
        for level in [3, 4, 5] {
            let bytes = RawPacket::new(0x10).string(name).u8(level).u8(2).u16(0).u8(0).string("c").to_bytes();
            house.turns_away(Version::V3_1_1, &bytes, None).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn an_unknown_protocol_level_is_told_so() {
    let mut house = House::start().await;
    let refused = Some(ReasonCode::UnsupportedProtocolVersion);
    for (name, level) in [("MQTT", 0), ("MQTT", 2), ("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 2)] {
        let bytes = RawPacket::new(0x10).string(name).u8(level).u8(2).u16(0).string("c").to_bytes();
        house.turns_away(Version::V3_1_1, &bytes, refused).await;
    }
    for level in [6, 7, 0x84, 0xff] {
        let bytes = RawPacket::new(0x10).string("MQTT").u8(level).u8(2).u16(0).string("c").to_bytes();
        house.turns_away(Version::V5_0, &bytes, refused).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn the_reserved_connect_flag_is_refused() {
    let mut house = House::start().await;
    for version in ALL {
        let bytes = raw_connect(version, 0x03).string("c").to_bytes();
        house.turns_away(version, &bytes, version.is_v5().then_some(ReasonCode::MalformedPacket)).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn reserved_flags_of_the_fixed_header_of_connect_are_refused() {
    let mut house = House::start().await;
    for version in ALL {
        let mut bytes = encoded(Connect::new(version, "c"), version);
        bytes[0] |= 0x02;
        house.turns_away(version, &bytes, version.is_v5().then_some(ReasonCode::MalformedPacket)).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn will_flags_that_contradict_each_other_are_refused() {
    let mut house = House::start().await;
    // QoS without will, retain without will, QoS 3.
    for flags in [0x0a, 0x12, 0x22, 0x1e] {
        let will =
            |packet: RawPacket, version| no_properties(packet.string("c"), version).string("w").string("p");
        for version in [Version::V3_1_1, Version::V5_0] {
            let bytes = will(raw_connect(version, flags), version).to_bytes();
            house.turns_away(version, &bytes, version.is_v5().then_some(ReasonCode::MalformedPacket)).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_password_without_a_user_name_is_refused_before_5_0() {
    let mut house = House::start().await;
    let bytes = |version| raw_connect(version, 0x42).string("c").string("secret").to_bytes();
    for version in V3 {
        house.turns_away(version, &bytes(version), None).await;
    }
    let mut peer = house.open(Version::V5_0).await;
    peer.send_bytes(&bytes(Version::V5_0)).await;
    assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn bad_text_in_any_field_of_connect_is_refused() {
    let mut house = House::start().await;
    for version in ALL {
        let refused = version.is_v5().then_some(ReasonCode::MalformedPacket);
        for bad in BAD_TEXT {
            let client_id = raw_connect(version, 0x02).binary(bad);
            let user = raw_connect(version, 0x82).string("c").binary(bad);
            let will = no_properties(raw_connect(version, 0x06).string("c"), version).binary(bad).string("p");
            for packet in [client_id, user, will] {
                house.turns_away(version, &packet.to_bytes(), refused).await;
            }
            let name = RawPacket::new(0x10).binary(bad).u8(version.level()).u8(2).u16(0).string("c");
            house.turns_away(version, &name.to_bytes(), None).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_will_to_a_wildcard_or_to_nothing_is_refused() {
    let mut house = House::start().await;
    for version in ALL {
        for topic in ["a/+", "#", ""] {
            let packet =
                no_properties(raw_connect(version, 0x06).string("c"), version).string(topic).string("p");
            let refused = version.is_v5().then_some(ReasonCode::MalformedPacket);
            house.turns_away(version, &packet.to_bytes(), refused).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_connect_that_is_cut_short_or_goes_on_is_refused() {
    let mut house = House::start().await;
    for version in ALL {
        let mut connect = Connect::new(version, "client");
        connect.user_name = Some("user".into());
        connect.password = Some(b"word"[..].into());
        connect.will = Some(Will::new(TopicName::new("w").unwrap(), &b"p"[..]));
        let whole = RawPacket::of(&connect.into(), version);
        for len in 0..whole.body.len() {
            let mut cut = whole.clone();
            cut.body.truncate(len);
            let mut peer = house.open(version).await;
            peer.send_bytes(&cut.to_bytes()).await;
            match peer.next().await {
                None => {}
                Some(Packet::Connack(connack)) if connack.reason.is_error() => peer.expect_closed().await,
                // 3.1: the remaining length takes precedence over the flags of user name and password.
                Some(Packet::Connack(_)) if version == Version::V3_1 => {}
                other => panic!("a CONNECT cut at {len} was answered {other:?}"),
            }
        }
        house.bystanders_are_served().await;
        let more = whole.u8(0).to_bytes();
        house.turns_away(version, &more, version.is_v5().then_some(ReasonCode::MalformedPacket)).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn an_empty_client_id_is_refused_where_the_session_would_be_lost() {
    let mut house = House::start().await;
    let refused = Some(ReasonCode::ClientIdentifierNotValid);
    for flags in [0x00, 0x02] {
        let bytes = raw_connect(Version::V3_1, flags).string("").to_bytes();
        house.turns_away(Version::V3_1, &bytes, refused).await;
    }
    let bytes = raw_connect(Version::V3_1_1, 0x00).string("").to_bytes();
    house.turns_away(Version::V3_1_1, &bytes, refused).await;
    house.finish().await;
}

#[tokio::test]
async fn a_client_id_over_the_limit_is_refused() {
    let mut house = House::start().await;
    let long = "c".repeat(1_025);
    for version in ALL {
        let bytes = encoded(Connect::new(version, &*long), version);
        house.turns_away(version, &bytes, Some(ReasonCode::ClientIdentifierNotValid)).await;
        drop(house.connected(version, &long[1..]).await);
    }
    house.finish().await;
}

#[tokio::test]
async fn a_connect_over_its_maximum_size_is_refused_before_it_has_arrived() {
    let mut house = House::with_limits(Limits { max_connect_packet_size: 1_000, ..Limits::default() }).await;
    for version in ALL {
        let head = raw_connect(version, 0x02).claiming(5_000).to_bytes();
        let refused = version.is_v5().then_some(ReasonCode::PacketTooLarge);
        house.turns_away(version, &head, refused).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_second_connect_closes() {
    let mut house = House::start().await;
    for version in ALL {
        for second in ALL {
            let bytes = encoded(Connect::new(second, "offender"), second);
            house.closes(version, &bytes, ReasonCode::ProtocolError).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_second_connect_that_is_wrong_by_itself_closes_with_a_reason_that_disconnect_has() {
    let mut house = House::start().await;
    for (name, level) in [("MQTT", 6), ("MQTT", 3), ("mqtt", 5), ("", 0)] {
        let packet = |_| RawPacket::new(0x10).string(name).u8(level).u8(2).u16(0).u8(0).string("c");
        house.closes_in(&ALL, packet, ReasonCode::ProtocolError).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn two_connects_in_one_segment_close() {
    let mut house = House::start().await;
    for version in ALL {
        let connect = encoded(Connect::new(version, "twice"), version);
        let mut peer = house.open(version).await;
        peer.send_bytes(&[&connect[..], &connect[..]].concat()).await;
        assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_will_beyond_the_broker_s_limits_is_refused() {
    let limits = Limits { max_qos: QoS::AtLeastOnce, retain_available: false, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    let refused =
        |version: Version, reason| Some(if version.is_v5() { reason } else { ReasonCode::ServerUnavailable });
    for version in ALL {
        let connect = |topic: &str, qos, retain| {
            let mut connect = Connect::new(version, "c");
            let mut will = Will::new(TopicName::new(topic.to_owned()).unwrap(), &b"p"[..]);
            (will.qos, will.retain) = (qos, retain);
            connect.will = Some(will);
            encoded(connect, version)
        };
        let deep = "/".repeat(200);
        for (bytes, reason) in [
            (connect("w", QoS::ExactlyOnce, false), ReasonCode::QoSNotSupported),
            (connect("w", QoS::AtMostOnce, true), ReasonCode::RetainNotSupported),
            (connect(&deep, QoS::AtMostOnce, false), ReasonCode::TopicNameInvalid),
        ] {
            house.turns_away(version, &bytes, refused(version, reason)).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn connections_over_the_maximum_are_refused_and_room_comes_back() {
    let mut house = House::with_limits(Limits { max_connections: 5, ..Limits::default() }).await;
    let mut crowd = Vec::new();
    for n in 0..3 {
        crowd.push(house.connected(Version::V5_0, &format!("crowd-{n}")).await);
    }
    for version in ALL {
        let reason = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
        let bytes = encoded(Connect::new(version, "one-more"), version);
        house.turns_away(version, &bytes, Some(reason)).await;
    }
    drop(crowd);
    house.only_bystanders_are_left().await;
    drop(house.connected(Version::V5_0, "one-more").await);
    house.finish().await;
}

#[tokio::test]
async fn sessions_over_the_maximum_are_refused() {
    let mut house = House::with_limits(Limits { max_sessions: 3, ..Limits::default() }).await;
    let (kept, _) = Peer::connected_with(house.address, durable(Version::V5_0, "kept")).await;
    drop(kept);
    for version in ALL {
        let reason = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
        let bytes = encoded(Connect::new(version, "one-more"), version);
        house.turns_away(version, &bytes, Some(reason)).await;
    }
    drop(Peer::connected_with(house.address, durable(Version::V5_0, "kept")).await);
    house.shut_down().await;
}

#[tokio::test]
async fn an_authentication_method_that_nobody_knows_is_refused() {
    let mut house = House::start().await;
    let mut connect = Connect::new(Version::V5_0, "c");
    connect.properties.push(Property::AuthenticationMethod("SCRAM-SHA-1"));
    let bytes = encoded(connect, Version::V5_0);
    house.turns_away(Version::V5_0, &bytes, Some(ReasonCode::BadAuthenticationMethod)).await;
    house.finish().await;
}

#[tokio::test]
async fn auth_without_a_method_in_connect_closes() {
    let mut house = House::start().await;
    for reason in [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication] {
        let properties = Properties::new().with(Property::AuthenticationMethod("m"));
        let bytes = encoded(Auth::new(reason, properties), Version::V5_0);
        house.closes(Version::V5_0, &bytes, ReasonCode::ProtocolError).await;
    }
    house.closes(Version::V5_0, &[0xf0, 0x00], ReasonCode::ProtocolError).await;
    house.finish().await;
}

/// Lets a client in after one challenge, whatever it answers; the bystanders come without a method.
struct Challenge;

impl AccessControl for Challenge {
    fn admit(&self, _peer: &Origin) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> VerdictFuture<'a> {
        let verdict = match (credentials.method, credentials.state) {
            (_, None) if credentials.data == Some(b"wrong") => {
                Verdict::Refuse(ReasonCode::BadUserNameOrPassword)
            }
            (Some(_), None) => Verdict::Continue { data: None, state: Box::new(()) },
            _ => Verdict::Accept { identity: Identity::default(), data: None },
        };
        Box::pin(std::future::ready(verdict))
    }

    fn authorize(&self, _identity: &Identity, _client_id: &str, _action: Action<'_>) -> bool {
        true
    }

    fn checks_receive(&self) -> bool {
        false
    }
}

fn with_method() -> Connect<'static> {
    let mut connect = Connect::new(Version::V5_0, "challenged");
    connect.properties.push(Property::AuthenticationMethod("m"));
    connect
}

fn auth(reason: ReasonCode, method: &str) -> Auth<'static> {
    Auth::new(reason, Properties::new().with(Property::AuthenticationMethod(method)))
}

#[tokio::test]
async fn whatever_is_no_answer_to_a_challenge_is_refused_by_connack() {
    let mut house = House::with(|builder| builder.access(Challenge)).await;
    let answers = [
        encoded(auth(ReasonCode::ContinueAuthentication, "another"), Version::V5_0),
        encoded(auth(ReasonCode::ReAuthenticate, "m"), Version::V5_0),
        encoded(publish("bystander/topic", "unauthenticated", QoS::AtMostOnce), Version::V5_0),
        encoded(subscribe(1, "#", QoS::AtMostOnce), Version::V5_0),
        encoded(with_method(), Version::V5_0),
        encoded(Packet::Pingreq, Version::V5_0),
    ];
    for answer in answers {
        let mut peer = house.open(Version::V5_0).await;
        peer.send(with_method()).await;
        assert!(matches!(peer.receive().await, Packet::Auth(_)));
        peer.send_bytes(&answer).await;
        // [MQTT-3.14.0-1]: no DISCONNECT before CONNACK.
        peer.expect_refused(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_malformed_answer_to_a_challenge_is_refused_by_connack() {
    let mut house = House::with(|builder| builder.access(Challenge)).await;
    let mut peer = house.open(Version::V5_0).await;
    peer.send(with_method()).await;
    assert!(matches!(peer.receive().await, Packet::Auth(_)));
    peer.send_bytes(&[0xf0, 0x02, 0x18, 0x7f]).await;
    peer.expect_refused(ReasonCode::MalformedPacket).await;
    house.bystanders_are_served().await;
    house.finish().await;
}

#[tokio::test]
async fn a_challenge_that_is_never_answered_ends_at_the_connect_timeout() {
    let limits = Limits { connect_timeout: Duration::from_millis(200), ..Limits::default() };
    let house = House::with(|builder| builder.access(Challenge).limits(limits)).await;
    let mut peer = house.open(Version::V5_0).await;
    peer.send(with_method()).await;
    assert!(matches!(peer.receive().await, Packet::Auth(_)));
    peer.expect_closed().await;
    let mut left = house.open(Version::V5_0).await;
    left.send(with_method()).await;
    left.send(Disconnect::new(ReasonCode::Success)).await;
    assert!(matches!(left.receive().await, Packet::Auth(_)));
    left.expect_closed().await;
    house.finish().await;
}

#[tokio::test]
async fn an_exchange_after_connect_that_is_out_of_turn_closes() {
    let mut house = House::with(|builder| builder.access(Challenge)).await;
    for wrong in [auth(ReasonCode::ContinueAuthentication, "m"), auth(ReasonCode::ReAuthenticate, "another")]
    {
        let mut peer = house.open(Version::V5_0).await;
        peer.send(with_method()).await;
        assert!(matches!(peer.receive().await, Packet::Auth(_)));
        peer.send(auth(ReasonCode::ContinueAuthentication, "m")).await;
        assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
        peer.send(wrong).await;
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_re_authentication_that_is_refused_closes_with_a_reason_that_disconnect_has() {
    let mut house = House::with(|builder| builder.access(Challenge)).await;
    let mut peer = house.open(Version::V5_0).await;
    peer.send(with_method()).await;
    assert!(matches!(peer.receive().await, Packet::Auth(_)));
    peer.send(auth(ReasonCode::ContinueAuthentication, "m")).await;
    assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
    let mut again = auth(ReasonCode::ReAuthenticate, "m");
    again.properties.push(Property::AuthenticationData(b"wrong"));
    peer.send(again).await;
    peer.expect_disconnected(ReasonCode::NotAuthorized).await;
    house.bystanders_are_served().await;
    house.finish().await;
}
