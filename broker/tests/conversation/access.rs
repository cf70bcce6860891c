//! Access control: who is admitted, authenticated and authorized.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use opifex_broker::{
    AccessControl, Action, Broker, Credentials, DropCause, Identity, Peer as Origin, Verdict, VerdictFuture,
};
use opifex_packet::{Auth, Connect, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    who_is_not_admitted_hears_nothing,
    a_refusal_is_said_in_the_words_of_the_version,
    a_refused_client_takes_nobody_over_and_ends_no_session,
    nothing_is_looked_at_before_authentication,
    what_follows_an_accepted_connect_in_the_same_write_is_taken,
    a_publish_that_is_not_allowed_is_answered_and_goes_nowhere,
    a_will_that_is_not_allowed_refuses_the_connection,
    a_filter_that_is_not_allowed_is_refused_and_its_neighbours_are_not,
    what_may_not_be_received_is_withheld,
    a_shared_message_that_its_member_may_not_receive_goes_to_one_that_may,
    an_authentication_exchange_takes_as_many_rounds_as_it_needs,
    an_authentication_exchange_that_fails_is_answered_by_connack,
    an_unknown_method_is_refused,
    a_client_authenticates_again,
    a_failed_re_authentication_ends_the_connection,
    auth_without_a_method_in_connect_is_a_protocol_error,
);

/// Rules that name themselves: topics that begin with "secret" and filters that begin with "closed" are refused, and
/// "hidden/..." is delivered to nobody but "admin". The method "sum" asks for 1, 2 and 3 one after the other.
#[derive(Clone, Default)]
struct Rules {
    admits: bool,
    asked: Arc<AtomicUsize>,
}

impl AccessControl for Rules {
    fn admit(&self, _peer: &Origin) -> bool {
        self.admits
    }

    fn authenticate<'a>(&'a self, mut credentials: Credentials<'a>) -> VerdictFuture<'a> {
        self.asked.fetch_add(1, Relaxed);
        let user = credentials.user_name.map(Arc::from);
        let known = credentials.reauthenticates.cloned();
        let verdict = match (credentials.method, credentials.user_name, credentials.password) {
            (Some("sum"), ..) => {
                let so_far = credentials.state.take().map_or(0, |state| *state.downcast::<u8>().unwrap());
                let said = credentials.data.and_then(|data| data.first().copied()).unwrap_or(0);
                match (so_far, said) {
                    (3, 3) => Verdict::Accept {
                        identity: known.unwrap_or_else(|| Identity { user: Some("summed".into()) }),
                        data: Some(Bytes::from_static(b"done")),
                    },
                    // A reason that DISCONNECT does not know.
                    (_, 66) => Verdict::Refuse(ReasonCode::Banned),
                    (n, said) if n == said || n == 0 => Verdict::Continue {
                        data: Some(Bytes::copy_from_slice(&[n + 1])),
                        state: Box::new(n + 1),
                    },
                    _ => Verdict::Refuse(ReasonCode::NotAuthorized),
                }
            }
            (Some(_), ..) => Verdict::Refuse(ReasonCode::BadAuthenticationMethod),
            (None, Some("mallory"), _) => Verdict::Refuse(ReasonCode::Banned),
            (None, _, Some(b"wrong")) => Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
            _ => Verdict::Accept { identity: Identity { user }, data: None },
        };
        Box::pin(std::future::ready(verdict))
    }

    fn authorize(&self, identity: &Identity, _client_id: &str, action: Action<'_>) -> bool {
        let admin = identity.user.as_deref() == Some("admin");
        match action {
            Action::Publish { topic, .. } => !topic.starts_with("secret"),
            Action::Subscribe { filter } => !filter.starts_with("closed"),
            Action::Receive { topic } => admin || !topic.starts_with("hidden"),
        }
    }

    fn checks_receive(&self) -> bool {
        true
    }
}

async fn guarded() -> (Broker<Store>, Rules) {
    let rules = Rules { admits: true, ..Rules::default() };
    (broker_with(|builder| builder.access(rules.clone())).await, rules)
}

fn with_user(version: Version, user: &str, password: &str) -> Connect<'static> {
    let mut connect = connect(version, "c");
    connect.user_name = Some(user.to_owned().into());
    connect.password = Some(password.as_bytes().to_vec().into());
    connect
}

fn with_method(method: &str, data: Option<&[u8]>) -> Connect<'static> {
    let mut connect = connect(Version::V5_0, "c");
    connect.properties = method_properties(method, data);
    connect
}

