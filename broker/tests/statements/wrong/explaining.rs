//! Wrong about reasons in words.

use opifex_packet::{Packet, Property, ReasonCode};

use super::{Way, Wrong, connect_without, each, wrong_brokers};
use crate::house::House;

/// Whether an acknowledgement that refuses something says why; `None`: it refuses nothing.
fn is_explained(packet: &Packet<'_>) -> Option<bool> {
    let (refuses, properties) = match packet {
        Packet::Puback(packet) => (packet.reason.is_error(), &packet.properties),
        Packet::Pubrec(packet) => (packet.reason.is_error(), &packet.properties),
        Packet::Pubrel(packet) => (packet.reason.is_error(), &packet.properties),
        Packet::Pubcomp(packet) => (packet.reason.is_error(), &packet.properties),
        Packet::Suback(packet) => (packet.reasons.iter().any(|reason| reason.is_error()), &packet.properties),
        // There was nothing to unsubscribe from.
        Packet::Unsuback(packet) => {
            (packet.reasons.iter().any(|&reason| reason != ReasonCode::Success), &packet.properties)
        }
        _ => return None,
    };
    refuses.then(|| properties.reason_string().is_some())
}

/// The cases about acknowledgements to a client that wants no explanations.
const TO_WHO_DECLINES: &[&str] = &[
    "reasons::a_puback_gives_no_reasons_to_who_declines_them",
    "reasons::a_pubrec_gives_no_reasons_to_who_declines_them",
    "reasons::a_pubrel_gives_no_reasons_to_who_declines_them",
    "reasons::a_pubcomp_gives_no_reasons_to_who_declines_them",
    "reasons::a_suback_gives_no_reasons_to_who_declines_them",
    "reasons::an_unsuback_gives_no_reasons_to_who_declines_them",
];

