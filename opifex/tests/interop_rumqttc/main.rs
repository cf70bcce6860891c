//! The built program and the published client `rumqttc`, for MQTT 3.1.1 and 5.0: every QoS, retained messages, wills,
//! sessions that go on, shared subscriptions. Each check is written once, over [`Peer`]; `v4.rs` and `v5.rs` put the
//! two halves of that crate behind it.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../program/child.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod child;

mod v4;
mod v5;

use std::net::SocketAddr;
use std::time::Duration;

use child::Program;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// How a client connects.
#[derive(Clone, Default)]
struct Options {
    client_id: &'static str,
    /// Whether the session goes on after the connection.
    keep_session: bool,
    /// Topic and QoS of a will whose payload is `gone`.
    will: Option<(&'static str, u8)>,
}

/// What a client reports.
#[derive(Debug, PartialEq)]
enum Report {
    Connected {
        session_present: bool,
    },
    /// The QoS that was granted, or `None`.
    Subscribed(Option<u8>),
    /// PUBACK or PUBCOMP.
    Acknowledged,
    Message(Message),
    Ended,
}

#[derive(Debug, PartialEq)]
struct Message {
    topic: String,
    payload: String,
    qos: u8,
    retain: bool,
}

impl Message {
    fn new(topic: &str, payload: &str, qos: u8) -> Message {
        Message { topic: topic.into(), payload: payload.into(), qos, retain: false }
    }

    fn retained(self) -> Message {
        Message { retain: true, ..self }
    }
}

/// The half of a client that sends.
trait Sender {
    async fn subscribe(&self, filter: &str, qos: u8);
    async fn publish(&self, topic: &str, payload: &str, qos: u8, retain: bool);
    async fn disconnect(&self);
}

/// One of the two clients: connecting gives a sender and starts a task that reports what comes.
trait Client {
    type Sender: Sender;
    fn connect(
        address: SocketAddr,
        options: &Options,
        reports: mpsc::UnboundedSender<Report>,
    ) -> (Self::Sender, JoinHandle<()>);
}

/// A client whose calls wait until what they ask for has happened.
struct Peer<C: Client> {
    sender: C::Sender,
    reports: mpsc::UnboundedReceiver<Report>,
    task: JoinHandle<()>,
    early: Vec<Message>,
    session_present: bool,
}

impl<C: Client> Peer<C> {
    async fn connect(program: &Program, options: Options) -> Peer<C> {
        let (report, reports) = mpsc::unbounded_channel();
        let (sender, task) = C::connect(program.address(), &options, report);
        let mut peer = Peer { sender, reports, task, early: Vec::new(), session_present: false };
        match peer.next().await {
            Report::Connected { session_present } => peer.session_present = session_present,
            other => panic!("expected CONNACK, not {other:?}"),
        }
        peer
    }

    async fn named(program: &Program, client_id: &'static str) -> Peer<C> {
        Peer::connect(program, Options { client_id, ..Options::default() }).await
    }

    async fn next(&mut self) -> Report {
        timeout(PATIENCE, self.reports.recv()).await.expect("nothing comes").expect("the client has ended")
    }

    /// The next report that is no message; messages are kept.
    async fn answer(&mut self) -> Report {
        loop {
            match self.next().await {
                Report::Message(message) => self.early.push(message),
                answer => return answer,
            }
        }
    }

    async fn subscribe(&mut self, filter: &str, qos: u8) {
        self.sender.subscribe(filter, qos).await;
        assert_eq!(self.answer().await, Report::Subscribed(Some(qos)));
    }

    async fn publish(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) {
        self.sender.publish(topic, payload, qos, retain).await;
        if qos == 0 {
            // Nothing acknowledges it, but what comes after it.
            self.sender.publish("fence", "", 1, false).await;
        }
        assert_eq!(self.answer().await, Report::Acknowledged);
    }

    async fn receive(&mut self) -> Message {
        if !self.early.is_empty() {
            return self.early.remove(0);
        }
        match self.next().await {
            Report::Message(message) => message,
            other => panic!("expected a message, not {other:?}"),
        }
    }

    async fn disconnect(mut self) {
        self.sender.disconnect().await;
        while self.next().await != Report::Ended {}
    }

