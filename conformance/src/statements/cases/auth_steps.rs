//! 3.15 AUTH and 4.12 enhanced authentication (5.0 only), step by step: what is wrong with each AUTH is one thing only, so that
//! nothing else can be why it is refused. Needs a method that the descriptor names.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Auth, Connect, Disconnect, Packet, Properties, Property, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};
use crate::statements::{Authentication, Scene};

chapter! { "auth_steps", "4.12 steps of an authentication";
    the_flags_of_auth_are_zero: v5 ["MQTT-3.15.1-1"];
    a_code_that_auth_does_not_have_is_refused: v5 ["MQTT-3.15.2-1"];
    a_client_cannot_tell_itself_that_it_is_in: v5 ["MQTT-3.15.2-1", "U5-36"];
    an_answer_with_another_code_is_refused: v5 ["MQTT-4.12.0-3"];
    an_answer_with_another_method_is_refused: v5 ["MQTT-4.12.0-5"];
    before_connack_there_is_only_auth_and_disconnect: v5 ["MQTT-3.1.2-30"];
    disconnect_ends_an_exchange: v5 ["MQTT-3.1.2-30"];
    who_authenticated_again_is_told_so_by_the_method: v5 ["MQTT-4.12.0-5", "MQTT-3.15.2-1", "U5-40"];
    another_method_the_second_time_is_refused: v5 ["MQTT-4.12.1-1"];
}

/// What a broker may say of an AUTH that breaks a rule.
const BROKEN: &[ReasonCode] = &[
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::NotAuthorized,
    ReasonCode::BadAuthenticationMethod,
];

fn known(s: &Scene) -> Result<Authentication, Stop> {
    let known = s.descriptor.authentication.clone();
    known.ok_or_else(|| Stop::needs("a method of authentication (authentication)"))
}

fn properties(method: &str, data: &str) -> Properties<'static> {
    Properties::new()
        .with(Property::AuthenticationMethod(method))
        .with(Property::AuthenticationData(data.as_bytes()))
}

fn auth(reason: ReasonCode, method: &str, data: &str) -> Auth<'static> {
    Auth::new(reason, properties(method, data))
}

/// CONNECT that begins the exchange.
fn beginning(s: &Scene, known: &Authentication) -> Connect<'static> {
    let mut connect = s.connect("a");
    for property in properties(&known.method, &known.data).iter() {
        connect.properties.push(property);
    }
    connect
}

/// AUTH with that code and the method comes.
async fn expect_auth(wire: &mut Wire, reason: ReasonCode, method: &str) -> Outcome {
    match wire.next().await? {
        Event::Packet(Packet::Auth(auth))
            if auth.reason == reason && auth.properties.authentication_method() == Some(method) =>
        {
            Ok(())
        }
        came => Err(wire.unexpected(&format!("AUTH {:#04x} with method {method:?}", reason as u8), &came)),
    }
}

/// A connection that the broker has asked.
async fn asked(s: &Scene) -> Result<(Wire, Authentication), Stop> {
    let known = known(s)?;
    let mut wire = s.open("a").await?;
    wire.send(beginning(s, &known)).await?;
    expect_auth(&mut wire, ReasonCode::ContinueAuthentication, &known.method).await?;
    Ok((wire, known))
}

/// A connection that was let in by the method.
async fn authenticated(s: &Scene) -> Result<(Wire, Authentication), Stop> {
    let (mut wire, known) = asked(s).await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &known.method, &known.answer)).await?;
    let connack = wire.expect_connack().await?;
    ensure!(connack.reason == ReasonCode::Success, "the right answer is refused: {connack:?}");
    Ok((wire, known))
}

/// AUTH that asks to authenticate again, to be broken, and the connection on which it would be right.
async fn again(s: &Scene) -> Result<(Wire, RawPacket), Stop> {
    let (wire, known) = authenticated(s).await?;
    let packet = auth(ReasonCode::ReAuthenticate, &known.method, &known.data);
    Ok((wire, RawPacket::of(&packet.into(), s.version)))
}

async fn the_flags_of_auth_are_zero(s: &Scene) -> Outcome {
    for flags in [1, 2, 4, 8] {
        let (mut wire, mut packet) = again(s).await?;
        packet.first_byte |= flags;
        wire.send_raw(&packet).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn a_code_that_auth_does_not_have_is_refused(s: &Scene) -> Outcome {
    for code in [0x01, 0x1a, 0x80, 0x87, 0xff] {
        let (mut wire, mut packet) = again(s).await?;
        packet.body[0] = code;
        wire.send_raw(&packet).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn an_answer_with_another_code_is_refused(s: &Scene) -> Outcome {
    for code in [ReasonCode::ReAuthenticate, ReasonCode::Success] {
        let (mut wire, known) = asked(s).await?;
        wire.send(auth(code, &known.method, &known.answer)).await?;
        wire.expect_refused(BROKEN).await?;
    }
    Ok(())
}

async fn an_answer_with_another_method_is_refused(s: &Scene) -> Outcome {
    let (mut wire, known) = asked(s).await?;
    let other = format!("{}2", known.method);
    wire.send(auth(ReasonCode::ContinueAuthentication, &other, &known.answer)).await?;
    wire.expect_refused(BROKEN).await
}

async fn before_connack_there_is_only_auth_and_disconnect(s: &Scene) -> Outcome {
    let (mut wire, _) = asked(s).await?;
    wire.send(Packet::Pingreq).await?;
    wire.expect_refused(BROKEN).await?;
    let (mut wire, _) = asked(s).await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    wire.send(publish).await?;
    wire.expect_refused(BROKEN).await
}

async fn disconnect_ends_an_exchange(s: &Scene) -> Outcome {
    let (mut wire, _) = asked(s).await?;
    wire.send(Disconnect::new(ReasonCode::Success)).await?;
    wire.expect_closed().await
}

async fn who_authenticated_again_is_told_so_by_the_method(s: &Scene) -> Outcome {
    let (mut wire, known) = authenticated(s).await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    wire.send(auth(ReasonCode::ReAuthenticate, &known.method, &known.data)).await?;
    expect_auth(&mut wire, ReasonCode::ContinueAuthentication, &known.method).await?;
    wire.expect_alive().await?;
    wire.publish(&s.topic("t"), "meanwhile", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "meanwhile").await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &known.method, &known.answer)).await?;
    expect_auth(&mut wire, ReasonCode::Success, &known.method).await?;
    wire.publish(&s.topic("t"), "afterwards", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "afterwards").await?;
    wire.expect_silence().await
}

async fn another_method_the_second_time_is_refused(s: &Scene) -> Outcome {
    let (mut wire, known) = authenticated(s).await?;
    let other = format!("{}2", known.method);
    wire.send(auth(ReasonCode::ReAuthenticate, &other, &known.data)).await?;
    wire.expect_refused(BROKEN).await
}

/// AUTH 0x00 is the server's to say, spelled out or as an AUTH without contents.
async fn a_client_cannot_tell_itself_that_it_is_in(s: &Scene) -> Outcome {
    let (mut wire, mut packet) = again(s).await?;
    packet.body[0] = 0x00;
    wire.send_raw(&packet).await?;
    wire.expect_refused(BROKEN).await?;
    let (mut wire, _) = asked(s).await?;
    wire.send_raw(&RawPacket::new(0xf0)).await?;
    wire.expect_refused(BROKEN).await
}