fn method_properties(method: &str, data: Option<&[u8]>) -> Properties<'static> {
    let mut properties = Properties::new().with(Property::AuthenticationMethod(method));
    if let Some(data) = data {
        properties.push(Property::AuthenticationData(data));
    }
    properties
}

fn auth(reason: ReasonCode, method: &str, data: &[u8]) -> Auth<'static> {
    Auth { reason, properties: method_properties(method, Some(data)) }
}

async fn expect_auth(peer: &mut Peer, reason: ReasonCode, data: &[u8]) {
    match peer.receive().await {
        Packet::Auth(said) => {
            assert_eq!(said.reason, reason);
            assert_eq!(said.properties.authentication_method(), Some("sum"));
            assert_eq!(said.properties.authentication_data(), Some(data));
        }
        other => panic!("expected AUTH, got {other:?}"),
    }
}

async fn who_is_not_admitted_hears_nothing() {
    let broker = broker_with(|builder| builder.access(Rules::default())).await;
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.expect_closed().await;
    assert_eq!(broker.stats().refused, 1);
}

async fn a_refusal_is_said_in_the_words_of_the_version() {
    let (broker, _) = guarded().await;
    for version in [Version::V3_1, Version::V3_1_1, Version::V5_0] {
        let reason = ReasonCode::BadUserNameOrPassword;
        Peer::refused(&broker, with_user(version, "alice", "wrong"), reason).await;
    }
    Peer::refused(&broker, with_user(Version::V5_0, "mallory", ""), ReasonCode::Banned).await;
    let mut peer = Peer::open(&broker, Version::V3_1_1);
    peer.send(with_user(Version::V3_1_1, "mallory", "")).await;
    assert!(matches!(peer.receive().await, Packet::Connack(said) if said.reason.is_error()));
    peer.expect_closed().await;
    assert_eq!(broker.stats().refused, 5);
    assert_eq!(broker.stats().sessions, 0);
}

async fn a_refused_client_takes_nobody_over_and_ends_no_session() {
    let (broker, _) = guarded().await;
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    Peer::refused(&broker, with_user(Version::V5_0, "x", "wrong"), ReasonCode::BadUserNameOrPassword).await;
    peer.settle().await;
    assert_eq!(broker.stats().sessions, 1);
}

async fn nothing_is_looked_at_before_authentication() {
    let (broker, rules) = guarded().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("#", QoS::AtMostOnce).await;
    let asked = rules.asked.load(Relaxed);
    // Anything but CONNECT first.
    for packet in [
        Packet::from(publish("a", "x", QoS::AtMostOnce)),
        Packet::from(subscribe("a", options(QoS::AtMostOnce), None)),
        Packet::Pingreq,
        Packet::from(auth(ReasonCode::ContinueAuthentication, "sum", b"")),
    ] {
        let mut peer = Peer::open(&broker, Version::V5_0);
        peer.send(packet).await;
        peer.expect_closed().await;
    }
    assert_eq!(rules.asked.load(Relaxed), asked);
    // Behind a CONNECT that is refused.
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.feed(with_user(Version::V5_0, "x", "wrong"));
    peer.feed(publish("a", "x", QoS::AtMostOnce));
    peer.feed(Packet::Pingreq);
    peer.flush().await;
    peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    listener.expect_silence().await;
    assert_eq!(broker.stats().received, 0);
}