    /// Ends the connection without DISCONNECT.
    fn break_off(self) {
        self.task.abort();
    }
}

async fn every_qos_is_delivered_at_the_lower_of_both<C: Client>() {
    let program = Program::serve(&[]);
    let mut publisher = Peer::<C>::named(&program, "publisher").await;
    for (subscribed, client_id) in [(0, "s0"), (1, "s1"), (2, "s2")] {
        let mut subscriber = Peer::<C>::named(&program, client_id).await;
        subscriber.subscribe("rooms/+/light", subscribed).await;
        for published in 0..=2 {
            for payload in ["on", "off", "on again"] {
                publisher.publish("rooms/1/light", payload, published, false).await;
            }
            for payload in ["on", "off", "on again"] {
                let expected = Message::new("rooms/1/light", payload, published.min(subscribed));
                assert_eq!(subscriber.receive().await, expected);
            }
        }
        subscriber.disconnect().await;
    }
    publisher.disconnect().await;
    program.stop();
}

async fn retained_messages_come_with_a_subscription_until_they_are_cleared<C: Client>() {
    let program = Program::serve(&[]);
    let mut publisher = Peer::<C>::named(&program, "publisher").await;
    for (qos, topic) in [(0, "kept/0"), (1, "kept/1"), (2, "kept/2")] {
        publisher.publish(topic, "old", qos, true).await;
        publisher.publish(topic, "kept", qos, true).await;
        let mut subscriber = Peer::<C>::named(&program, "subscriber").await;
        subscriber.subscribe(topic, 2).await;
        assert_eq!(subscriber.receive().await, Message::new(topic, "kept", qos).retained());
        publisher.publish(topic, "", qos, true).await;
        assert_eq!(subscriber.receive().await, Message::new(topic, "", qos));
        subscriber.disconnect().await;

        let mut later = Peer::<C>::named(&program, "later").await;
        later.subscribe(topic, 2).await;
        publisher.publish(topic, "live", 1, false).await;
        assert_eq!(later.receive().await, Message::new(topic, "live", 1));
        later.disconnect().await;
    }
    program.stop();
}

async fn a_will_is_published_when_the_client_breaks_off_and_not_when_it_disconnects<C: Client>() {
    let program = Program::serve(&[]);
    let mut watcher = Peer::<C>::named(&program, "watcher").await;
    watcher.subscribe("wills/#", 2).await;
    for (topic, qos) in [("wills/0", 0), ("wills/1", 1), ("wills/2", 2)] {
        let options = Options { client_id: "mortal", will: Some((topic, qos)), ..Options::default() };
        Peer::<C>::connect(&program, options.clone()).await.disconnect().await;
        Peer::<C>::connect(&program, options).await.break_off();
        assert_eq!(watcher.receive().await, Message::new(topic, "gone", qos));
        watcher.publish("wills/fence", "", 1, false).await;
        assert_eq!(watcher.receive().await, Message::new("wills/fence", "", 1));
    }
    program.stop();
}

async fn a_kept_session_receives_what_was_published_meanwhile_in_order<C: Client>() {
    let program = Program::serve(&[]);
    let mut publisher = Peer::<C>::named(&program, "publisher").await;
    for (client_id, qos) in [("keeper-1", 1), ("keeper-2", 2)] {
        let options = Options { client_id, keep_session: true, ..Options::default() };
        let mut before = Peer::<C>::connect(&program, options.clone()).await;
        assert!(!before.session_present);
        before.subscribe("queue/#", qos).await;
        before.disconnect().await;
        for index in 0..30 {
            publisher.publish("queue/a", &format!("message {index}"), qos, false).await;
        }
        let mut after = Peer::<C>::connect(&program, options.clone()).await;
        assert!(after.session_present);
        for index in 0..30 {
            assert_eq!(after.receive().await, Message::new("queue/a", &format!("message {index}"), qos));
        }
        // This client's half of a session ends with its object: no QoS 2 exchange may be left open. The first of these
        // is acknowledged behind the last PUBREL, the second is sent behind the last PUBCOMP.
        after.publish("fence", "", 1, false).await;
        after.publish("fence", "", 1, false).await;
        after.break_off();
        publisher.publish("queue/a", "after the break", qos, false).await;
        let mut again = Peer::<C>::connect(&program, options).await;
        assert_eq!(again.receive().await.payload, "after the break");
        again.disconnect().await;
        assert!(!Peer::<C>::named(&program, client_id).await.session_present, "a clean start");
    }
    program.stop();
}

async fn a_shared_subscription_gives_each_message_to_one_member<C: Client>() {
    const MESSAGES: usize = 40;
    let program = Program::serve(&[]);
    let mut members = [Peer::<C>::named(&program, "a").await, Peer::<C>::named(&program, "b").await];
    for member in &mut members {
        member.subscribe("$share/group/jobs/#", 1).await;
        member.subscribe("done", 1).await;
    }
    let mut publisher = Peer::<C>::named(&program, "publisher").await;
    for index in 0..MESSAGES {
        publisher.publish("jobs/x", &format!("{index:02}"), 1, false).await;
    }
    publisher.publish("done", "", 1, false).await;
    let mut shares = Vec::new();
    for member in &mut members {
        let mut share = Vec::new();
        loop {
            match member.receive().await {
                message if message.topic == "done" => break,
                message => share.push(message.payload),
            }
        }
        assert!(!share.is_empty(), "a member got nothing");
        shares.extend(share);
    }
    shares.sort();
    assert_eq!(shares, (0..MESSAGES).map(|index| format!("{index:02}")).collect::<Vec<_>>());
    program.stop();
}

macro_rules! checks {
    ($($check:ident)*) => {
        mod with_3_1_1 {
            $(#[tokio::test] async fn $check() { super::$check::<super::v4::V4>().await })*
        }
        mod with_5_0 {
            $(#[tokio::test] async fn $check() { super::$check::<super::v5::V5>().await })*
        }
    };
}

checks! {
    every_qos_is_delivered_at_the_lower_of_both
    retained_messages_come_with_a_subscription_until_they_are_cleared
    a_will_is_published_when_the_client_breaks_off_and_not_when_it_disconnects
    a_kept_session_receives_what_was_published_meanwhile_in_order
    a_shared_subscription_gives_each_message_to_one_member
}
