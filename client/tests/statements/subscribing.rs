//! 3.8 SUBSCRIBE, 3.10 UNSUBSCRIBE, and the filters that there can be in them (4.7, 4.8).

use opifex_client::Refusal;
use opifex_packet::{Properties, Property, QoS, Subscription, SubscriptionOptions, TopicFilter, Version};

use crate::peer::Peer;
use crate::statements;

statements! { "subscribing";
    filters_are_text_one_behind_the_other:
        v4 ["MQTT-3.8.3-1", "MQTT-3.10.3-1"], v5 ["MQTT-3.8.3-1", "MQTT-3.10.3-1"];
    without_a_filter_nothing_is_sent:
        v4 ["MQTT-3.8.3-3", "MQTT-3.10.3-2"], v5 ["MQTT-3.8.3-2", "MQTT-3.10.3-2"];
    a_filter_with_a_wildcard_in_the_wrong_place_cannot_be_made:
        v4 ["MQTT-4.7.1-2", "MQTT-4.7.1-3"], v5 ["MQTT-4.7.1-1", "MQTT-4.7.1-2"];
    a_shared_filter_has_a_share_name_and_a_filter: v5 ["MQTT-4.8.2-1", "MQTT-4.8.2-2"];
    a_subscription_identifier_is_one_and_not_0: v5 ["U5-24", "U5-29"];
    options_are_those_that_there_are: v5 ["U5-30"];
    a_shared_subscription_is_not_without_local: v5 ["MQTT-3.8.3-4"];
}

/// The body of the one packet that is sent, behind its packet id and (5.0) its empty properties.
fn payload(peer: &mut Peer, header: u8, version: Version) -> Vec<u8> {
    let bytes = peer.sent_bytes();
    assert_eq!((bytes[0], usize::from(bytes[1])), (header, bytes.len() - 2));
    bytes[if version.is_v5() { 5 } else { 4 }..].to_vec()
}

fn filters_are_text_one_behind_the_other(version: Version) {
    let filter = |text: &'static str| TopicFilter::new(text).unwrap();
    let mut peer = Peer::connected(version);
    let subscriptions = vec![
        Subscription::new(filter("a/+"), QoS::AtMostOnce),
        Subscription::new(filter("caf\u{e9}"), QoS::ExactlyOnce),
    ];
    peer.machine.subscribe(subscriptions, Properties::new()).unwrap();
    assert_eq!(payload(&mut peer, 0x82, version), b"\0\x03a/+\0\0\x05caf\xc3\xa9\x02");
    peer.machine.unsubscribe(vec![filter("a/+"), filter("caf\u{e9}")], Properties::new()).unwrap();
    assert_eq!(payload(&mut peer, 0xa2, version), b"\0\x03a/+\0\x05caf\xc3\xa9");
    assert!(TopicFilter::new("a\0b").is_err());
}

fn without_a_filter_nothing_is_sent(version: Version) {
    let mut peer = Peer::connected(version);
    assert!(matches!(peer.machine.subscribe(Vec::new(), Properties::new()), Err(Refusal::Forbidden { .. })));
    assert!(matches!(
        peer.machine.unsubscribe(Vec::new(), Properties::new()),
        Err(Refusal::Forbidden { .. })
    ));
    assert_eq!(peer.sent(), []);
}

fn a_filter_with_a_wildcard_in_the_wrong_place_cannot_be_made(_: Version) {
    for wrong in ["a#", "a/#/b", "#/a", "##", "a+", "+a", "a/+b/c", "a/b+"] {
        assert!(TopicFilter::new(wrong).is_err(), "{wrong}");
    }
    for right in ["#", "a/#", "+", "a/+", "+/+/#", "/+", "a/+/b"] {
        assert!(TopicFilter::new(right).is_ok(), "{right}");
    }
}

fn a_shared_filter_has_a_share_name_and_a_filter(version: Version) {
    for wrong in ["$share/g", "$share//a", "$share/g/", "$share/g+/a", "$share/#/a", "$share/"] {
        let mut peer = Peer::connected(version);
        let Ok(filter) = TopicFilter::new(wrong) else { continue };
        let refused =
            peer.machine.subscribe(vec![Subscription::new(filter, QoS::AtMostOnce)], Properties::new());
        assert!(refused.is_err(), "{wrong}");
        assert_eq!(peer.sent(), []);
    }
    assert!(TopicFilter::new("$share/g/a/#").unwrap().shared().is_some());
}

fn a_subscription_identifier_is_one_and_not_0(version: Version) {
    let identifier = |values: &[u32]| {
        values.iter().fold(Properties::new(), |properties, value| {
            properties.with(Property::SubscriptionIdentifier(*value))
        })
    };
    for values in [&[0][..], &[1, 2]] {
        let mut peer = Peer::connected(version);
        let subscription = Subscription::new(TopicFilter::new("a").unwrap(), QoS::AtMostOnce);
        let refused = peer.machine.subscribe(vec![subscription], identifier(values));
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{values:?}: {refused:?}");
        assert_eq!(peer.sent(), []);
    }
}

fn a_shared_subscription_is_not_without_local(version: Version) {
    for (filter, is_allowed) in [("$share/g/a", false), ("a", true)] {
        let mut peer = Peer::connected(version);
        let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::AtMostOnce) };
        let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), options);
        let answer = peer.machine.subscribe(vec![subscription], Properties::new());
        assert_eq!((answer.is_ok(), peer.sent().len()), (is_allowed, usize::from(is_allowed)), "{answer:?}");
    }
}

fn options_are_those_that_there_are(version: Version) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut peer = Peer::connected(version);
        let subscription = Subscription::new(TopicFilter::new("a").unwrap(), qos);
        peer.machine.subscribe(vec![subscription], Properties::new()).unwrap();
        let options = payload(&mut peer, 0x82, version)[3];
        assert_eq!((options & 0x03, options >> 4 & 0x03, options >> 6), (qos as u8, 0, 0));
    }
}