async fn what_follows_an_accepted_connect_in_the_same_write_is_taken() {
    let (broker, _) = guarded().await;
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.feed(connect(Version::V5_0, "c"));
    peer.feed(subscribe("a", options(QoS::AtMostOnce), None));
    peer.feed(publish("a", "x", QoS::AtMostOnce));
    peer.flush().await;
    assert!(matches!(peer.receive().await, Packet::Connack(_)));
    // Either may come first.
    let (mut subacks, mut messages) = (0, 0);
    for _ in 0..2 {
        match peer.receive().await {
            Packet::Suback(_) => subacks += 1,
            Packet::Publish(publish) => messages += usize::from(text(&publish) == "x"),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((subacks, messages), (1, 1));
}

async fn a_publish_that_is_not_allowed_is_answered_and_goes_nowhere() {
    let (broker, _) = guarded().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("#", QoS::AtMostOnce).await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.send(publish("secret/a", "x", QoS::AtMostOnce)).await;
    peer.send(publish("secret/a", "x", QoS::AtLeastOnce)).await;
    match peer.receive().await {
        Packet::Puback(ack) => assert_eq!(ack.reason, ReasonCode::NotAuthorized),
        other => panic!("expected PUBACK, got {other:?}"),
    }
    // A refused QoS 2 message leaves no id: the same id is free at once.
    for _ in 0..2 {
        peer.send(publish("secret/a", "x", QoS::ExactlyOnce)).await;
        match peer.receive().await {
            Packet::Pubrec(ack) => assert_eq!(ack.reason, ReasonCode::NotAuthorized),
            other => panic!("expected PUBREC, got {other:?}"),
        }
    }
    let mut old = Peer::v4(&broker, "old").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        old.publish("secret/b", "x", qos).await;
    }
    old.publish_retained("secret/b", "x", QoS::AtLeastOnce).await;
    listener.expect_silence().await;
    assert_eq!(broker.stats().dropped(DropCause::NotAuthorized), 8);
    let mut late = Peer::v5(&broker, "late").await;
    late.subscribe("secret/#", QoS::AtMostOnce).await;
    late.expect_silence().await;
}

async fn a_will_that_is_not_allowed_refuses_the_connection() {
    let (broker, _) = guarded().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut hello = connect(version, "c");
        hello.will = Some(will("secret/w", "x", QoS::AtMostOnce));
        Peer::refused(&broker, hello, ReasonCode::NotAuthorized).await;
    }
}

async fn a_filter_that_is_not_allowed_is_refused_and_its_neighbours_are_not() {
    let (broker, _) = guarded().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut peer, _) = Peer::connect(&broker, connect(version, "c")).await;
        let mut all = subscribe("open", options(QoS::AtLeastOnce), None);
        all.subscriptions.extend(subscribe("closed/#", options(QoS::AtLeastOnce), None).subscriptions);
        all.subscriptions.extend(subscribe("free", options(QoS::AtMostOnce), None).subscriptions);
        peer.send(all).await;
        let refusal = if version.is_v5() { ReasonCode::NotAuthorized } else { ReasonCode::UnspecifiedError };
        match peer.receive().await {
            Packet::Suback(suback) => {
                assert_eq!(suback.reasons, [ReasonCode::GrantedQoS1, refusal, ReasonCode::Success]);
            }
            other => panic!("expected SUBACK, got {other:?}"),
        }
        assert_eq!(broker.stats().subscriptions, 2);
        peer.disconnect(&broker).await;
    }
}

async fn what_may_not_be_received_is_withheld() {
    let (broker, _) = guarded().await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("hidden/r", "x", QoS::AtLeastOnce).await;
    let mut plain = Peer::v5(&broker, "plain").await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
    let (mut admin, _) = Peer::connect(&broker, with_user(Version::V5_0, "admin", "")).await;
    plain.subscribe("hidden/#", QoS::ExactlyOnce).await;
    durable.subscribe("hidden/#", QoS::ExactlyOnce).await;
    admin.subscribe("hidden/#", QoS::ExactlyOnce).await;
    assert_eq!(admin.receive_text().await, "x");
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        sender.publish("hidden/a", "x", qos).await;
        assert_eq!(admin.receive_text().await, "x");
    }
    durable.expect_silence().await;
    plain.expect_silence().await;
    durable.vanish(&broker).await;
    sender.publish("hidden/a", "x", QoS::AtLeastOnce).await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
    durable.expect_silence().await;
    assert_eq!(broker.stats().dropped(DropCause::NotAuthorized), 2 * 4 + 2);
}

