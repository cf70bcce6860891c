//! Subscriptions: one for each filter of a session, with what was granted.

use opifex_packet::{QoS, RetainHandling, SubscriptionOptions};
use opifex_storage::{Op, OpenSession, Outcome, RecordKind, SubscriptionRecord};

use crate::script::{connect, filter, id, subscription};
use crate::{Factory, Subject};

/// Retain handling 1 asks whether a subscription is new.
pub async fn a_new_subscription_did_not_exist<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let outcome = s.one(s.by(&c), Op::Subscribe(subscription("a/b"))).await;
    assert_eq!(outcome, Outcome::Subscribed { existed: false });
    assert_eq!(s.subscriptions(id(&c)).await, [subscription("a/b")]);
}

/// [MQTT-3.8.4-3]
pub async fn subscribing_again_replaces<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let first = SubscriptionRecord { identifier: Some(5), ..subscription("a/b") };
    s.one(s.by(&c), Op::Subscribe(first)).await;
    let second =
        SubscriptionRecord { options: SubscriptionOptions::from(QoS::ExactlyOnce), ..subscription("a/b") };
    let outcome = s.one(s.by(&c), Op::Subscribe(second.clone())).await;
    assert_eq!(outcome, Outcome::Subscribed { existed: true });
    assert_eq!(s.connect("c").await.subscriptions, [second]);
}

/// The second of two equal filters in one SUBSCRIBE finds the first.
pub async fn a_batch_sees_its_own_subscription<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let batch = s
        .by(&c)
        .with(Op::Subscribe(subscription("a")))
        .with(Op::Subscribe(subscription("a")))
        .with(Op::Unsubscribe(filter("a")))
        .with(Op::Subscribe(subscription("a")));
    let subscribed = |existed| Outcome::Subscribed { existed };
    let expected = [subscribed(false), subscribed(true), Outcome::Done, subscribed(false)];
    assert_eq!(s.submit(batch).await, expected);
}

/// Unsubscribing answers whether there was one.
pub async fn unsubscribing_removes_once<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.submit(s.by(&c).with(Op::Subscribe(subscription("a"))).with(Op::Subscribe(subscription("b")))).await;
    assert_eq!(s.one(s.by(&c), Op::Unsubscribe(filter("a"))).await, Outcome::Done);
    assert_eq!(s.one(s.by(&c), Op::Unsubscribe(filter("a"))).await, Outcome::Absent);
    assert_eq!(s.subscriptions(id(&c)).await, [subscription("b")]);
}

/// A filter is text: one that matches others does not stand for them.
pub async fn a_wildcard_does_not_unsubscribe_what_it_matches<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    s.one(s.by(&c), Op::Subscribe(subscription("a/b"))).await;
    for other in ["a/+", "#", "a/b/", "A/b", "a/_", "a/%", "a"] {
        assert_eq!(s.one(s.by(&c), Op::Unsubscribe(filter(other))).await, Outcome::Absent, "{other}");
    }
    assert_eq!(s.subscriptions(id(&c)).await, [subscription("a/b")]);
}

/// Every option that can be granted.
pub async fn options_and_identifier_are_kept<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let mut expected = Vec::new();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for (no_local, retain_as_published) in [(false, false), (true, false), (false, true), (true, true)] {
            for retain_handling in
                [RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend]
            {
                let options = SubscriptionOptions { qos, no_local, retain_as_published, retain_handling };
                let n = expected.len() as u32;
                let identifier = [None, Some(1), Some(268_435_455)][n as usize % 3];
                expected.push(SubscriptionRecord {
                    filter: filter(&format!("f/{n:02}")),
                    options,
                    identifier,
                });
            }
        }
    }
    let batch = expected.iter().fold(s.by(&c), |batch, record| batch.with(Op::Subscribe(record.clone())));
    s.submit(batch).await;
    let mut opened = s.connect("c").await.subscriptions;
    opened.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
    assert_eq!(opened, expected);
    let mut scanned = s.subscriptions(id(&c)).await;
    scanned.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
    assert_eq!(scanned, expected);
}

/// The share is part of the filter.
pub async fn shared_and_plain_stand_side_by_side<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for text in ["t", "$share/g/t", "$share/h/t"] {
        let outcome = s.one(s.by(&c), Op::Subscribe(subscription(text))).await;
        assert_eq!(outcome, Outcome::Subscribed { existed: false }, "{text}");
    }
    assert_eq!(s.one(s.by(&c), Op::Unsubscribe(filter("$share/g/t"))).await, Outcome::Done);
    let mut left = s.connect("c").await.subscriptions;
    left.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
    assert_eq!(left, [subscription("$share/h/t"), subscription("t")]);
}

/// Each session has its own.
pub async fn sessions_do_not_share_subscriptions<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    s.one(s.by(&a), Op::Subscribe(subscription("t"))).await;
    let outcome = s.one(s.by(&b), Op::Subscribe(subscription("t"))).await;
    assert_eq!(outcome, Outcome::Subscribed { existed: false });
    assert_eq!(s.one(s.by(&a), Op::Unsubscribe(filter("t"))).await, Outcome::Done);
    assert_eq!(s.subscriptions(id(&b)).await, [subscription("t")]);
    assert!(s.subscriptions(id(&a)).await.is_empty());
}

/// They end with their session at once, whatever is left to be cleaned.
pub async fn subscriptions_end_with_their_session<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    s.one(s.by(&old), Op::Subscribe(subscription("t"))).await;
    let new = s.open(OpenSession { clean_start: true, ..connect("c") }).await;
    assert!(s.scan(RecordKind::Subscription).await.is_empty());
    let outcome = s.one(s.by(&new), Op::Subscribe(subscription("t"))).await;
    assert_eq!(outcome, Outcome::Subscribed { existed: false });
}

/// An open returns all of them, however many.
pub async fn an_open_returns_every_subscription<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let count = 2_000.min(s.capabilities().max_batch_ops);
    let mut batch = s.by(&c);
    for n in 0..count {
        batch.ops.push(Op::Subscribe(subscription(&format!("some/{n}/#"))));
    }
    s.submit(batch).await;
    let mut opened: Vec<_> =
        s.connect("c").await.subscriptions.iter().map(|record| record.filter.as_str().to_owned()).collect();
    opened.sort();
    opened.dedup();
    assert_eq!(opened.len(), count);
}
