//! Wrong about what it hears: the client says one thing, and the broker does another.

use opifex_packet::{
    Connect, Packet, Properties, Property, RetainHandling, Subscription, TopicFilter, TopicName,
};

use super::{Lie, Way, Wrong, connect_without, each, wrong_brokers};

/// Changes the packets that go to the broker.
fn heard(mut lie: impl FnMut(&mut Packet<'static>) + Send + 'static) -> Lie {
    each(move |way, packet| {
        if way == Way::In {
            lie(packet);
        }
    })
}

fn connect(mut lie: impl FnMut(&mut Connect<'static>) + Send + 'static) -> Lie {
    heard(move |packet| {
        if let Packet::Connect(connect) = packet {
            lie(connect);
        }
    })
}

fn subscription(mut lie: impl FnMut(&mut Subscription<'static>) + Send + 'static) -> Lie {
    heard(move |packet| {
        if let Packet::Subscribe(subscribe) = packet {
            subscribe.subscriptions.iter_mut().for_each(&mut lie);
        }
    })
}

wrong_brokers! {
    it_keeps_no_session: Wrong {
        breaks: &[
            "MQTT-3.1.2-23", "MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-3.2.2-3", "MQTT-4.5.0-1",
        ],
        caught_by: &[
            "connack::a_session_that_is_there_is_present", "session::an_offline_session_gets_its_messages",
        ],
        drags_along: &[
            "MQTT-3.1.2-24", "MQTT-3.1.3-2", "MQTT-3.1.3-7", "MQTT-3.1.3-9", "MQTT-3.1.4-5", "MQTT-3.1.4-6",
            "MQTT-3.10.4-3", "MQTT-3.14.0-1", "MQTT-3.2.0-1", "MQTT-3.2.2-4", "MQTT-3.3.1-1", "MQTT-3.3.2-5",
            "MQTT-3.3.2-6", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.3-1", "MQTT-4.3.3-10", "MQTT-4.3.3-2",
            "MQTT-4.3.3-7", "MQTT-4.4.0-1", "MQTT-4.6.0-5", "MQTT-4.6.0-6", "MQTT-4.8.2-4", "U5-39",
        ],
        lie: || connect(|connect| connect.clean_start = true),
    };
    it_never_starts_clean: Wrong {
        breaks: &[
            "MQTT-3.1.2-4", "MQTT-3.1.2-6", "MQTT-3.1.4-3", "MQTT-3.1.4-4", "MQTT-3.2.2-1", "MQTT-3.2.2-2",
        ],
        caught_by: &["connack::a_clean_start_finds_no_session"],
        drags_along: &[
            "MQTT-3.1.2-8", "MQTT-3.1.3-7", "MQTT-3.1.4-5", "MQTT-3.1.4-6", "MQTT-3.14.0-1", "MQTT-3.2.2-4",
            "MQTT-4.7.1-2", "MQTT-4.8.2-5",
        ],
        lie: || connect(|connect| connect.clean_start = connect.client_id.is_empty()),
    };
    its_sessions_never_expire: Wrong {
        breaks: &["MQTT-4.1.0-2"],
        caught_by: &["session::a_session_ends_when_it_expires"],
        drags_along: &["MQTT-3.1.2-8"],
        lie: || connect(|connect| {
            if connect.properties.session_expiry_interval().is_some_and(|secs| secs > 0) {
                connect.properties = connect
                    .properties
                    .retain(|property| !matches!(property, Property::SessionExpiryInterval(_)));
                connect.properties.push(Property::SessionExpiryInterval(u32::MAX));
            }
        }),
    };
    it_forgets_wills: Wrong {
        breaks: &["MQTT-3.1.2-7", "MQTT-3.1.2-8", "U5-12"],
        caught_by: &["will::a_will_is_published_when_the_client_vanishes"],
        drags_along: &[
            "MQTT-3.1.2-10", "MQTT-3.1.2-14", "MQTT-3.1.2-15", "MQTT-3.1.2-16", "MQTT-3.1.2-17",
            "MQTT-3.1.3-10", "MQTT-3.14.2-1",
        ],
        lie: || connect(|connect| connect.will = None),
    };
    it_publishes_a_will_after_disconnect: Wrong {
        breaks: &["MQTT-3.1.2-10", "MQTT-3.14.4-3"],
        caught_by: &["will::a_will_is_not_published_after_disconnect"],
        drags_along: &["MQTT-4.1.0-2", "U5-13", "U5-34"],
        lie: || Box::new(|way, packet| {
            let bye = way == Way::In && matches!(packet, Packet::Disconnect(_));
            if bye { Vec::new() } else { vec![packet] }
        }),
    };
    it_retains_every_will: Wrong {
        breaks: &["MQTT-3.1.2-14", "MQTT-3.1.2-16"],
        caught_by: &["will::a_will_that_is_not_retained_is_not_kept"],
        drags_along: &[],
        lie: || connect(|connect| {
            if let Some(will) = &mut connect.will {
                will.retain = true;
            }
        }),
    };
    it_retains_no_will: Wrong {
        breaks: &["MQTT-3.1.2-15", "MQTT-3.1.2-17"],
        caught_by: &["will::a_retained_will_is_kept"],
        drags_along: &[],
        lie: || connect(|connect| {
            if let Some(will) = &mut connect.will {
                will.retain = false;
            }
        }),
    };
    it_publishes_wills_without_their_delay: Wrong {
        breaks: &["MQTT-3.1.2-8", "MQTT-3.1.3-9", "U5-10"],
        caught_by: &["will::a_delayed_will_waits", "will::a_client_that_is_back_in_time_has_no_will_published"],
        drags_along: &[],
        lie: || connect(|connect| {
            if let Some(will) = &mut connect.will {
                will.properties =
                    will.properties.retain(|property| !matches!(property, Property::WillDelayInterval(_)));
            }
        }),
    };
    it_waits_for_ever_for_silent_clients: Wrong {
        breaks: &["MQTT-3.1.2-22", "MQTT-3.1.2-24"],
        caught_by: &["keep_alive::silence_for_half_again_the_keep_alive_ends_the_connection"],
        drags_along: &[],
        lie: || connect(|connect| connect.keep_alive_secs = 0),
    };
    it_knows_no_receive_maximum: Wrong {
        breaks: &["MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2"],
        caught_by: &[
            "flow::a_server_begins_within_the_clients_receive_maximum",
            "flow::a_server_stays_within_the_clients_receive_maximum",
        ],
        drags_along: &["MQTT-3.3.4-10", "U5-39"],
        lie: || connect_without(|property| matches!(property, Property::ReceiveMaximum(_))),
    };
    it_knows_no_maximum_packet_size: Wrong {
        breaks: &["MQTT-3.1.2-24", "MQTT-3.1.2-25"],
        caught_by: &["connect_properties::a_packet_that_is_too_large_for_the_client_is_not_sent"],
        drags_along: &[],
        lie: || connect_without(|property| matches!(property, Property::MaximumPacketSize(_))),
    };
    it_echoes_in_spite_of_no_local: Wrong {
        breaks: &["MQTT-3.8.3-3"],
        caught_by: &["subscribe::no_local_keeps_a_clients_own_messages_away"],
        drags_along: &[],
        lie: || subscription(|subscription| subscription.options.no_local = false),
    };
    it_always_sends_what_is_retained: Wrong {
        breaks: &["MQTT-3.3.1-10", "MQTT-3.3.1-11"],
        caught_by: &[
            "retained::retain_handling_1_sends_to_new_subscriptions_only",
            "retained::retain_handling_2_sends_nothing",
        ],
        drags_along: &[],
        lie: || subscription(|subscription| {
            subscription.options.retain_handling = RetainHandling::SendAtSubscribe;
        }),
    };
    it_clears_retain_in_spite_of_retain_as_published: Wrong {
        breaks: &["MQTT-3.3.1-13"],
        caught_by: &["retained::retain_as_published_keeps_the_flag"],
        drags_along: &[],
        lie: || subscription(|subscription| subscription.options.retain_as_published = false),
    };
    it_unsubscribes_from_nothing: Wrong {
        breaks: &["MQTT-3.10.4-2"],
        caught_by: &["unsubscribe::after_unsubscribe_nothing_new_comes"],
        drags_along: &["MQTT-3.1.2-24", "MQTT-3.10.4-1", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.3.1-10"],
        lie: || heard(|packet| {
            if let Packet::Unsubscribe(unsubscribe) = packet {
                let another = TopicFilter::new("another/filter").unwrap();
                unsubscribe.filters.fill(another);
            }
        }),
    };
    it_retains_a_message_that_is_not_to_be: Wrong {
        breaks: &["MQTT-3.3.1-12", "MQTT-3.3.1-8"],
        caught_by: &["retained::a_message_without_retain_changes_nothing"],
        drags_along: &[],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet
                && *publish.payload == *b"passing"
            {
                publish.retain = true;
            }
        }),
    };
    it_retains_no_message: Wrong {
        breaks: &["MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-9"],
        caught_by: &["retained::a_retained_message_waits_for_subscribers"],
        drags_along: &[
            "MQTT-3.1.2-7", "MQTT-3.3.1-10", "MQTT-3.3.1-12", "MQTT-3.3.1-13", "MQTT-3.3.1-8", "MQTT-3.3.2-15",
            "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20", "MQTT-3.3.2-4", "MQTT-3.8.4-3",
            "U5-45",
        ],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet {
                publish.retain = false;
            }
        }),
    };
    it_keeps_what_an_empty_message_should_clear: Wrong {
        breaks: &["MQTT-3.3.1-10", "MQTT-3.3.1-6"],
        caught_by: &["retained::an_empty_message_clears_and_is_delivered"],
        drags_along: &[],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet {
                publish.retain &= !publish.payload.is_empty();
            }
        }),
    };
    it_lets_messages_live_for_ever: Wrong {
        breaks: &["MQTT-3.3.2-5", "U5-45"],
        caught_by: &[
            "message_properties::an_expired_message_is_not_delivered",
            "retained::an_expired_message_is_not_there",
        ],
        drags_along: &["MQTT-3.3.2-6", "MQTT-4.3.3-13"],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet {
                publish.properties = publish
                    .properties
                    .retain(|property| !matches!(property, Property::MessageExpiryInterval(_)));
            }
        }),
    };
    it_strips_the_mark_of_a_byte_order: Wrong {
        breaks: &["MQTT-1.5.3-3", "MQTT-1.5.4-3"],
        caught_by: &["strings::the_mark_of_a_byte_order_is_a_character"],
        drags_along: &[],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet
                && let Some(topic) = &publish.topic
                && topic.as_str().contains('\u{feff}')
            {
                publish.topic = TopicName::new(topic.as_str().replace('\u{feff}', "")).ok();
            }
        }),
    };
    it_takes_capitals_for_small_letters: Wrong {
        breaks: &["MQTT-3.3.2-3"],
        caught_by: &["publish::what_is_delivered_matches"],
        drags_along: &[],
        lie: || heard(|packet| {
            if let Packet::Publish(publish) = packet
                && let Some(topic) = &publish.topic
                && topic.as_str().ends_with("A/X")
            {
                let (head, _) = topic.as_str().rsplit_once("A/X").unwrap();
                publish.topic = TopicName::new(format!("{head}a/x")).ok();
            }
        }),
    };
    it_subscribes_at_qos_0: Wrong {
        breaks: &[
            "MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2",
        ],
        caught_by: &["subscribe::many_filters_get_one_suback_with_a_code_each"],
        drags_along: &[],
        lie: || heard(|packet| {
            if let Packet::Subscribe(subscribe) = packet
                && subscribe.subscriptions.len() > 1
            {
                for subscription in &mut subscribe.subscriptions {
                    subscription.options.qos = opifex_packet::QoS::AtMostOnce;
                }
                subscribe.properties = Properties::new();
            }
        }),
    };
}