wrong_brokers! {
    in House::Guarded;
    it_explains_itself_at_any_length: Wrong {
        breaks: &[
            "MQTT-3.1.2-24", "MQTT-3.11.2-1", "MQTT-3.14.2-3", "MQTT-3.2.2-19", "MQTT-3.4.2-2", "MQTT-3.5.2-2",
            "MQTT-3.6.2-2", "MQTT-3.7.2-2", "MQTT-3.9.2-1",
        ],
        caught_by: &[
            "reasons::a_connack_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_puback_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubrec_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubrel_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubcomp_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_suback_leaves_out_a_reason_string_that_is_too_long",
            "reasons::an_unsuback_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_disconnect_leaves_out_a_reason_string_that_is_too_long",
            "connect_properties::no_auth_is_too_large_for_the_client",
        ],
        drags_along: &["MQTT-3.1.2-25"],
        lie: || connect_without(|property| matches!(property, Property::MaximumPacketSize(_))),
    };
    it_explains_itself_to_who_declines_it: Wrong {
        breaks: &["MQTT-3.1.2-29"],
        caught_by: TO_WHO_DECLINES,
        drags_along: &[],
        lie: || connect_without(|property| matches!(property, Property::RequestProblemInformation(_))),
    };
    it_does_not_answer_where_there_is_no_room_to_explain: Wrong {
        breaks: &[
            "MQTT-3.11.2-1", "MQTT-3.4.2-2", "MQTT-3.5.2-2", "MQTT-3.6.2-2", "MQTT-3.7.2-2", "MQTT-3.9.2-1",
        ],
        caught_by: &[
            "reasons::a_puback_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubrec_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubrel_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_pubcomp_leaves_out_a_reason_string_that_is_too_long",
            "reasons::a_suback_leaves_out_a_reason_string_that_is_too_long",
            "reasons::an_unsuback_leaves_out_a_reason_string_that_is_too_long",
        ],
        drags_along: &["MQTT-3.1.2-24"],
        lie: || {
            let mut limited = false;
            Box::new(move |way, packet| {
                if let (Way::In, Packet::Connect(connect)) = (way, &packet) {
                    limited = connect.properties.maximum_packet_size().is_some();
                }
                let swallowed = limited && is_explained(&packet) == Some(false);
                if swallowed { Vec::new() } else { vec![packet] }
            })
        },
    };
    it_does_not_answer_who_declines_an_explanation: Wrong {
        breaks: &["MQTT-3.1.2-29"],
        caught_by: TO_WHO_DECLINES,
        drags_along: &[],
        lie: || {
            let mut declined = false;
            Box::new(move |way, mut packet| {
                if let (Way::In, Packet::Connect(connect)) = (way, &mut packet) {
                    declined = connect.properties.request_problem_information() == Some(false);
                    connect.properties = connect
                        .properties
                        .retain(|property| !matches!(property, Property::RequestProblemInformation(_)));
                }
                if declined && is_explained(&packet) == Some(true) { Vec::new() } else { vec![packet] }
            })
        },
    };
    it_adds_user_properties_at_any_length: Wrong {
        breaks: &[
            "MQTT-3.1.2-29", "MQTT-3.11.2-2", "MQTT-3.14.2-4", "MQTT-3.15.2-3", "MQTT-3.2.2-20", "MQTT-3.4.2-3",
            "MQTT-3.5.2-3", "MQTT-3.6.2-3", "MQTT-3.7.2-3", "MQTT-3.9.2-2",
        ],
        caught_by: &[
            "reasons::a_connack_leaves_out_user_properties_that_are_too_long",
            "reasons::a_puback_leaves_out_user_properties_that_are_too_long",
            "reasons::a_pubrec_leaves_out_user_properties_that_are_too_long",
            "reasons::a_pubrel_leaves_out_user_properties_that_are_too_long",
            "reasons::a_pubcomp_leaves_out_user_properties_that_are_too_long",
            "reasons::a_suback_leaves_out_user_properties_that_are_too_long",
            "reasons::an_unsuback_leaves_out_user_properties_that_are_too_long",
            "reasons::a_disconnect_leaves_out_user_properties_that_are_too_long",
            "reasons::an_auth_leaves_out_user_properties_that_are_too_long",
            "reasons::an_auth_gives_no_reasons_to_who_declines_them",
        ],
        drags_along: &[
            "MQTT-3.1.2-24", "MQTT-3.11.2-1", "MQTT-3.14.2-3", "MQTT-3.2.2-19", "MQTT-3.4.2-2", "MQTT-3.5.2-2",
            "MQTT-3.6.2-2", "MQTT-3.7.2-2", "MQTT-3.9.2-1",
        ],
        lie: || each(|way, packet| {
            let properties = match packet {
                _ if way == Way::In => return,
                Packet::Connack(packet) if packet.reason.is_error() => &mut packet.properties,
                Packet::Puback(packet) => &mut packet.properties,
                Packet::Pubrec(packet) => &mut packet.properties,
                Packet::Pubrel(packet) => &mut packet.properties,
                Packet::Pubcomp(packet) => &mut packet.properties,
                Packet::Suback(packet) => &mut packet.properties,
                Packet::Unsuback(packet) => &mut packet.properties,
                Packet::Disconnect(packet) => &mut packet.properties,
                Packet::Auth(packet) => &mut packet.properties,
                _ => return,
            };
            properties.push(Property::UserProperty("answered by", "somebody in between"));
        }),
    };
    it_explains_an_auth_at_any_length: Wrong {
        breaks: &["MQTT-3.1.2-29", "MQTT-3.15.2-2"],
        caught_by: &[
            "reasons::an_auth_leaves_out_a_reason_string_that_is_too_long",
            "reasons::an_auth_gives_no_reasons_to_who_declines_them",
        ],
        drags_along: &["MQTT-3.1.2-24"],
        lie: || each(|way, packet| {
            if let (Way::Out, Packet::Auth(auth)) = (way, packet) {
                auth.properties.push(Property::ReasonString("because somebody in between wants it so"));
            }
        }),
    };
}
