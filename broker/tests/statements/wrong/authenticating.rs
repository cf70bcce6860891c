//! Wrong about authentication by AUTH.

use opifex_packet::{Auth, Packet, Properties, Property, ReasonCode};

use super::{Way, Wrong, each, wrong_brokers};
use crate::house::House;

/// The same properties with another method.
fn renamed(properties: &Properties<'_>) -> Properties<'static> {
    let mut renamed = properties.retain(|property| !matches!(property, Property::AuthenticationMethod(_)));
    renamed.push(Property::AuthenticationMethod("puzzle"));
    renamed
}

/// The same AUTH with data that is right.
fn answered(auth: &Auth<'_>) -> Properties<'static> {
    let mut answered =
        auth.properties.retain(|property| !matches!(property, Property::AuthenticationData(_)));
    answered.push(Property::AuthenticationData(b"a river"));
    answered
}

wrong_brokers! {
    in House::Guarded;
    it_asks_by_another_method: Wrong {
        breaks: &["MQTT-3.15.2-1", "MQTT-4.12.0-5", "U5-40"],
        caught_by: &["auth_steps::who_authenticated_again_is_told_so_by_the_method"],
        drags_along: &[
            "MQTT-3.1.2-30", "MQTT-3.1.4-2", "MQTT-3.15.1-1", "MQTT-4.12.0-3", "MQTT-4.12.1-1", "MQTT-4.12.1-2",
        ],
        lie: || each(|way, packet| {
            if let (Way::Out, Packet::Auth(auth)) = (way, packet) {
                auth.properties = renamed(&auth.properties);
            }
        }),
    };
    it_tells_of_another_method_when_all_is_done: Wrong {
        breaks: &["MQTT-4.12.0-5", "U5-40"],
        caught_by: &["auth_steps::who_authenticated_again_is_told_so_by_the_method"],
        drags_along: &[],
        lie: || each(|way, packet| {
            if let (Way::Out, Packet::Auth(auth)) = (way, packet)
                && auth.reason == ReasonCode::Success
            {
                auth.properties = renamed(&auth.properties);
            }
        }),
    };
    it_takes_any_code_for_an_answer: Wrong {
        breaks: &["MQTT-4.12.0-3"],
        caught_by: &["auth_steps::an_answer_with_another_code_is_refused"],
        drags_along: &[],
        lie: || {
            let mut asked = false;
            each(move |way, packet| match (way, packet) {
                (Way::Out, Packet::Auth(_)) => asked = true,
                (Way::Out, Packet::Connack(_)) => asked = false,
                (Way::In, Packet::Auth(auth)) if asked => auth.reason = ReasonCode::ContinueAuthentication,
                _ => {}
            })
        },
    };
    it_takes_any_answer: Wrong {
        breaks: &["MQTT-3.1.4-2", "MQTT-4.12.0-4", "MQTT-4.12.1-2"],
        caught_by: &["auth::a_wrong_answer_is_refused", "auth::who_fails_to_authenticate_again_is_closed"],
        drags_along: &[],
        lie: || each(|way, packet| {
            if let (Way::In, Packet::Auth(auth)) = (way, packet)
                && auth.reason == ReasonCode::ContinueAuthentication
            {
                auth.properties = answered(auth);
            }
        }),
    };
    it_serves_whoever_has_not_answered: Wrong {
        breaks: &["MQTT-3.1.2-30"],
        caught_by: &["auth_steps::before_connack_there_is_only_auth_and_disconnect"],
        drags_along: &[],
        lie: || {
            let (mut asked, mut connected) = (false, false);
            Box::new(move |way, packet| {
                match (way, &packet) {
                    (Way::Out, Packet::Auth(_)) => asked = !connected,
                    (Way::Out, Packet::Connack(_)) => (asked, connected) = (false, true),
                    (Way::In, Packet::Pingreq | Packet::Publish(_)) if asked => return Vec::new(),
                    _ => {}
                }
                vec![packet]
            })
        },
    };
}
