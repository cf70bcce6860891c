//! A store that keeps every promise is not blamed; one that breaks any of them is.

use opifex_packet::{
    Connack, Connect, Delivery, PacketId, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, ReasonCode,
    Suback, Subscribe, Subscription, TopicFilter, TopicName, Unsuback, Unsubscribe, Version, Will,
};

use super::*;

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn token(n: u32) -> Token {
    Token { publisher: 1, n }
}

#[derive(Default)]
struct Talk(Promises);

impl Talk {
    fn pass<'p>(&mut self, client: &str, left: bool, packet: impl Into<Packet<'p>>) {
        let packet = packet.into().into_owned();
        self.0.take(&Passed { at: 0, client: client.to_owned(), left, packet });
    }

    fn open(&mut self, client: &str) {
        let mut connect = Connect::new(Version::V5_0, client);
        connect.clean_start = false;
        connect.properties.push(Property::SessionExpiryInterval(u32::MAX));
        connect.will = Some(Will::new(TopicName::new("w").unwrap(), token(100).payload(30)));
        self.pass(client, false, connect);
        self.pass(client, true, Connack::new(ReasonCode::Success));
    }

    fn publish(&mut self, qos: QoS, packet_id: u16, retain: bool, n: u32) {
        let topic = if retain { "a/retained" } else { "a/b" };
        let mut publish = Publish::new(TopicName::new(topic).unwrap(), token(n).payload(40));
        (publish.delivery, publish.retain) = (Delivery::new(qos, id(packet_id)), retain);
        self.pass("publisher", false, publish);
    }

    /// A session `s` subscribed to `a/#`; messages 1 (QoS 1) and 2 (QoS 2) acknowledged, 3 retained and acknowledged, 4
    /// received alone; 1 was sent, 2 was sent as 9 and its PUBREL has left, 5 was delivered to its end.
    fn usual() -> Talk {
        let mut talk = Talk::default();
        talk.open("s");
        talk.open("publisher");
        let filters =
            ["a/#", "x"].map(|filter| Subscription::new(TopicFilter::new(filter).unwrap(), QoS::ExactlyOnce));
        talk.pass("s", false, Subscribe::new(id(1), filters.to_vec()));
        talk.pass("s", true, Suback::new(id(1), vec![ReasonCode::GrantedQoS2, ReasonCode::GrantedQoS2]));
        talk.pass("s", false, Unsubscribe::new(id(1), vec![TopicFilter::new("x").unwrap()]));
        talk.pass("s", true, Unsuback::new(id(1), vec![ReasonCode::Success]));
        talk.publish(QoS::ExactlyOnce, 5, false, 0);
        talk.pass("publisher", true, Pubrec::new(id(5)));
        talk.pass("publisher", false, Pubrel::new(id(5)));
        talk.pass("publisher", true, Pubcomp::new(id(5)));
        talk.publish(QoS::AtLeastOnce, 1, false, 1);
        talk.pass("publisher", true, Puback::new(id(1)));
        talk.publish(QoS::ExactlyOnce, 2, false, 2);
        talk.pass("publisher", true, Pubrec::new(id(2)));
        talk.publish(QoS::AtLeastOnce, 3, true, 3);
        talk.pass("publisher", true, Puback::new(id(3)));
        talk.publish(QoS::ExactlyOnce, 4, false, 4);
        for (packet_id, n) in [(8, 0), (9, 2)] {
            let mut sent = Publish::new(TopicName::new("a/b").unwrap(), token(n).payload(40));
            sent.delivery = Delivery::ExactlyOnce(id(packet_id));
            talk.pass("s", true, sent);
            talk.pass("s", false, Pubrec::new(id(packet_id)));
            talk.pass("s", true, Pubrel::new(id(packet_id)));
        }
        talk.pass("s", false, Pubcomp::new(id(8)));
        talk
    }
}

