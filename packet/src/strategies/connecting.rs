//! CONNECT, its will, and CONNACK.

use proptest::prelude::*;

use super::fields::{binary, qos, text, topic_name};
use super::properties::properties;
use crate::{Connack, Connect, PropertyContext, ReasonCode, Version, Will};

/// CONNECT.
pub fn connect(version: Version) -> impl Strategy<Value = Connect<'static>> {
    (
        any::<(bool, u16)>(),
        text(),
        prop::option::of(will(version)),
        prop::option::of(text()),
        prop::option::of(binary()),
        properties(PropertyContext::Connect, version),
    )
        .prop_map(
            move |((clean_start, keep_alive_secs), client_id, will, user_name, password, properties)| {
                // [MQTT-3.1.2-22] of 3.1.1.
                let password = password.filter(|_| version.is_v5() || user_name.is_some());
                Connect {
                    version,
                    clean_start,
                    keep_alive_secs,
                    client_id: client_id.into(),
                    will,
                    user_name: user_name.map(Into::into),
                    password: password.map(Into::into),
                    properties,
                }
            },
        )
}

/// The will of a CONNECT.
pub fn will(version: Version) -> impl Strategy<Value = Will<'static>> {
    (qos(), any::<bool>(), topic_name(), binary(), properties(PropertyContext::Will, version)).prop_map(
        |(qos, retain, topic, payload, properties)| Will {
            qos,
            retain,
            topic,
            payload: payload.into(),
            properties,
        },
    )
}

/// CONNACK.
pub fn connack(version: Version) -> impl Strategy<Value = Connack<'static>> {
    let reasons: Vec<ReasonCode> = if version.is_v5() {
        ReasonCode::ALL.into_iter().filter(|&reason| crate::connack::allows(reason)).collect()
    } else {
        (0..=5).filter_map(ReasonCode::from_connect_return_code).collect()
    };
    let reason = prop_oneof![Just(ReasonCode::Success), prop::sample::select(reasons)];
    (any::<bool>(), reason, properties(PropertyContext::Connack, version)).prop_map(
        move |(session_present, reason, properties)| {
            // [MQTT-3.2.2-6]; 3.1 has no such flag.
            let session_present =
                session_present && reason == ReasonCode::Success && version != Version::V3_1;
            Connack { session_present, reason, properties }
        },
    )
}
