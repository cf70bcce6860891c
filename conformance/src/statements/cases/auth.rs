//! 3.15 AUTH and 4.12 enhanced authentication.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Auth, Connect, Packet, Property, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Authentication, Event, Scene, Wire};

chapter! { "auth", "3.15 AUTH, 4.12 enhanced authentication";
    the_flags_of_auth_are_checked: v5 ["MQTT-3.15.1-1"];
    an_unknown_method_is_refused: v5 ["MQTT-4.12.0-1"];
    without_a_method_there_is_no_auth: v5 ["MQTT-4.12.0-6"];
    an_auth_without_a_method_is_refused: v5 ["MQTT-4.12.0-7", "U5-35"];
    a_server_asks_by_continue_authentication: v5 ["MQTT-4.12.0-2", "MQTT-3.15.2-1", "MQTT-4.12.0-5", "MQTT-4.12.0-3"];
    a_wrong_answer_is_refused: v5 ["MQTT-4.12.0-4", "MQTT-3.1.4-2"];
    while_it_authenticates_a_client_sends_nothing_else: v5 ["MQTT-3.1.2-30"];
    a_code_that_auth_does_not_have_is_refused: v5 ["MQTT-3.15.2-1"];
    an_auth_of_another_method_is_refused: v5 ["MQTT-4.12.0-5"];
    a_client_may_authenticate_again: v5 ["MQTT-4.12.0-2", "U5-40"];
    authenticating_again_keeps_the_method: v5 ["MQTT-4.12.1-1"];
    who_fails_to_authenticate_again_is_closed: v5 ["MQTT-4.12.1-2"];
    an_auth_of_length_0_is_a_success: v5 ["U5-36"];
    authentication_properties_stand_once_and_together: v5 ["U5-9"];
}

const BAD_METHOD: &[ReasonCode] =
    &[ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized, ReasonCode::ProtocolError];

fn method(s: &Scene) -> Result<Authentication, Stop> {
    s.descriptor
        .authentication
        .clone()
        .ok_or_else(|| Stop::needs("an authentication method (authentication)"))
}

/// CONNECT with the method, without user name.
fn connect(s: &Scene, method: &Authentication) -> Connect<'static> {
    let mut connect = Connect::new(s.version, s.client_id("a"));
    connect.properties.push(Property::AuthenticationMethod(&method.method));
    connect.properties.push(Property::AuthenticationData(method.data.as_bytes()));
    connect
}

fn auth(reason: ReasonCode, method: &str, data: &str) -> Auth<'static> {
    let mut auth = Auth::new(reason, opifex_packet::Properties::new());
    auth.properties.push(Property::AuthenticationMethod(method));
    auth.properties.push(Property::AuthenticationData(data.as_bytes()));
    auth
}

/// AUTH 0x18 of this method comes.
async fn expect_question(wire: &mut Wire, method: &Authentication) -> Outcome {
    match wire.next().await? {
        Event::Packet(Packet::Auth(auth)) => {
            ensure!(auth.reason == ReasonCode::ContinueAuthentication, "expected AUTH 0x18, got {auth:?}");
            let named = auth.properties.authentication_method();
            ensure!(named == Some(method.method.as_str()), "AUTH has the method {named:?}");
            Ok(())
        }
        came => Err(wire.unexpected("AUTH 0x18", &came)),
    }
}

/// This case's client "a", let in by the method.
async fn authenticated(s: &Scene) -> Result<(Wire, Authentication), Stop> {
    let method = method(s)?;
    let mut wire = s.open("a").await?;
    wire.send(connect(s, &method)).await?;
    expect_question(&mut wire, &method).await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &method.method, &method.answer)).await?;
    let connack = wire.expect_connack().await?;
    ensure!(connack.reason == ReasonCode::Success, "the right answer is refused: {connack:?}");
    let named = connack.properties.authentication_method();
    ensure!(named == Some(method.method.as_str()), "CONNACK has the method {named:?}");
    Ok((wire, method))
}

async fn the_flags_of_auth_are_checked(s: &Scene) -> Outcome {
    for flags in [0x01, 0x02, 0x04, 0x08] {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&RawPacket::new(0xf0 | flags)).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn an_unknown_method_is_refused(s: &Scene) -> Outcome {
    let mut connect = s.connect("a");
    connect.properties.push(Property::AuthenticationMethod("none-that-exists"));
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    wire.expect_refused(&[ReasonCode::BadAuthenticationMethod, ReasonCode::NotAuthorized]).await
}

async fn without_a_method_there_is_no_auth(s: &Scene) -> Outcome {
    // `join` takes no AUTH before CONNACK.
    let (mut wire, connack) = s.join(s.connect("a")).await?;
    let named = connack.properties.authentication_method();
    ensure!(named.is_none(), "the client named no method, and CONNACK has {named:?}");
    wire.expect_silence().await
}

async fn an_auth_without_a_method_is_refused(s: &Scene) -> Outcome {
    for reason in [ReasonCode::ReAuthenticate, ReasonCode::ContinueAuthentication] {
        let mut wire = s.connected("a").await?;
        wire.send(auth(reason, "any", "thing")).await?;
        wire.expect_refused(&[ReasonCode::ProtocolError, ReasonCode::BadAuthenticationMethod]).await?;
    }
    Ok(())
}

async fn a_server_asks_by_continue_authentication(s: &Scene) -> Outcome {
    authenticated(s).await?.0.expect_alive().await
}

async fn a_wrong_answer_is_refused(s: &Scene) -> Outcome {
    let method = method(s)?;
    let mut wire = s.open("a").await?;
    wire.send(connect(s, &method)).await?;
    expect_question(&mut wire, &method).await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &method.method, &method.wrong_answer)).await?;
    wire.expect_refused(&[ReasonCode::NotAuthorized, ReasonCode::BadUserNameOrPassword]).await
}

