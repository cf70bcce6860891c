//! Wrong about CONNECT and CONNACK.

use opifex_packet::{Packet, ReasonCode};

use super::{Way, Wrong, each, wrong_brokers};

wrong_brokers! {
    it_never_finds_a_session: Wrong {
        breaks: &["MQTT-3.1.2-23", "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-3.2.2-3"],
        caught_by: &["connack::a_session_that_is_there_is_present"],
        drags_along: &["MQTT-3.1.3-2", "MQTT-3.1.3-7", "MQTT-3.1.3-9"],
        lie: || each(|_, packet| {
            if let Packet::Connack(connack) = packet {
                connack.session_present = false;
            }
        }),
    };
    it_always_finds_a_session: Wrong {
        breaks: &[
            "MQTT-3.1.2-4", "MQTT-3.1.2-6", "MQTT-3.1.4-3", "MQTT-3.1.4-4", "MQTT-3.2.2-1", "MQTT-3.2.2-2",
            "MQTT-3.2.2-3",
        ],
        caught_by: &[
            "connack::a_clean_start_finds_no_session",
            "connack::a_session_that_is_not_there_is_not_present",
        ],
        drags_along: &["MQTT-3.1.3-2", "MQTT-4.1.0-2", "U5-13"],
        lie: || each(|_, packet| {
            if let Packet::Connack(connack) = packet {
                connack.session_present = connack.reason == ReasonCode::Success;
            }
        }),
    };
    it_takes_a_second_connect_for_nothing: Wrong {
        breaks: &["MQTT-3.1.0-2"],
        caught_by: &["connect::a_second_connect_is_refused"],
        drags_along: &["MQTT-3.1.2-24", "MQTT-3.1.2-8", "MQTT-3.14.2-1"],
        lie: || {
            let mut connected = false;
            Box::new(move |way, packet| {
                let again = connected && way == Way::In && matches!(packet, Packet::Connect(_));
                connected |= matches!(packet, Packet::Connect(_));
                if again { Vec::new() } else { vec![packet] }
            })
        },
    };
}
