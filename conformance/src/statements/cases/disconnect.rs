//! 3.14 DISCONNECT, in both directions.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Disconnect, Packet, Property, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene};

chapter! { "disconnect", "3.14 DISCONNECT";
    the_reserved_bits_of_disconnect_are_checked: v4 ["MQTT-3.14.1-1"], v5 ["MQTT-3.14.1-1"];
    a_server_says_disconnect_and_closes: v5 ["MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-3.14.2-1", "MQTT-3.14.2-2"];
    an_older_connection_is_taken_over: v4 ["MQTT-3.1.4-2"], v5 ["MQTT-3.1.4-3"];
    an_expiry_cannot_begin_with_disconnect: v5 ["U5-13"];
    codes_that_are_not_for_clients_are_refused: v5 ["U5-33", "MQTT-3.14.2-1"];
    a_disconnect_without_code_is_normal: v5 ["U5-34"];
    disconnect_changes_the_expiry: v5 ["MQTT-4.1.0-2"];
}

async fn the_reserved_bits_of_disconnect_are_checked(s: &Scene) -> Outcome {
    for flags in [0x01, 0x02, 0x04, 0x08] {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&RawPacket::new(0xe0 | flags)).await?;
        wire.expect_refused(&[ReasonCode::MalformedPacket, ReasonCode::ProtocolError]).await?;
    }
    Ok(())
}

async fn a_server_says_disconnect_and_closes(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.send(s.connect_durable("a")).await?;
    match wire.next().await? {
        Event::End => Err(Stop::needs("a server that says DISCONNECT before it closes")),
        Event::Packet(Packet::Disconnect(disconnect)) => {
            ensure!(disconnect.reason.is_error(), "a protocol error is no {:?}", disconnect.reason);
            let expiry = disconnect.properties.session_expiry_interval();
            ensure!(expiry.is_none(), "a server's DISCONNECT has a Session Expiry Interval");
            wire.expect_closed().await
        }
        came => Err(wire.unexpected("DISCONNECT", &came)),
    }
}

async fn an_older_connection_is_taken_over(s: &Scene) -> Outcome {
    let mut first = s.connected_durable("a").await?;
    let mut second = s.connected_durable("a").await?;
    first.expect_refused(&[ReasonCode::SessionTakenOver]).await?;
    second.expect_alive().await
}

async fn an_expiry_cannot_begin_with_disconnect(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.properties.push(Property::SessionExpiryInterval(60));
    wire.send(disconnect).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError]).await?;
    let (_, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(!connack.session_present, "a session without expiry has outlived its connection");
    Ok(())
}

async fn codes_that_are_not_for_clients_are_refused(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtMostOnce).await?;
    // Session taken over, keep alive timeout, server shutting down; and one that no DISCONNECT has.
    for code in [0x8e, 0x8d, 0x8b, 0x01, 0x03] {
        let mut connect = s.connect("a");
        connect.will = Some(s.will("will", "broken", QoS::AtMostOnce));
        let (mut wire, _) = s.join(connect).await?;
        wire.send_raw(&RawPacket::new(0xe0).u8(code)).await?;
        wire.expect_broken().await?;
        // It was no DISCONNECT 0x00 in any case.
        mourner.expect_message(&s.topic("will"), "broken").await?;
    }
    Ok(())
}

async fn a_disconnect_without_code_is_normal(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtMostOnce).await?;
    for packet in [RawPacket::new(0xe0), RawPacket::new(0xe0).u8(0), RawPacket::new(0xe0).u8(0).u8(0)] {
        let mut connect = s.connect("a");
        connect.will = Some(s.will("will", "gone", QoS::AtMostOnce));
        let (mut wire, _) = s.join(connect).await?;
        wire.send_raw(&packet).await?;
        wire.half_close().await;
        wire.expect_closed().await?;
    }
    mourner.expect_silence().await
}

async fn disconnect_changes_the_expiry(s: &Scene) -> Outcome {
    let wire = s.connected_durable("a").await?;
    let mut disconnect = Disconnect::new(ReasonCode::Success);
    disconnect.properties.push(Property::SessionExpiryInterval(0));
    wire.disconnect_with(disconnect).await?;
    let (_, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(!connack.session_present, "the session has outlived an expiry of 0");
    Ok(())
}
