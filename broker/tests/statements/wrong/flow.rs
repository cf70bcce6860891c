//! Wrong about how many messages may be unacknowledged.

use opifex_packet::{Packet, Property, QoS};

use super::{Way, Wrong, each, wrong_brokers};

wrong_brokers! {
    it_takes_more_than_it_says: Wrong {
        breaks: &["MQTT-3.3.4-7", "U5-25"],
        caught_by: &["flow::more_than_the_servers_receive_maximum_is_refused"],
        drags_along: &[],
        lie: || each(|_, packet| {
            if let Packet::Connack(connack) = packet {
                connack.properties =
                    connack.properties.retain(|property| !matches!(property, Property::ReceiveMaximum(_)));
                if !connack.reason.is_error() {
                    connack.properties.push(Property::ReceiveMaximum(30));
                }
            }
        }),
    };
    it_counts_what_was_refused: Wrong {
        breaks: &["U5-39"],
        caught_by: &["flow::a_refusal_opens_the_window"],
        drags_along: &["MQTT-4.4.0-2", "MQTT-4.8.2-6"],
        lie: || Box::new(|way, packet| match packet {
            Packet::Pubrec(pubrec) if way == Way::In && pubrec.reason.is_error() => Vec::new(),
            packet => vec![packet],
        }),
    };
    it_hangs_on_an_acknowledgement_that_ends_nothing: Wrong {
        breaks: &["U5-39"],
        caught_by: &["flow::the_window_never_grows_beyond_its_size"],
        drags_along: &[],
        lie: || {
            let mut hangs = false;
            Box::new(move |way, packet| {
                // No case gets so far by itself.
                hangs |= matches!((way, &packet), (Way::In, Packet::Puback(puback)) if puback.packet_id.get() > 60_000);
                if hangs { Vec::new() } else { vec![packet] }
            })
        },
    };
    it_answers_nothing_while_the_window_is_full: Wrong {
        breaks: &["MQTT-3.3.4-10", "MQTT-4.9.0-3"],
        caught_by: &["flow::a_full_window_delays_nothing_else"],
        drags_along: &[],
        lie: || {
            let mut quota = u16::MAX;
            let mut held = Vec::new();
            Box::new(move |way, packet| {
                match (way, &packet) {
                    (_, Packet::Connect(connect)) => {
                        quota = connect.properties.receive_maximum().unwrap_or(u16::MAX);
                    }
                    (Way::Out, Packet::Publish(publish)) if publish.qos() != QoS::AtMostOnce => quota = quota.saturating_sub(1),
                    (Way::In, Packet::Puback(_) | Packet::Pubcomp(_)) => quota = quota.saturating_add(1),
                    (Way::In, Packet::Pubrec(pubrec)) if pubrec.reason.is_error() => quota = quota.saturating_add(1),
                    (Way::Out, Packet::Suback(_) | Packet::Puback(_)) if quota == 0 => {
                        held.push(packet);
                        return Vec::new();
                    }
                    _ => {}
                }
                let mut packets = if way == Way::Out && quota > 0 { std::mem::take(&mut held) } else { Vec::new() };
                packets.push(packet);
                packets
            })
        },
    };
}