fn entry(n: u32, state: QueuedState) -> FoundEntry {
    let topic = if n == 3 { "a/retained" } else { "a/b" };
    let qos = if n.is_multiple_of(2) { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
    FoundEntry { token: Some(token(n)), topic: topic.into(), qos, state }
}

/// What keeps it all.
fn kept() -> Found {
    let released = FoundEntry { token: None, ..entry(2, QueuedState::Released(id(9))) };
    let s = FoundSession {
        filters: ["a/#".to_owned()].into(),
        queue: vec![entry(1, QueuedState::Waiting), released, entry(3, QueuedState::Waiting)],
        will: Some(token(100)),
        ..FoundSession::default()
    };
    let publisher = FoundSession { inbound: [2].into(), will: Some(token(100)), ..FoundSession::default() };
    Found {
        sessions: [("s".to_owned(), s), ("publisher".to_owned(), publisher)].into(),
        retained: [("a/retained".to_owned(), Some(token(3)))].into(),
        damaged: Vec::new(),
    }
}

#[test]
fn what_is_kept_is_not_blamed() {
    assert_eq!(Talk::usual().0.broken_by(&kept()), Vec::<String>::new());
    let mut received = kept();
    received.sessions.get_mut("s").unwrap().queue.push(entry(4, QueuedState::Waiting));
    received.sessions.get_mut("publisher").unwrap().inbound.insert(4);
    assert_eq!(Talk::usual().0.broken_by(&received), Vec::<String>::new());
}

#[test]
fn every_broken_promise_is_found() {
    type Breaks = fn(&mut Found, &mut FoundSession, &mut FoundSession);
    let ways: [(&str, Breaks); 20] = [
        ("message 1 of publisher 1 is Gone", |_, s, _| drop(s.queue.remove(0))),
        ("message 2 of publisher 1 is Gone", |_, s, _| drop(s.queue.remove(1))),
        ("message 2 of publisher 1 is Assigned", |_, s, _| {
            s.queue[1] = entry(2, QueuedState::Assigned(id(9)))
        }),
        ("message 2 of publisher 1 was sent as", |_, s, _| {
            s.queue[1] = entry(2, QueuedState::Assigned(id(7)))
        }),
        ("message 1 of publisher 1 twice", |_, s, _| s.queue.push(entry(1, QueuedState::Waiting))),
        ("message 1 of publisher 1 is Released", |_, s, _| {
            s.queue[0] = entry(1, QueuedState::Released(id(1)))
        }),
        ("whose message is damaged", |_, s, _| s.queue[0].token = None),
        ("is not for it", |_, s, _| s.queue.push(entry(77, QueuedState::Waiting))),
        ("behind", |_, s, _| {
            s.queue.insert(0, entry(4, QueuedState::Waiting));
            s.queue.insert(1, entry(0, QueuedState::Waiting));
        }),
        ("message 4 of publisher 1 is stored: true", |_, s, _| s.queue.push(entry(4, QueuedState::Waiting))),
        ("message 4 of publisher 1 is stored: false", |_, _, publisher| {
            publisher.inbound.insert(4);
        }),
        ("inbound id 2: found: false", |_, _, publisher| publisher.inbound.clear()),
        ("inbound id 5: found: true", |_, _, publisher| {
            publisher.inbound.insert(5);
        }),
        ("inbound id 6: nobody", |_, _, publisher| {
            publisher.inbound.insert(6);
        }),
        ("subscription a/#: found: false", |_, s, _| s.filters.clear()),
        ("subscription x: found: true", |_, s, _| {
            s.filters.insert("x".into());
        }),
        ("its will", |_, s, _| s.will = None),
        ("a/retained: retains None", |found, _, _| found.retained.clear()),
        ("a/retained: retains", |found, _, _| {
            found.retained.insert("a/retained".into(), Some(token(1)));
        }),
        ("elsewhere: nobody", |found, _, _| {
            found.retained.insert("elsewhere".into(), None);
        }),
    ];
    for (blame, breaks) in ways {
        let mut found = kept();
        let (mut s, mut publisher) =
            (found.sessions.remove("s").unwrap(), found.sessions.remove("publisher").unwrap());
        breaks(&mut found, &mut s, &mut publisher);
        found.sessions = [("s".to_owned(), s), ("publisher".to_owned(), publisher)].into();
        let broken = Talk::usual().0.broken_by(&found);
        assert!(broken.iter().any(|line| line.contains(blame)), "{blame}: {broken:#?}");
    }
}

#[test]
fn a_session_that_is_gone_and_one_from_nowhere_are_found() {
    let mut found = kept();
    let session = found.sessions.remove("s").unwrap();
    found.sessions.insert("other".into(), session);
    let broken = Talk::usual().0.broken_by(&found);
    assert!(broken.iter().any(|line| line == "s: the session is gone"), "{broken:#?}");
    assert!(broken.iter().any(|line| line == "other: nobody opened this session"), "{broken:#?}");
}

#[test]
fn a_message_with_some_of_its_targets_is_found() {
    let mut talk = Talk::usual();
    talk.open("t");
    let filters = vec![Subscription::new(TopicFilter::new("a/#").unwrap(), QoS::AtLeastOnce)];
    talk.pass("t", false, Subscribe::new(id(1), filters));
    talk.pass("t", true, Suback::new(id(1), vec![ReasonCode::GrantedQoS1]));
    talk.publish(QoS::AtLeastOnce, 6, false, 6);
    let mut found = kept();
    let mut t = FoundSession { will: Some(token(100)), ..FoundSession::default() };
    t.filters.insert("a/#".into());
    t.queue.push(entry(6, QueuedState::Waiting));
    found.sessions.insert("t".into(), t);
    let broken = talk.0.broken_by(&found);
    assert!(broken.iter().any(|line| line.contains("is with some of")), "{broken:#?}");
}
