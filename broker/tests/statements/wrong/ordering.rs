//! Wrong about the order of messages.

use opifex_packet::{Packet, Publish};

use super::{Lie, Way, Wrong, wrong_brokers};

/// Sends the message that is `late` behind the one that is `early`, when one comes after the other.
fn behind(late: fn(&Publish<'_>) -> bool, early: fn(&Publish<'_>) -> bool) -> Lie {
    let mut held = None;
    Box::new(move |way, packet| match &packet {
        Packet::Publish(publish) if way == Way::Out && late(publish) => {
            held = Some(packet);
            Vec::new()
        }
        Packet::Publish(publish) if way == Way::Out && early(publish) => {
            std::iter::once(packet).chain(held.take()).collect()
        }
        _ => vec![packet],
    })
}

/// Whether it is this number in a row of QoS 1 messages.
fn is_number(publish: &Publish<'_>, number: &str) -> bool {
    let counted = publish.topic.as_ref().is_some_and(|topic| topic.as_str().ends_with("/q1"));
    counted && *publish.payload == *number.as_bytes()
}

wrong_brokers! {
    it_lets_a_message_overtake_another: Wrong {
        breaks: &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
        caught_by: &[
            "ordering::messages_come_in_the_order_in_which_they_were_published",
            "ordering::messages_published_at_once_come_in_their_order",
            "ordering::messages_that_waited_come_in_their_order",
            "ordering::messages_that_waited_come_before_those_that_come_live",
        ],
        drags_along: &[],
        lie: || behind(|publish| is_number(publish, "7"), |publish| is_number(publish, "8")),
    };
    it_sends_again_in_another_order: Wrong {
        breaks: &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
        caught_by: &["ordering::messages_are_sent_again_in_their_order"],
        drags_along: &[],
        lie: || behind(
            |publish| publish.dup && is_number(publish, "0"),
            |publish| publish.dup && is_number(publish, "1"),
        ),
    };
    it_releases_in_another_order: Wrong {
        breaks: &["MQTT-4.6.0-6"],
        caught_by: &["ordering::releases_come_in_the_order_of_what_they_answer"],
        drags_along: &[],
        lie: || {
            let (mut awaited, mut held) = (0, None);
            Box::new(move |way, packet| match &packet {
                Packet::Pubrec(_) if way == Way::In => {
                    awaited += 1;
                    vec![packet]
                }
                Packet::Pubrel(_) if way == Way::Out => {
                    awaited -= 1;
                    if held.is_none() && awaited > 0 {
                        held = Some(packet);
                        return Vec::new();
                    }
                    std::iter::once(packet).chain(held.take()).collect()
                }
                _ => vec![packet],
            })
        },
    };
}
