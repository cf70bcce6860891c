//! 3.1 CONNECT: its place, its fixed fields and flags, and what becomes of one that breaks the rules.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "connect", "3.1 CONNECT";
    the_first_packet_must_be_connect: v4 ["MQTT-3.1.0-1", "MQTT-4.8.0-1"], v5 ["MQTT-3.1.0-1"];
    a_second_connect_is_refused: v4 ["MQTT-3.1.0-2"], v5 ["MQTT-3.1.0-2", "MQTT-3.2.0-2"];
    a_wrong_protocol_name_is_refused: v4 ["MQTT-3.1.2-1"], v5 ["MQTT-3.1.2-1"];
    an_unknown_protocol_level_is_refused: v4 ["MQTT-3.1.2-2"], v5 ["MQTT-3.1.2-2"];
    the_reserved_flag_must_be_zero: v4 ["MQTT-3.1.2-3", "MQTT-3.2.2-6"], v5 ["MQTT-3.1.2-3"];
    will_qos_3_is_refused: v4 ["MQTT-3.1.2-14"], v5 ["MQTT-3.1.2-12"];
    a_will_qos_without_a_will_is_refused: v4 ["MQTT-3.1.2-11", "MQTT-3.1.2-13"], v5 ["MQTT-3.1.2-11"];
    a_will_retain_without_a_will_is_refused: v4 ["MQTT-3.1.2-11", "MQTT-3.1.2-15"], v5 ["MQTT-3.1.2-13"];
    a_will_flag_without_will_fields_is_refused: v4 ["MQTT-3.1.2-9"], v5 ["MQTT-3.1.2-9"];
    a_connect_cut_short_is_refused: v4 ["MQTT-3.1.4-1"], v5 ["MQTT-3.1.4-1", "MQTT-4.13.1-1"];
    a_connect_with_bytes_behind_its_end_is_refused:
        v4 ["MQTT-3.1.4-1", "MQTT-3.1.3-1"], v5 ["MQTT-3.1.4-1", "MQTT-3.1.3-1"];
    a_valid_connect_is_accepted:
        v4 ["MQTT-3.1.4-4", "MQTT-7.1.1-1", "MQTT-7.0.0-2"], v5 ["MQTT-3.1.4-5", "MQTT-4.2.0-1"];
    what_follows_a_refused_connect_is_ignored: v4 ["MQTT-3.1.4-5"], v5 ["MQTT-3.1.4-6"];
}

/// Where the level and the flags stand, behind the name.
const LEVEL: usize = 6;
const FLAGS: usize = 7;

/// The bytes of a valid CONNECT, to be broken.
fn raw_connect(s: &Scene) -> RawPacket {
    RawPacket::of(&Packet::from(s.connect("a")), s.version)
}

/// A CONNECT with these flags added is refused.
async fn refused_with_flags(s: &Scene, flags: u8) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut packet = raw_connect(s);
    packet.body[FLAGS] |= flags;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn the_first_packet_must_be_connect(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    wire.send(Packet::Pingreq).await?;
    wire.expect_broken().await?;
    let mut wire = s.open("b").await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::AtLeastOnce);
    wire.send(publish).await?;
    wire.expect_broken().await
}

async fn a_second_connect_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send(s.connect("a")).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError]).await
}

async fn a_wrong_protocol_name_is_refused(s: &Scene) -> Outcome {
    for name in ["MQTX", "mqtt", "MQT"] {
        let mut wire = s.open("a").await?;
        let packet = raw_connect(s);
        let body = RawPacket::new(0x10).string(name).bytes(&packet.body[LEVEL..]);
        wire.send_raw(&body).await?;
        refusal_of_version(&wire.rest().await?, true)?;
    }
    Ok(())
}

async fn an_unknown_protocol_level_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut packet = raw_connect(s);
    packet.body[LEVEL] = 99;
    wire.send_raw(&packet).await?;
    // 3.1.1 requires the answer, 5.0 leaves it to the server. What form it has, nobody can know.
    refusal_of_version(&wire.rest().await?, s.is_v5())
}

/// Nothing, if that is allowed, or a CONNACK that refuses the version, in the form of 3.1.1 or of 5.0.
fn refusal_of_version(bytes: &[u8], may_be_silent: bool) -> Outcome {
    let well = match bytes {
        [] => may_be_silent,
        [0x20, 2, 0, 1] => true,
        [0x20, len, 0, 0x84, rest @ ..] => usize::from(*len) == rest.len() + 2 && !rest.is_empty(),
        _ => false,
    };
    ensure!(well, "expected CONNACK 0x01 (5.0: 0x84) and the end, and there came {bytes:02x?}");
    Ok(())
}

async fn the_reserved_flag_must_be_zero(s: &Scene) -> Outcome {
    refused_with_flags(s, 0x01).await
}

async fn will_qos_3_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut connect = s.connect("a");
    connect.will = Some(s.will("will", "x", QoS::AtMostOnce));
    let mut packet = RawPacket::of(&connect.into(), s.version);
    packet.body[FLAGS] |= 0x18;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn a_will_qos_without_a_will_is_refused(s: &Scene) -> Outcome {
    refused_with_flags(s, 0x08).await?;
    refused_with_flags(s, 0x10).await
}

async fn a_will_retain_without_a_will_is_refused(s: &Scene) -> Outcome {
    refused_with_flags(s, 0x20).await
}

async fn a_will_flag_without_will_fields_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    // Without a user, whose name would be taken for the will's topic.
    let connect = opifex_packet::Connect::new(s.version, s.client_id("a"));
    let mut packet = RawPacket::of(&connect.into(), s.version);
    packet.body[FLAGS] |= 0x04;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn a_connect_cut_short_is_refused(s: &Scene) -> Outcome {
    let whole = raw_connect(s);
    for len in [0, 5, LEVEL, FLAGS, FLAGS + 1, FLAGS + 2, FLAGS + 3] {
        let mut wire = s.open("a").await?;
        let mut packet = whole.clone();
        packet.body.truncate(len);
        wire.send_raw(&packet).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn a_connect_with_bytes_behind_its_end_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    wire.send_raw(&raw_connect(s).string("more")).await?;
    wire.expect_broken().await
}

async fn a_valid_connect_is_accepted(s: &Scene) -> Outcome {
    s.connected("a").await?.expect_alive().await
}

async fn what_follows_a_refused_connect_is_ignored(s: &Scene) -> Outcome {
    let mut watcher = s.subscriber("w", "t", QoS::AtLeastOnce).await?;
    let mut wire = s.open("a").await?;
    let publish = wire.message(&s.topic("t"), "ignored", QoS::AtLeastOnce);
    let (connect, codes) = super::connack::refused(s)?;
    wire.send_together(&[connect.into(), publish.into()]).await?;
    super::connack::expect_refusal(&mut wire, s, codes).await?;
    let mut other = s.connected("b").await?;
    other.publish(&s.topic("t"), "after", QoS::AtLeastOnce).await?;
    watcher.expect_message(&s.topic("t"), "after").await?;
    watcher.expect_silence().await
}
