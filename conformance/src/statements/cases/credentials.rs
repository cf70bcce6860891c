//! 3.1.2.8 and 3.1.2.9: user name and password, and who is let in.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Connect, QoS, ReasonCode};

use super::connack::expect_refusal;
use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};

chapter! { "credentials", "3.1.2 user name and password";
    a_user_name_without_its_flag_is_refused: v4 ["MQTT-3.1.2-18"], v5 ["MQTT-3.1.2-16"];
    a_user_name_flag_without_user_name_is_refused: v4 ["MQTT-3.1.2-19"], v5 ["MQTT-3.1.2-17"];
    a_password_without_its_flag_is_refused: v4 ["MQTT-3.1.2-20"], v5 ["MQTT-3.1.2-18"];
    a_password_flag_without_password_is_refused: v4 ["MQTT-3.1.2-21"], v5 ["MQTT-3.1.2-19"];
    a_password_needs_a_user_name: v4 ["MQTT-3.1.2-22"];
    a_user_name_that_is_no_text_is_refused: v4 ["MQTT-3.1.3-11"], v5 ["MQTT-3.1.3-12"];
    a_wrong_password_is_refused:
        v4 ["MQTT-3.2.2-4", "MQTT-3.2.2-5"], v5 ["MQTT-3.1.4-2", "MQTT-3.2.2-7", "MQTT-3.2.2-8"];
    nobody_is_refused_where_users_are_asked_for:
        v4 ["MQTT-3.2.2-5"], v5 ["MQTT-3.1.4-2", "MQTT-3.2.2-7"];
    what_may_not_be_published_reaches_nobody: v4 ["MQTT-3.3.5-2"], v5 ["MQTT-3.3.4-1"];
}

const FLAGS: usize = 7;
const USER_NAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;

/// A CONNECT with these flags and those bytes behind its client id is refused.
async fn refused(s: &Scene, flags: u8, fields: impl FnOnce(RawPacket) -> RawPacket) -> Outcome {
    let mut wire = s.open("a").await?;
    let mut packet = RawPacket::of(&Connect::new(s.version, s.client_id("a")).into(), s.version);
    packet.body[FLAGS] |= flags;
    wire.send_raw(&fields(packet)).await?;
    wire.expect_refused(&[
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::BadUserNameOrPassword,
    ])
    .await
}

async fn a_user_name_without_its_flag_is_refused(s: &Scene) -> Outcome {
    refused(s, 0, |packet| packet.string("user")).await
}

async fn a_user_name_flag_without_user_name_is_refused(s: &Scene) -> Outcome {
    refused(s, USER_NAME, |packet| packet).await
}

async fn a_password_without_its_flag_is_refused(s: &Scene) -> Outcome {
    refused(s, USER_NAME, |packet| packet.string("user").string("password")).await
}

async fn a_password_flag_without_password_is_refused(s: &Scene) -> Outcome {
    refused(s, USER_NAME | PASSWORD, |packet| packet.string("user")).await
}

async fn a_password_needs_a_user_name(s: &Scene) -> Outcome {
    refused(s, PASSWORD, |packet| packet.string("password")).await
}

async fn a_user_name_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    refused(s, USER_NAME | PASSWORD, |packet| packet.binary(&[0xff, 0xfe]).string("password")).await
}

async fn a_wrong_password_is_refused(s: &Scene) -> Outcome {
    let login = s.descriptor.refused_user.clone();
    s.needs(login.is_some(), "a login that is refused (refused_user)")?;
    let Some(login) = login else { return Ok(()) };
    let mut connect = s.connect("a");
    connect.user_name = Some(login.name.into());
    connect.password = Some(login.password.into_bytes().into());
    let mut wire = s.open("a").await?;
    wire.send(connect).await?;
    let codes = [ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized];
    expect_refusal(&mut wire, s, &codes).await
}

async fn nobody_is_refused_where_users_are_asked_for(s: &Scene) -> Outcome {
    s.needs(s.descriptor.refuses_anonymous, "a broker that asks for users (refuses_anonymous)")?;
    let mut wire = s.open("a").await?;
    wire.send(Connect::new(s.version, s.client_id("a"))).await?;
    let codes = [ReasonCode::BadUserNameOrPassword, ReasonCode::NotAuthorized];
    expect_refusal(&mut wire, s, &codes).await
}

/// 3.1.1: acknowledged as ever, or the connection closes. 5.0 has a code for it.
async fn what_may_not_be_published_reaches_nobody(s: &Scene) -> Outcome {
    let forbidden = s.descriptor.forbidden_topic.clone();
    s.needs(forbidden.is_some(), "a topic that may not be published to (forbidden_topic)")?;
    let forbidden = forbidden.unwrap_or_default();
    let mut watcher = s.connected("w").await?;
    let subscription = watcher.subscriptions(&[(forbidden.as_str(), QoS::AtLeastOnce.into())]);
    watcher.send(subscription).await?;
    watcher.expect_suback().await?;

    let mut wire = s.connected("a").await?;
    let publish = wire.message(&forbidden, "forbidden", QoS::AtLeastOnce);
    let id = publish.delivery.packet_id();
    wire.send(publish).await?;
    match wire.next().await? {
        crate::statements::Event::End => {}
        crate::statements::Event::Packet(opifex_packet::Packet::Puback(puback))
            if Some(puback.packet_id) == id && (!s.is_v5() || puback.reason == ReasonCode::NotAuthorized) => {
        }
        crate::statements::Event::Packet(opifex_packet::Packet::Disconnect(disconnect))
            if disconnect.reason == ReasonCode::NotAuthorized =>
        {
            wire.expect_closed().await?;
        }
        came => return Err(wire.unexpected("PUBACK (5.0: 0x87), or the end", &came)),
    }
    watcher.expect_silence().await
}