async fn a_shared_message_that_its_member_may_not_receive_goes_to_one_that_may() {
    let (broker, _) = guarded().await;
    let mut plain = Peer::v5(&broker, "plain").await;
    let (mut admin, _) = Peer::connect(&broker, with_user(Version::V5_0, "admin", "")).await;
    plain.subscribe("$share/g/hidden/#", QoS::AtLeastOnce).await;
    admin.subscribe("$share/g/hidden/#", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for _ in 0..4 {
        sender.publish("hidden/a", "x", QoS::AtLeastOnce).await;
        assert_eq!(admin.receive_text().await, "x");
    }
    plain.expect_silence().await;
}

async fn an_authentication_exchange_takes_as_many_rounds_as_it_needs() {
    let (broker, _) = guarded().await;
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.send(with_method("sum", None)).await;
    for n in 1..=3u8 {
        expect_auth(&mut peer, ReasonCode::ContinueAuthentication, &[n]).await;
        peer.send(auth(ReasonCode::ContinueAuthentication, "sum", &[n])).await;
    }
    match peer.receive().await {
        Packet::Connack(connack) => {
            assert_eq!(connack.reason, ReasonCode::Success);
            assert_eq!(connack.properties.authentication_method(), Some("sum"));
            assert_eq!(connack.properties.authentication_data(), Some(&b"done"[..]));
        }
        other => panic!("expected CONNACK, got {other:?}"),
    }
    peer.settle().await;
}

async fn an_authentication_exchange_that_fails_is_answered_by_connack() {
    // [MQTT-3.14.0-1]: no DISCONNECT before a CONNACK that says yes.
    let (broker, _) = guarded().await;
    for (answer, reason) in [
        (Packet::from(auth(ReasonCode::ContinueAuthentication, "sum", &[9])), ReasonCode::NotAuthorized),
        (Packet::from(auth(ReasonCode::ContinueAuthentication, "other", &[1])), ReasonCode::ProtocolError),
        (Packet::from(auth(ReasonCode::ReAuthenticate, "sum", &[1])), ReasonCode::ProtocolError),
        (Packet::from(publish("a", "x", QoS::AtMostOnce)), ReasonCode::ProtocolError),
        (Packet::from(connect(Version::V5_0, "c")), ReasonCode::ProtocolError),
    ] {
        let mut peer = Peer::open(&broker, Version::V5_0);
        peer.send(with_method("sum", None)).await;
        expect_auth(&mut peer, ReasonCode::ContinueAuthentication, &[1]).await;
        peer.send(answer).await;
        peer.expect_refusal(reason).await;
    }
    assert_eq!(broker.stats().sessions, 0);
}

async fn an_unknown_method_is_refused() {
    let (guarded, _) = guarded().await;
    let open = broker().await;
    for broker in [guarded, open] {
        Peer::refused(&broker, with_method("magic", Some(b"x")), ReasonCode::BadAuthenticationMethod).await;
    }
}

/// A client that has authenticated with the method "sum".
async fn summed(broker: &Broker<Store>) -> Peer {
    let mut peer = Peer::open(broker, Version::V5_0);
    peer.send(with_method("sum", None)).await;
    for n in 1..=3u8 {
        expect_auth(&mut peer, ReasonCode::ContinueAuthentication, &[n]).await;
        peer.send(auth(ReasonCode::ContinueAuthentication, "sum", &[n])).await;
    }
    assert!(matches!(peer.receive().await, Packet::Connack(_)));
    peer
}

async fn a_client_authenticates_again() {
    let (broker, _) = guarded().await;
    let mut peer = summed(&broker).await;
    peer.send(auth(ReasonCode::ReAuthenticate, "sum", &[])).await;
    for n in 1..=3u8 {
        expect_auth(&mut peer, ReasonCode::ContinueAuthentication, &[n]).await;
        // The connection goes on meanwhile.
        peer.publish("a", "x", QoS::ExactlyOnce).await;
        peer.send(auth(ReasonCode::ContinueAuthentication, "sum", &[n])).await;
    }
    expect_auth(&mut peer, ReasonCode::Success, b"done").await;
    peer.settle().await;
}

async fn a_failed_re_authentication_ends_the_connection() {
    let (broker, _) = guarded().await;
    for (answers, reason) in [
        (vec![auth(ReasonCode::ReAuthenticate, "other", &[])], ReasonCode::ProtocolError),
        (vec![auth(ReasonCode::ContinueAuthentication, "sum", &[1])], ReasonCode::ProtocolError),
    ] {
        let mut peer = summed(&broker).await;
        for answer in answers {
            peer.send(answer).await;
        }
        peer.expect_disconnect(reason).await;
    }
    for answer in [9, 66] {
        let mut peer = summed(&broker).await;
        peer.send(auth(ReasonCode::ReAuthenticate, "sum", &[])).await;
        expect_auth(&mut peer, ReasonCode::ContinueAuthentication, &[1]).await;
        peer.send(auth(ReasonCode::ContinueAuthentication, "sum", &[answer])).await;
        peer.expect_disconnect(ReasonCode::NotAuthorized).await;
    }
}

async fn auth_without_a_method_in_connect_is_a_protocol_error() {
    let (broker, _) = guarded().await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.send(auth(ReasonCode::ReAuthenticate, "sum", &[])).await;
    peer.expect_disconnect(ReasonCode::ProtocolError).await;
}
