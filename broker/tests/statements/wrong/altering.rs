//! Wrong about what it sends: the broker says the right thing, and the client hears another.

use opifex_packet::{Delivery, Packet, PacketId, Property, Publish, QoS, ReasonCode};

use super::{Lie, Way, Wrong, each, wrong_brokers};

/// Changes the packets that come from the broker.
fn out(mut lie: impl FnMut(&mut Packet<'static>) + Send + 'static) -> Lie {
    each(move |way, packet| {
        if way == Way::Out {
            lie(packet);
        }
    })
}

/// Changes the messages that come from the broker.
fn message(mut lie: impl FnMut(&mut Publish<'static>) + Send + 'static) -> Lie {
    out(move |packet| {
        if let Packet::Publish(publish) = packet {
            lie(publish);
        }
    })
}

/// Leaves out the properties of that identifier.
fn without(id: u8) -> Lie {
    message(move |publish| {
        let of = |property: &Property<'_>| {
            let block = opifex_packet::Properties::new().with(*property);
            block.as_bytes().first() == Some(&id)
        };
        publish.properties = publish.properties.retain(|property| !of(property));
    })
}

/// One number that cases use takes another's place.
fn mixed_up(id: &mut PacketId) {
    if id.get() == 77 {
        *id = PacketId::MAX;
    }
}

wrong_brokers! {
    it_sets_dup_on_new_messages: Wrong {
        breaks: &["MQTT-3.3.1-3", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3"],
        caught_by: &["publish::dup_is_not_passed_on", "qos::a_qos_1_message_waits_for_puback"],
        drags_along: &["MQTT-3.3.1-1", "MQTT-4.3.3-1", "MQTT-4.3.3-2"],
        lie: || message(|publish| publish.dup = publish.delivery != Delivery::AtMostOnce),
    };
    it_never_sets_dup: Wrong {
        breaks: &["MQTT-3.3.1-1"],
        caught_by: &["publish::a_message_sent_again_has_dup_set"],
        drags_along: &["MQTT-4.4.0-1"],
        lie: || message(|publish| publish.dup = false),
    };
    it_says_that_everything_was_retained: Wrong {
        breaks: &["MQTT-3.3.1-12", "MQTT-3.3.1-9"],
        caught_by: &["retained::a_live_message_has_retain_cleared"],
        drags_along: &["MQTT-3.1.2-14", "MQTT-3.1.2-16", "MQTT-3.3.1-13", "MQTT-3.3.1-2"],
        lie: || message(|publish| publish.retain = true),
    };
    it_never_says_that_a_message_was_retained: Wrong {
        breaks: &["MQTT-3.3.1-13", "MQTT-3.3.1-8", "MQTT-3.3.1-9"],
        caught_by: &[
            "retained::an_answer_to_subscribe_has_retain_set", "retained::retain_as_published_keeps_the_flag",
        ],
        drags_along: &["MQTT-3.1.2-15", "MQTT-3.1.2-17"],
        lie: || message(|publish| publish.retain = false),
    };
    it_sends_but_one_retained_message: Wrong {
        breaks: &["MQTT-3.3.1-6", "MQTT-3.3.1-9"],
        caught_by: &["retained::all_matching_retained_messages_are_sent"],
        drags_along: &[],
        lie: || Box::new(|way, packet| {
            let further = |publish: &Publish<'_>| {
                publish.retain && publish.topic.as_ref().is_some_and(|topic| topic.as_str().ends_with("/t/1/2"))
            };
            let kept_back = way == Way::Out && matches!(&packet, Packet::Publish(publish) if further(publish));
            if kept_back { Vec::new() } else { vec![packet] }
        }),
    };
    it_loses_user_properties: Wrong {
        breaks: &["MQTT-3.3.2-17"],
        caught_by: &["message_properties::user_properties_are_forwarded"],
        drags_along: &["MQTT-3.1.3-10", "MQTT-3.3.2-18"],
        lie: || without(0x26),
    };
    it_turns_user_properties_around: Wrong {
        breaks: &["MQTT-3.1.3-10", "MQTT-3.3.2-18"],
        caught_by: &[
            "message_properties::the_order_of_user_properties_is_kept",
            "will::a_will_keeps_its_properties_and_their_order",
        ],
        drags_along: &[],
        lie: || message(|publish| {
            let block = publish.properties.clone();
            let mut pairs: Vec<_> = block.iter().collect();
            pairs.reverse();
            publish.properties = pairs.into_iter().collect();
        }),
    };
    it_loses_correlation_data: Wrong {
        breaks: &["MQTT-3.3.2-16"],
        caught_by: &["message_properties::correlation_data_is_forwarded"],
        drags_along: &["MQTT-3.1.3-10"],
        lie: || without(0x09),
    };
    it_loses_response_topics: Wrong {
        breaks: &["MQTT-3.3.2-15"],
        caught_by: &["message_properties::a_response_topic_is_forwarded"],
        drags_along: &["MQTT-3.1.3-10"],
        lie: || without(0x08),
    };
    it_loses_content_types: Wrong {
        breaks: &["MQTT-3.3.2-20"],
        caught_by: &["message_properties::a_content_type_is_forwarded"],
        drags_along: &["MQTT-3.1.3-10"],
        lie: || without(0x03),
    };
    it_loses_payload_format_indicators: Wrong {
        breaks: &["MQTT-3.3.2-4"],
        caught_by: &["message_properties::a_payload_format_indicator_is_forwarded"],
        drags_along: &["MQTT-3.1.3-10"],
        lie: || without(0x01),
    };
    it_forwards_an_expiry_as_it_came: Wrong {
        breaks: &["MQTT-3.3.2-6"],
        caught_by: &["message_properties::the_expiry_that_is_left_is_forwarded"],
        drags_along: &[],
        lie: || message(|publish| {
            if publish.properties.message_expiry_interval().is_some() {
                let mut block = publish.properties.retain(|property| {
                    !matches!(property, Property::MessageExpiryInterval(_))
                });
                block.push(Property::MessageExpiryInterval(1_000));
                publish.properties = block;
            }
        }),
    };
    it_loses_subscription_identifiers: Wrong {
        breaks: &["MQTT-3.3.4-3", "MQTT-3.3.4-4"],
        caught_by: &[
            "publish::identifiers_of_overlapping_subscriptions_come_along",
            "publish::a_single_copy_has_the_identifiers_of_all_subscriptions",
        ],
        drags_along: &["U5-31"],
        lie: || without(0x0b),
    };
    it_sends_aliases_that_nobody_asked_for: Wrong {
        breaks: &["MQTT-3.1.2-27"],
        caught_by: &["topic_alias::a_client_without_maximum_gets_no_aliases"],
        drags_along: &["MQTT-3.1.2-26"],
        lie: || message(|publish| {
            if publish.topic.as_ref().is_some_and(|topic| topic.as_str().ends_with("/t3")) {
                publish.properties.push(Property::TopicAlias(9));
            }
        }),
    };
    it_lets_a_message_pass_another: Wrong {
        breaks: &["MQTT-4.6.0-5", "MQTT-4.6.0-6"],
        caught_by: &["topics::messages_of_one_publisher_come_in_order"],
        drags_along: &[],
        lie: || {
            let mut held = None;
            Box::new(move |way, packet| {
                let is = |text: &[u8]| matches!(&packet, Packet::Publish(publish) if *publish.payload == *text);
                if way == Way::Out && is(b"33") {
                    held = Some(packet);
                    return Vec::new();
                }
                if way == Way::Out && is(b"34") {
                    return [Some(packet), held.take()].into_iter().flatten().collect();
                }
                vec![packet]
            })
        },
    };
    it_delivers_a_repeat_again: Wrong {
        breaks: &["MQTT-4.3.3-10", "MQTT-4.3.3-2"],
        caught_by: &["qos::a_qos_2_message_is_not_delivered_twice"],
        drags_along: &[],
        lie: || Box::new(|way, packet| {
            let twice = way == Way::Out && matches!(&packet, Packet::Publish(publish) if *publish.payload == *b"once");
            if twice { vec![packet.clone(), packet] } else { vec![packet] }
        }),
    };
    it_delivers_qos_1_as_qos_0_to_who_asked_for_qos_2: Wrong {
        breaks: &["MQTT-3.8.4-6", "MQTT-3.8.4-8"],
        caught_by: &["subscribe::a_delivery_has_the_lower_qos"],
        drags_along: &[],
        lie: || {
            let mut asked = QoS::AtMostOnce;
            each(move |way, packet| match packet {
                Packet::Subscribe(subscribe) => asked = subscribe.subscriptions[0].options.qos,
                Packet::Publish(publish) if way == Way::Out && asked == QoS::ExactlyOnce => {
                    let lowered = *publish.payload == *b"lower";
                    if lowered && matches!(publish.delivery, Delivery::AtLeastOnce(_)) {
                        publish.delivery = Delivery::AtMostOnce;
                    }
                }
                _ => {}
            })
        },
    };
    it_acknowledges_another_qos_1_message: Wrong {
        breaks: &["MQTT-2.2.1-5", "MQTT-2.3.1-6", "MQTT-4.3.2-2", "MQTT-4.3.2-4"],
        caught_by: &["qos::a_qos_1_message_is_answered_with_its_id"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Puback(ack) = packet {
                mixed_up(&mut ack.packet_id);
            }
        }),
    };
    it_acknowledges_another_qos_2_message: Wrong {
        breaks: &[
            "MQTT-2.2.1-5", "MQTT-2.3.1-6", "MQTT-3.5.2-1", "MQTT-4.3.3-11", "MQTT-4.3.3-2", "MQTT-4.3.3-8",
        ],
        caught_by: &["qos::a_qos_2_message_is_answered_with_its_id"],
        drags_along: &["MQTT-3.3.4-7", "U5-4"],
        lie: || out(|packet| {
            if let Packet::Pubrec(ack) = packet {
                mixed_up(&mut ack.packet_id);
            }
        }),
    };
    it_completes_another_qos_2_message: Wrong {
        breaks: &[
            "MQTT-2.2.1-5", "MQTT-2.3.1-6", "MQTT-3.7.2-1", "MQTT-4.3.3-11", "MQTT-4.3.3-2", "MQTT-4.3.3-8",
        ],
        caught_by: &["qos::a_qos_2_message_is_answered_with_its_id"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Pubcomp(ack) = packet {
                mixed_up(&mut ack.packet_id);
            }
        }),
    };
    it_answers_another_subscribe: Wrong {
        breaks: &["MQTT-2.2.1-6", "MQTT-2.3.1-7", "MQTT-3.8.4-2"],
        caught_by: &["subscribe::subscribe_is_answered_with_its_id"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Suback(ack) = packet {
                mixed_up(&mut ack.packet_id);
            }
        }),
    };
    it_answers_another_unsubscribe: Wrong {
        breaks: &["MQTT-2.2.1-6", "MQTT-2.3.1-7", "MQTT-3.10.4-4", "MQTT-3.10.4-5"],
        caught_by: &["unsubscribe::unsubscribe_is_answered_with_its_id"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Unsuback(ack) = packet {
                mixed_up(&mut ack.packet_id);
            }
        }),
    };
    it_answers_many_filters_with_one_code: Wrong {
        breaks: &["MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-1"],
        caught_by: &["subscribe::many_filters_get_one_suback_with_a_code_each"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Suback(ack) = packet {
                ack.reasons.truncate(1);
            }
        }),
    };
    it_answers_filters_in_another_order: Wrong {
        breaks: &["MQTT-3.9.3-1"],
        caught_by: &["subscribe::many_filters_get_one_suback_with_a_code_each"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Suback(ack) = packet {
                let places = ack.reasons.len();
                ack.reasons.rotate_left(places / 2);
            }
        }),
    };
    it_claims_to_have_removed_what_was_not_there: Wrong {
        breaks: &["MQTT-3.11.3-1", "MQTT-3.11.3-2"],
        caught_by: &["unsubscribe::the_codes_follow_the_filters"],
        drags_along: &[],
        lie: || out(|packet| {
            if let Packet::Unsuback(ack) = packet {
                ack.reasons.fill(ReasonCode::Success);
            }
        }),
    };
    it_answers_an_unknown_packet_id_with_another_one: Wrong {
        breaks: &["U5-28"],
        caught_by: &["qos::an_unknown_packet_id_closes_nothing"],
        drags_along: &[],
        lie: || out(|packet| match packet {
            Packet::Pubrel(ack) if ack.reason == ReasonCode::PacketIdentifierNotFound => ack.packet_id = PacketId::MAX,
            Packet::Pubcomp(ack) if ack.reason == ReasonCode::PacketIdentifierNotFound => ack.packet_id = PacketId::MAX,
            _ => {}
        }),
    };
    it_gives_every_client_an_id: Wrong {
        breaks: &["U5-44"],
        caught_by: &["client_id::a_client_id_that_was_given_is_not_assigned"],
        drags_along: &[],
        lie: || {
            let mut is_v5 = false;
            each(move |_, packet| match packet {
                Packet::Connect(connect) => is_v5 = connect.version.is_v5() && !connect.client_id.is_empty(),
                Packet::Connack(connack) if is_v5 && connack.reason == ReasonCode::Success => {
                    connack.properties.push(Property::AssignedClientIdentifier("another"));
                }
                _ => {}
            })
        },
    };
}
