//! SUBSCRIBE and UNSUBSCRIBE.

use opifex_packet::{
    Properties, Property, Puback, Suback, Subscription, SubscriptionOptions, TopicFilter, Unsuback,
};

use super::*;
use crate::Refusal;

fn filter(filter: &'static str) -> Vec<Subscription<'static>> {
    vec![Subscription::new(TopicFilter::new(filter).unwrap(), QoS::AtLeastOnce)]
}

fn forbidden<T: std::fmt::Debug>(result: Result<T, Refusal>) -> &'static str {
    match result {
        Err(Refusal::Forbidden { statement, .. }) => statement,
        other => panic!("{other:?}"),
    }
}

#[test]
fn answers_find_their_calls() {
    let mut client = Client::connected();
    client.events();
    let subscribed = client.machine.subscribe(filter("a"), Properties::new()).unwrap();
    let unsubscribed =
        client.machine.unsubscribe(vec![TopicFilter::new("a").unwrap()], Properties::new()).unwrap();
    let sent = client.sent();
    assert!(matches!(sent[..], [Packet::Subscribe(_), Packet::Unsubscribe(_)]));
    client.gets(Unsuback::new(id(2), vec![ReasonCode::NoSubscriptionExisted]));
    client.gets(Suback::new(id(1), vec![ReasonCode::GrantedQoS1]));
    let events = client.events();
    assert!(matches!(&events[0], Event::Unsubscribed { token, .. } if *token == unsubscribed));
    assert!(matches!(&events[1], Event::Subscribed { token, reasons, .. }
        if *token == subscribed && reasons[..] == [ReasonCode::GrantedQoS1]));
}

#[test]
fn publishes_and_requests_share_the_ids() {
    let mut client = Client::connected();
    client.machine.subscribe(filter("a"), Properties::new()).unwrap();
    client.publish(QoS::AtLeastOnce);
    let sent = client.sent();
    assert_eq!(sent[1], publish(QoS::AtLeastOnce, 2, false));
    client.gets(Puback::new(id(1)));
    assert_eq!(client.violated(), "MQTT-2.2.1-5");
}

#[test]
fn answers_to_nothing_and_of_the_wrong_length_are_violations() {
    let one = || vec![ReasonCode::Success];
    let cases: [(Packet<'_>, &str); 4] = [
        (Packet::from(Suback::new(id(2), one())), "MQTT-2.2.1-6"),
        (Packet::from(Unsuback::new(id(1), one())), "MQTT-2.2.1-6"),
        (Packet::from(Suback::new(id(1), vec![ReasonCode::Success; 2])), "MQTT-3.8.4-6"),
        (Packet::from(Unsuback::new(id(2), one())), "MQTT-2.2.1-6"),
    ];
    for (packet, statement) in cases {
        let mut client = Client::connected();
        client.machine.subscribe(filter("a"), Properties::new()).unwrap();
        client.sent();
        client.gets(packet);
        assert_eq!(client.violated(), statement);
    }
}

#[test]
fn a_call_without_an_answer_is_told_when_the_connection_ends() {
    let mut client = Client::connected();
    client.events();
    let token = client.machine.subscribe(filter("a"), Properties::new()).unwrap();
    client.machine.connection_lost();
    let events = client.events();
    assert!(matches!(events[0], Event::Unanswered { token: it } if it == token));
    assert!(matches!(events[1], Event::Disconnected { cause: Cause::Lost }));
    assert!(matches!(client.machine.subscribe(filter("a"), Properties::new()), Err(Refusal::NotConnected)));
}

#[test]
fn what_connack_and_the_standard_forbid_is_not_sent() {
    let mut client = Client::new(Options::new(Version::V5_0, "c"));
    let properties = Properties::new()
        .with(Property::WildcardSubscriptionAvailable(false))
        .with(Property::SubscriptionIdentifierAvailable(false))
        .with(Property::SharedSubscriptionAvailable(false));
    client.connect(Connack { properties, ..success() });
    let none = Properties::new;
    assert_eq!(forbidden(client.machine.subscribe(filter("a/#"), none())), "MQTT5 3.2.2.3.11");
    assert_eq!(forbidden(client.machine.subscribe(filter("$share/g/a"), none())), "MQTT5 3.2.2.3.13");
    let numbered = none().with(Property::SubscriptionIdentifier(1));
    assert_eq!(forbidden(client.machine.subscribe(filter("a"), numbered)), "MQTT5 3.2.2.3.12");
    assert_eq!(forbidden(client.machine.subscribe(Vec::new(), none())), "MQTT-3.8.3-2");
    assert_eq!(forbidden(client.machine.unsubscribe(Vec::new(), none())), "MQTT-3.10.3-2");
    let options = SubscriptionOptions { no_local: true, ..QoS::AtMostOnce.into() };
    let shared = vec![Subscription::new(TopicFilter::new("$share/g/a").unwrap(), options)];
    assert_eq!(forbidden(client.machine.subscribe(shared, none())), "MQTT-3.8.3-4");
    assert!(client.sent().is_empty());
}

#[test]
fn a_packet_that_is_too_long_is_refused_before_it_is_made() {
    let mut client = Client::connected();
    let long = "f".repeat(60_000);
    let filters = vec![TopicFilter::new(long).unwrap(); 5000];
    assert_eq!(forbidden(client.machine.unsubscribe(filters, Properties::new())), "MQTT-3.2.2-15");
    client.machine.connection_lost();
    let properties = Properties::new().with(Property::MaximumPacketSize(20));
    client.connect(Connack { properties, ..success() });
    let reason = Properties::new().with(Property::ReasonString("a reason that is too long"));
    assert_eq!(forbidden(client.machine.disconnect(ReasonCode::Success, reason)), "MQTT-3.2.2-15");
    assert_eq!(
        forbidden(client.machine.subscribe(filter("a/long/topic/filter"), Properties::new())),
        "MQTT-3.2.2-15"
    );
    assert!(client.sent().is_empty() && !client.machine.is_closing());
}

#[test]
fn an_answer_with_too_few_reasons_leaves_no_call_without_an_end() {
    for subscribes in [true, false] {
        let mut client = Client::connected();
        client.events();
        let filters = vec![TopicFilter::new("a").unwrap()];
        let token = if subscribes {
            client.machine.subscribe(filter("a"), Properties::new()).unwrap()
        } else {
            client.machine.unsubscribe(filters, Properties::new()).unwrap()
        };
        client.sent();
        if subscribes {
            client.gets(Suback::new(id(1), Vec::new()));
        } else {
            client.gets(Unsuback::new(id(1), Vec::new()));
        }
        let events = client.events();
        assert!(
            matches!(events[..], [Event::Unanswered { token: it }, Event::Disconnected { .. }] if it == token)
        );
    }
}

#[test]
fn a_call_that_is_never_answered_ends_with_its_connection() {
    let mut client = Client::connected();
    client.machine.subscribe(filter("a"), Properties::new()).unwrap();
    client.sent();
    client.passes(10);
    client.machine.unsubscribe(vec![TopicFilter::new("a").unwrap()], Properties::new()).unwrap();
    client.sent();
    client.gets(Suback::new(id(1), vec![ReasonCode::GrantedQoS1]));
    client.events();
    assert_eq!(client.machine.deadline(), Some(client.now + Duration::from_secs(30)));
    client.passes(30);
    let events = client.events();
    assert!(matches!(
        events[..],
        [Event::Unanswered { .. }, Event::Disconnected { cause: Cause::Timeout("UNSUBACK") }]
    ));
}
