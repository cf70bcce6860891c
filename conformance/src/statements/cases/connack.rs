//! 3.2 CONNACK: that it comes first, what it says of the session, and how it refuses.

use opifex_packet::{Connect, Disconnect, Packet, Property, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};

chapter! { "connack", "3.2 CONNACK";
    connack_comes_before_everything_else: v4 ["MQTT-3.2.0-1"], v5 ["MQTT-3.2.0-1"];
    the_reserved_flags_are_zero: v5 ["MQTT-3.2.2-1"];
    a_clean_start_finds_no_session:
        v4 ["MQTT-3.2.2-1", "MQTT-3.1.2-6", "MQTT-3.1.4-3"], v5 ["MQTT-3.2.2-2", "MQTT-3.1.2-4", "MQTT-3.1.4-4"];
    a_session_that_is_there_is_present:
        v4 ["MQTT-3.2.2-2", "MQTT-3.1.2-4"], v5 ["MQTT-3.2.2-3", "MQTT-3.1.2-5", "MQTT-3.1.2-23"];
    a_session_that_is_not_there_is_not_present:
        v4 ["MQTT-3.2.2-3", "MQTT-3.1.2-4"], v5 ["MQTT-3.2.2-3", "MQTT-3.1.2-6"];
    a_refusal_has_no_session_present:
        v4 ["MQTT-3.2.2-4", "MQTT-3.2.2-5"],
        v5 ["MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1", "MQTT-3.14.0-1", "U5-41"];
    properties_stand_once: v5 ["U5-14", "U5-15"];
}

/// A CONNECT that every server refuses, and the codes that 5.0 may say it with.
///
/// 3.1.1: an empty client id that wants to keep its session ([MQTT-3.1.3-8]). 5.0: an authentication method that nobody
/// has ([MQTT-4.12.0-1]).
pub(super) fn refused(s: &Scene) -> Result<(Connect<'static>, &'static [ReasonCode]), Stop> {
    let mut connect = s.connect("");
    if s.is_v5() {
        connect.client_id = s.client_id("r").into();
        connect.properties.push(Property::AuthenticationMethod("none-that-exists"));
        return Ok((connect, &[ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized]));
    }
    connect.client_id = "".into();
    connect.clean_start = false;
    Ok((connect, &[ReasonCode::ClientIdentifierNotValid]))
}

/// CONNACK with one of these codes and without a session (5.0 may leave it out), and the end.
pub(super) async fn expect_refusal(wire: &mut Wire, s: &Scene, codes: &[ReasonCode]) -> Outcome {
    match wire.next().await? {
        Event::Packet(Packet::Connack(connack)) if codes.contains(&connack.reason) => {
            ensure!(wire.last_bytes()[2] == 0, "a CONNACK that refuses has Session Present 0");
            wire.expect_closed().await
        }
        Event::End if s.is_v5() => Ok(()),
        came => Err(wire.unexpected(&format!("CONNACK with one of {codes:?}"), &came)),
    }
}

async fn connack_comes_before_everything_else(s: &Scene) -> Outcome {
    let mut owner = s.connected_durable("a").await?;
    owner.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    owner.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "waits", QoS::AtLeastOnce).await?;
    // `join` takes nothing before CONNACK.
    let (mut owner, _) = s.join(s.connect_durable("a")).await?;
    owner.expect_message(&s.topic("t"), "waits").await?;
    Ok(())
}

async fn the_reserved_flags_are_zero(s: &Scene) -> Outcome {
    let wire = s.connected("a").await?;
    ensure!(wire.last_bytes()[2] & 0xfe == 0, "reserved flags of CONNACK are set");
    Ok(())
}

async fn a_clean_start_finds_no_session(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "for the old session", QoS::AtLeastOnce).await?;
    let (mut wire, connack) = s.join(s.connect("a")).await?;
    ensure!(!connack.session_present, "a clean start was told that there is a session");
    // What waited in the old session is gone with it, and so is what it was subscribed to.
    publisher.publish(&s.topic("t"), "for nobody", QoS::AtLeastOnce).await?;
    wire.expect_silence().await?;
    // The clean session ends with its connection.
    wire.disconnect().await?;
    let (_, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(!connack.session_present, "a clean session outlived its connection");
    Ok(())
}

async fn a_session_that_is_there_is_present(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.disconnect().await?;
    let (mut wire, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(connack.session_present, "the session was there, and CONNACK says that it was not");
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "resumed", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "resumed").await?;
    Ok(())
}

async fn a_session_that_is_not_there_is_not_present(s: &Scene) -> Outcome {
    let (mut wire, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(!connack.session_present, "nobody had this client id, and CONNACK says that there is a session");
    wire.expect_alive().await
}

async fn a_refusal_has_no_session_present(s: &Scene) -> Outcome {
    let (connect, codes) = refused(s)?;
    if s.is_v5() {
        // There is a session under the id that is refused.
        let mut first = s.connect_durable("r");
        first.client_id = connect.client_id.clone();
        s.join(first).await?.0.disconnect_with(Disconnect::new(ReasonCode::Success)).await?;
    }
    let mut wire = s.open("r").await?;
    let mut connect = connect;
    connect.clean_start = false;
    wire.send(connect).await?;
    expect_refusal(&mut wire, s, codes).await
}

/// The codec takes no CONNACK that has one twice or with a value that it may not have.
async fn properties_stand_once(s: &Scene) -> Outcome {
    let (mut wire, connack) = s.join(s.connect_durable("a")).await?;
    let maximum_qos = connack.properties.maximum_qos();
    ensure!(maximum_qos.is_none_or(|qos| qos <= 1), "Maximum QoS is 0 or 1, or absent: {maximum_qos:?}");
    wire.expect_alive().await
}
