//! 6: MQTT over WebSocket. The cases speak to a listener that the descriptor names.

use opifex_packet::{Packet, PacketId, QoS, ReasonCode, Subscribe, Subscription, TopicFilter};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Opcode, Scene, WebSocket};

chapter! { "websocket", "6 WebSocket";
    the_server_picks_the_subprotocol_mqtt: v4 ["MQTT-6.0.0-4"], v5 ["MQTT-6.0.0-4"];
    mqtt_is_not_served_under_another_subprotocol: v4 ["MQTT-6.0.0-4"], v5 ["MQTT-6.0.0-4"];
    a_server_sends_binary_frames: v4 ["MQTT-6.0.0-1"], v5 ["MQTT-6.0.0-1"];
    a_text_frame_closes_the_connection: v4 ["MQTT-6.0.0-1"], v5 ["MQTT-6.0.0-1"];
    packets_may_share_a_frame: v4 ["MQTT-6.0.0-2"], v5 ["MQTT-6.0.0-2"];
    packets_may_span_frames: v4 ["MQTT-6.0.0-2"], v5 ["MQTT-6.0.0-2"];
    packets_may_span_the_frames_of_a_message: v4 ["MQTT-6.0.0-2"], v5 ["MQTT-6.0.0-2"];
}

/// A WebSocket under the subprotocol `mqtt`.
async fn opened(s: &Scene, name: &str) -> Result<WebSocket, Stop> {
    let (socket, answer) = s.websocket(name, &["mqtt"]).await?;
    ensure!(answer.status == Some(101), "{name}: expected a WebSocket, and there came {answer:?}");
    Ok(socket)
}

fn accepts(packet: Packet<'static>) -> Option<()> {
    matches!(packet, Packet::Connack(connack) if connack.reason == ReasonCode::Success).then_some(())
}

/// The client `who`, connected.
async fn connected(s: &Scene, who: &str) -> Result<WebSocket, Stop> {
    let mut socket = opened(s, who).await?;
    socket.send(s.connect(who)).await?;
    socket.expect("CONNACK that accepts", accepts).await?;
    Ok(socket)
}

fn subscribe(s: &Scene) -> Subscribe<'static> {
    let filter = TopicFilter::new(s.topic("t")).expect("cases write valid filters");
    let one = PacketId::new(1).expect("not 0");
    Subscribe::new(one, vec![Subscription::new(filter, QoS::AtMostOnce)])
}

async fn suback(socket: &mut WebSocket) -> Outcome {
    socket.expect("SUBACK", |packet| matches!(packet, Packet::Suback(_)).then_some(())).await
}

/// The message comes to this client, which is subscribed.
async fn comes(socket: &mut WebSocket, payload: &str) -> Outcome {
    let is_it = |packet| {
        matches!(packet, Packet::Publish(publish) if publish.payload == payload.as_bytes()).then_some(())
    };
    socket.expect(&format!("PUBLISH of {payload:?}"), is_it).await
}

async fn the_server_picks_the_subprotocol_mqtt(s: &Scene) -> Outcome {
    for offers in [&["mqtt"][..], &["chat", "mqtt"]] {
        let (mut socket, answer) = s.websocket("a", offers).await?;
        ensure!(
            answer.status == Some(101) && answer.subprotocols == ["mqtt"],
            "offered {offers:?}, and there came {answer:?}"
        );
        socket.send(s.connect("a")).await?;
        socket.expect("CONNACK that accepts", accepts).await?;
    }
    Ok(())
}

/// The name that a server of MQTT returns is `mqtt`, and it may return none that it was not offered (RFC 6455, 4.2.2): so it
/// cannot serve these clients. How it does not is its own affair: in HTTP, by closing, or by saying nothing.
async fn mqtt_is_not_served_under_another_subprotocol(s: &Scene) -> Outcome {
    for offers in [&["chat"][..], &[]] {
        let (mut socket, answer) = s.websocket("a", offers).await?;
        if answer.status != Some(101) {
            continue;
        }
        ensure!(answer.subprotocols.is_empty(), "offered {offers:?}, and there came {answer:?}");
        socket.send(s.connect("a")).await?;
        if let Event::Packet(packet) = socket.next().await? {
            return Err(Stop::failed(format!("offered {offers:?}, and there came {packet:?}")));
        }
    }
    Ok(())
}

async fn a_server_sends_binary_frames(s: &Scene) -> Outcome {
    // Taking frames apart fails at any other.
    let mut socket = connected(s, "a").await?;
    socket.send(subscribe(s)).await?;
    suback(&mut socket).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtMostOnce).await?;
    comes(&mut socket, "x").await?;
    socket.send(Packet::Pingreq).await?;
    socket.expect("PINGRESP", |packet| (packet == Packet::Pingresp).then_some(())).await
}

async fn a_text_frame_closes_the_connection(s: &Scene) -> Outcome {
    let mut socket = connected(s, "a").await?;
    let ping = socket.bytes_of(&[Packet::Pingreq]);
    socket.send_frame(true, Opcode::Text, &ping).await?;
    socket.expect_closed().await?;
    // What it carries is not looked at.
    let mut socket = opened(s, "b").await?;
    let connect = socket.bytes_of(&[s.connect("b").into()]);
    socket.send_frame(true, Opcode::Text, &connect).await?;
    socket.expect_closed().await
}

async fn packets_may_share_a_frame(s: &Scene) -> Outcome {
    let mut socket = opened(s, "a").await?;
    let bytes = socket.bytes_of(&[s.connect("a").into(), subscribe(s).into(), Packet::Pingreq]);
    socket.send_frame(true, Opcode::Binary, &bytes).await?;
    socket.expect("CONNACK that accepts", accepts).await?;
    suback(&mut socket).await?;
    socket.expect("PINGRESP", |packet| (packet == Packet::Pingresp).then_some(())).await
}

/// What the client says from CONNECT on, to be cut anywhere.
fn hello(s: &Scene, socket: &WebSocket) -> Vec<u8> {
    socket.bytes_of(&[s.connect("a").into(), subscribe(s).into()])
}

async fn packets_may_span_frames(s: &Scene) -> Outcome {
    let mut socket = opened(s, "a").await?;
    let bytes = hello(s, &socket);
    for byte in &bytes {
        socket.send_frame(true, Opcode::Binary, &[*byte]).await?;
    }
    socket.expect("CONNACK that accepts", accepts).await?;
    suback(&mut socket).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtMostOnce).await?;
    comes(&mut socket, "x").await
}

async fn packets_may_span_the_frames_of_a_message(s: &Scene) -> Outcome {
    let mut socket = opened(s, "a").await?;
    let bytes = hello(s, &socket);
    let (front, back) = bytes.split_at(5);
    socket.send_frame(false, Opcode::Binary, front).await?;
    socket.send_frame(false, Opcode::Continuation, &[]).await?;
    socket.send_frame(true, Opcode::Continuation, back).await?;
    socket.expect("CONNACK that accepts", accepts).await?;
    suback(&mut socket).await
}
