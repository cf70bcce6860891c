//! 2: the fixed header, packets as a stream of bytes, and packets that a server does not take.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, QoS};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};

chapter! { "framing", "2 MQTT control packet format, 4.2 network connections";
    reserved_flags_are_checked: v4 ["MQTT-2.2.2-1", "MQTT-2.2.2-2"], v5 ["MQTT-2.1.3-1"];
    the_flags_of_pubrel_are_checked: v4 ["MQTT-3.6.1-1"], v5 ["MQTT-3.6.1-1"];
    packet_type_0_is_refused: v4 ["MQTT-4.8.0-1"], v5 ["MQTT-4.13.1-1"];
    packets_of_servers_are_refused: v4 ["MQTT-4.8.0-1"], v5 ["MQTT-4.13.1-1"];
    packets_may_come_in_pieces_and_together: v4 ["MQTT-7.1.1-1"], v5 ["MQTT-4.2.0-1"];
    an_error_closes_only_its_connection: v4 ["MQTT-4.8.0-1"], v5 ["MQTT-4.13.1-1", "MQTT-4.13.2-1", "U5-41"];
}

async fn refused(s: &Scene, packet: RawPacket) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn reserved_flags_are_checked(s: &Scene) -> Outcome {
    // PUBACK, PUBREC, PUBCOMP and PINGREQ.
    for first_byte in [0x41, 0x48, 0x52, 0x72] {
        refused(s, RawPacket::new(first_byte).u16(1)).await?;
    }
    refused(s, RawPacket::new(0xc1)).await?;
    // CONNECT.
    let mut wire = s.open("a").await?;
    let mut packet = RawPacket::of(&s.connect("a").into(), s.version);
    packet.first_byte = 0x11;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn the_flags_of_pubrel_are_checked(s: &Scene) -> Outcome {
    for first_byte in [0x60, 0x61, 0x63, 0x66, 0x6a] {
        let mut wire = s.connected("a").await?;
        let publish = wire.message(&s.topic("t"), "x", QoS::ExactlyOnce);
        let id = publish.delivery.packet_id().map_or(0, |id| id.get());
        wire.send(publish).await?;
        wire.expect_pubrec().await?;
        wire.send_raw(&RawPacket::new(first_byte).u16(id)).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn packet_type_0_is_refused(s: &Scene) -> Outcome {
    refused(s, RawPacket::new(0x00)).await?;
    if s.is_v5() {
        return Ok(());
    }
    // AUTH of 5.0.
    refused(s, RawPacket::new(0xf0)).await
}

async fn packets_of_servers_are_refused(s: &Scene) -> Outcome {
    let none: &[u8] = if s.is_v5() { &[0] } else { &[] };
    // CONNACK, SUBACK, UNSUBACK and PINGRESP.
    refused(s, RawPacket::new(0x20).u16(0).bytes(none)).await?;
    refused(s, RawPacket::new(0x90).u16(1).bytes(none).u8(0)).await?;
    refused(s, RawPacket::new(0xb0).u16(1).bytes(none).bytes(none)).await?;
    refused(s, RawPacket::new(0xd0)).await
}

async fn packets_may_come_in_pieces_and_together(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    let mut bytes = Vec::new();
    for number in 0..5 {
        let publish = publisher.message(&s.topic("t"), &number.to_string(), QoS::AtMostOnce);
        Packet::from(publish).encode(s.version, &mut bytes);
    }
    // Each byte by itself, and then all at once.
    for byte in bytes.clone() {
        publisher.send_bytes(&[byte]).await?;
    }
    publisher.send_bytes(&bytes).await?;
    for _ in 0..2 {
        for number in 0..5 {
            wire.expect_message(&s.topic("t"), &number.to_string()).await?;
        }
    }
    publisher.expect_alive().await
}

async fn an_error_closes_only_its_connection(s: &Scene) -> Outcome {
    let mut bystander = s.subscriber("b", "t", QoS::AtMostOnce).await?;
    let mut wire = s.connected("a").await?;
    wire.send_raw(&RawPacket::new(0x00)).await?;
    wire.expect_broken().await?;
    let mut again = s.connected("a").await?;
    again.publish(&s.topic("t"), "x", QoS::AtMostOnce).await?;
    bystander.expect_message(&s.topic("t"), "x").await?;
    Ok(())
}