async fn while_it_authenticates_a_client_sends_nothing_else(s: &Scene) -> Outcome {
    let method = method(s)?;
    let mut watcher = s.subscriber("w", "t", QoS::AtMostOnce).await?;
    let mut wire = s.open("a").await?;
    wire.send(connect(s, &method)).await?;
    expect_question(&mut wire, &method).await?;
    wire.publish(&s.topic("t"), "too early", QoS::AtMostOnce).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError, ReasonCode::NotAuthorized]).await?;
    watcher.expect_silence().await
}

async fn a_code_that_auth_does_not_have_is_refused(s: &Scene) -> Outcome {
    let method = method(s)?;
    for code in [0x01, 0x80, 0x87] {
        let mut wire = s.open("a").await?;
        wire.send(connect(s, &method)).await?;
        expect_question(&mut wire, &method).await?;
        wire.send_raw(&RawPacket::new(0xf0).u8(code).u8(0)).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn an_auth_of_another_method_is_refused(s: &Scene) -> Outcome {
    let method = method(s)?;
    let mut wire = s.open("a").await?;
    wire.send(connect(s, &method)).await?;
    expect_question(&mut wire, &method).await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, "another", &method.answer)).await?;
    wire.expect_refused(BAD_METHOD).await
}

async fn a_client_may_authenticate_again(s: &Scene) -> Outcome {
    let (mut wire, method) = authenticated(s).await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    wire.send(auth(ReasonCode::ReAuthenticate, &method.method, &method.data)).await?;
    expect_question(&mut wire, &method).await?;
    // Everything else goes on meanwhile.
    wire.publish(&s.topic("t"), "meanwhile", QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("t"), "meanwhile").await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &method.method, &method.answer)).await?;
    match wire.next().await? {
        Event::Packet(Packet::Auth(auth)) => {
            ensure!(auth.reason == ReasonCode::Success, "expected AUTH 0x00, got {auth:?}");
        }
        came => return Err(wire.unexpected("AUTH 0x00", &came)),
    }
    wire.expect_alive().await
}

async fn authenticating_again_keeps_the_method(s: &Scene) -> Outcome {
    let (mut wire, method) = authenticated(s).await?;
    wire.send(auth(ReasonCode::ReAuthenticate, "another", &method.data)).await?;
    wire.expect_refused(BAD_METHOD).await
}

async fn who_fails_to_authenticate_again_is_closed(s: &Scene) -> Outcome {
    let (mut wire, method) = authenticated(s).await?;
    wire.send(auth(ReasonCode::ReAuthenticate, &method.method, &method.data)).await?;
    expect_question(&mut wire, &method).await?;
    wire.send(auth(ReasonCode::ContinueAuthentication, &method.method, &method.wrong_answer)).await?;
    wire.expect_refused(&[ReasonCode::NotAuthorized, ReasonCode::BadUserNameOrPassword]).await
}

/// A success without properties names no method, and is none that a client has to say: the server closes. What this shows is
/// that it takes it for an AUTH, not for a broken packet.
async fn an_auth_of_length_0_is_a_success(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&RawPacket::new(0xf0)).await?;
    wire.expect_refused(&[
        ReasonCode::ProtocolError,
        ReasonCode::BadAuthenticationMethod,
        ReasonCode::NotAuthorized,
    ])
    .await
}

async fn authentication_properties_stand_once_and_together(s: &Scene) -> Outcome {
    let method: &[u8] = &[0x15, 0, 1, b'm'];
    let data: &[u8] = &[0x16, 0, 1, b'd'];
    for block in [[method, method].concat(), [method, data, data].concat(), data.to_vec()] {
        let mut wire = s.open("a").await?;
        let head = RawPacket::new(0x10).string("MQTT").u8(5).u8(2).u16(60);
        wire.send_raw(&head.properties(block).string(&s.client_id("a"))).await?;
        wire.expect_refused(&[
            ReasonCode::ProtocolError,
            ReasonCode::MalformedPacket,
            ReasonCode::BadAuthenticationMethod,
            ReasonCode::NotAuthorized,
        ])
        .await?;
    }
    Ok(())
}
