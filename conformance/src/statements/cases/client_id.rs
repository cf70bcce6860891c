//! 3.1.3.1: the client identifier, given, refused or assigned.

use std::collections::BTreeSet;

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, Property, QoS, ReasonCode};

use super::connack::expect_refusal;
use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "client_id", "3.1.3 client identifier";
    digits_and_letters_up_to_23_bytes_are_accepted: v4 ["MQTT-3.1.3-5"], v5 ["MQTT-3.1.3-5"];
    a_missing_client_id_is_refused: v4 ["MQTT-3.1.3-3"], v5 ["MQTT-3.1.3-3"];
    a_client_id_that_is_no_text_is_refused: v4 ["MQTT-3.1.3-4"], v5 ["MQTT-3.1.3-4"];
    each_empty_client_id_gets_one_of_its_own: v4 ["MQTT-3.1.3-6"], v5 ["MQTT-3.1.3-6", "MQTT-3.2.2-16"];
    an_empty_client_id_cannot_keep_its_session: v4 ["MQTT-3.1.3-7", "MQTT-3.1.3-8"];
    an_assigned_client_id_names_the_session: v5 ["MQTT-3.1.3-7", "MQTT-3.2.2-16"];
    a_client_id_that_was_given_is_not_assigned: v5 ["U5-44"];
    a_client_id_may_be_refused: v4 ["MQTT-3.1.3-9"], v5 ["MQTT-3.1.3-8"];
    a_long_client_id_is_accepted_or_refused_as_such: v5 ["U5-43"];
    the_client_id_names_the_session: v4 ["MQTT-3.1.3-2"], v5 ["MQTT-3.1.3-2"];
}

async fn digits_and_letters_up_to_23_bytes_are_accepted(s: &Scene) -> Outcome {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".repeat(2);
    let own = s.client_id("");
    // Each starts with what no other case has, and together they have all characters.
    let room = 23 - own.len();
    for start in (0..62).step_by(room) {
        let mut connect = s.connect("");
        connect.client_id = format!("{own}{}", &alphabet[start..start + room]).into();
        let (mut wire, _) = s.join(connect).await?;
        wire.expect_alive().await?;
        wire.disconnect().await?;
    }
    let mut connect = s.connect("");
    connect.client_id = if s.is_v5() { "5".into() } else { "3".into() };
    s.join(connect).await?.0.disconnect().await
}

async fn a_missing_client_id_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut packet = RawPacket::of(&opifex_packet::Connect::new(s.version, "x").into(), s.version);
    let len = packet.body.len();
    packet.body.truncate(len - 3);
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn a_client_id_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut packet = RawPacket::of(&opifex_packet::Connect::new(s.version, "xy").into(), s.version);
    let len = packet.body.len();
    packet.body[len - 2..].copy_from_slice(&[0xc3, 0x28]);
    wire.send_raw(&packet).await?;
    wire.expect_refused(&[
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::ClientIdentifierNotValid,
    ])
    .await
}

async fn each_empty_client_id_gets_one_of_its_own(s: &Scene) -> Outcome {
    let mut wires = Vec::new();
    let mut assigned = BTreeSet::new();
    for name in ["first", "second", "third"] {
        let mut connect = s.connect("");
        connect.client_id = "".into();
        let mut wire = s.open(name).await?;
        wire.send(connect).await?;
        let connack = wire.expect_connack().await?;
        s.needs(connack.reason == ReasonCode::Success, "clients that leave the client id to the server")?;
        if s.is_v5() {
            let id = connack.properties.assigned_client_identifier();
            ensure!(id.is_some_and(|id| !id.is_empty()), "CONNACK has no Assigned Client Identifier");
            assigned.extend(id.map(str::to_owned));
        }
        wires.push(wire);
    }
    ensure!(!s.is_v5() || assigned.len() == 3, "three clients were assigned the ids {assigned:?}");
    // One id for two of them would have closed the first.
    for wire in &mut wires {
        wire.expect_alive().await?;
    }
    Ok(())
}

async fn an_empty_client_id_cannot_keep_its_session(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut connect = s.connect("");
    connect.client_id = "".into();
    connect.clean_start = false;
    wire.send(connect).await?;
    expect_refusal(&mut wire, s, &[ReasonCode::ClientIdentifierNotValid]).await
}

async fn an_assigned_client_id_names_the_session(s: &Scene) -> Outcome {
    let mut connect = s.connect_durable("");
    connect.client_id = "".into();
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    let connack = wire.expect_connack().await?;
    s.needs(connack.reason == ReasonCode::Success, "clients that leave the client id to the server")?;
    let id = connack.properties.assigned_client_identifier().unwrap_or_default().to_owned();
    ensure!(!id.is_empty(), "CONNACK has no Assigned Client Identifier");
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.disconnect().await?;

    let mut connect = s.connect_durable("");
    connect.client_id = id.into();
    let (_, connack) = s.join(connect).await?;
    ensure!(connack.session_present, "the session is not there under the id that was assigned");
    Ok(())
}

async fn a_client_id_that_was_given_is_not_assigned(s: &Scene) -> Outcome {
    let (_, connack) = s.join(s.connect("a")).await?;
    let assigned = connack.properties.assigned_client_identifier();
    ensure!(assigned.is_none(), "the client has an id, and was assigned {assigned:?}");
    Ok(())
}

async fn a_client_id_may_be_refused(s: &Scene) -> Outcome {
    let refused = s.descriptor.refused_client_id.clone();
    s.needs(refused.is_some(), "a client id that is refused (refused_client_id)")?;
    let mut connect = s.connect("");
    connect.client_id = refused.unwrap_or_default().into();
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    expect_refusal(&mut wire, s, &[ReasonCode::ClientIdentifierNotValid]).await
}

async fn a_long_client_id_is_accepted_or_refused_as_such(s: &Scene) -> Outcome {
    for id in ["x".repeat(40), "with spaces, and ü/+#".to_owned()] {
        let mut connect = s.connect("");
        connect.client_id = format!("{}{id}", s.client_id("")).into();
        let mut wire = s.open("a").await?;
        wire.send(connect).await?;
        let connack = wire.expect_connack().await?;
        match connack.reason {
            ReasonCode::Success => wire.disconnect().await?,
            ReasonCode::ClientIdentifierNotValid => wire.expect_closed().await?,
            other => ensure!(false, "expected CONNACK 0x00 or 0x85, got {other:?}"),
        }
    }
    Ok(())
}

async fn the_client_id_names_the_session(s: &Scene) -> Outcome {
    let mut a = s.connected_durable("a").await?;
    a.subscribe(&s.topic("a"), QoS::AtLeastOnce).await?;
    a.disconnect().await?;
    // An id that another begins with is another one, and so is one in other letters.
    for other in ["", "aa", "A"] {
        let mut connect = s.connect_durable(other);
        if s.is_v5() {
            connect.properties.push(Property::UserProperty("like", "a"));
        }
        let (mut wire, connack) = s.join(connect).await?;
        ensure!(!connack.session_present, "a session of client \"a\" was given to {other:?}");
        wire.expect_alive().await?;
        wire.send(Packet::Disconnect(Default::default())).await?;
    }
    let (_, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(connack.session_present, "the session is gone");
    Ok(())
}
