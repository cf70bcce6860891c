//! What goes in comes out: bytes, texts and properties, and no two that differ are taken for the same.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Properties, Property, QoS};
use opifex_storage::{Message, Op, OpenSession, Outcome, RecordKind};

use crate::script::{at, connect, filter, id, message, subscription, target, topic, will};
use crate::{Factory, Subject};

/// Texts that an engine may confuse: prefixes, case, normal forms, escapes, patterns, separators, the ends of UTF-8.
fn confusable() -> Vec<String> {
    let long = "x".repeat(60_000);
    let mut texts: Vec<String> = [
        "dev1",
        "dev10",
        "dev",
        "dev1 ",
        " dev1",
        "DEV1",
        "Dev1",
        "dev-1",
        "dev_1",
        "dev%",
        "dev1\u{1}",
        "dev1\u{ff}",
        "dev1\u{7f}",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{212b}",
        "\u{c5}",
        "\u{df}",
        "ss",
        "SS",
        "\u{130}",
        "i",
        "I",
        "'",
        "''",
        "\"",
        "\\",
        "\\\\",
        "\\x00",
        "%00",
        "0",
        "00",
        "01",
        "1e1",
        "10",
        "-1",
        "NULL",
        "null",
        "true",
        ":",
        "::",
        ",",
        ";",
        "|",
        ".",
        "..",
        "a b",
        "a\tb",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "\u{ffff}",
        "\u{fffd}",
        "\u{feff}",
        "\u{feff}dev1",
        "\u{200b}",
        "日本",
        "🦀",
        "👩‍🚀",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push(format!("{long}a"));
    texts.push(format!("{long}b"));
    texts.push(long);
    texts
}

/// Two clients are never one.
pub async fn client_ids_are_told_apart<F: Factory>(s: Subject<F>) {
    let mut texts = confusable();
    texts.extend(["a/b", "a/b/", "/", "a+b", "#", "$share", ""].map(str::to_owned));
    let mut ids = Vec::new();
    for client in &texts {
        let opened = s.connect(client).await;
        assert!(!opened.present, "{client:.20?} is another client");
        assert_eq!(*opened.session.client_id, **client);
        s.enqueue(id(&opened), client).await;
        s.one(s.by(&opened), Op::Subscribe(subscription("t"))).await;
        ids.push(id(&opened));
    }
    for (client, session) in texts.iter().zip(&ids) {
        let again = s.connect(client).await;
        assert_eq!((id(&again), again.present), (*session, true), "{client:.20?}");
        assert_eq!(s.payloads(*session).await, std::slice::from_ref(client));
    }
    assert_eq!(s.scan(RecordKind::Session).await.len(), texts.len());
}

/// The classic: one key is the other's prefix.
pub async fn dev1_never_sees_what_dev10_has<F: Factory>(s: Subject<F>) {
    let mut sessions = Vec::new();
    for client in ["dev10", "dev1", "dev", "dev100"] {
        let opened = s.open(OpenSession { will: Some(will("w", client)), ..connect(client) }).await;
        let batch = s.by(&opened).with(Op::Subscribe(subscription(client)));
        s.submit(batch.with(Op::PutInbound(crate::script::packet_id(client.len() as u16)))).await;
        s.enqueue(id(&opened), client).await;
        sessions.push(opened);
    }
    s.open(OpenSession { clean_start: true, ..connect("dev1") }).await;
    for (n, client) in [(0, "dev10"), (2, "dev"), (3, "dev100")] {
        let again = s.connect(client).await;
        assert_eq!(id(&again), id(&sessions[n]), "{client}");
        assert_eq!(again.subscriptions, [subscription(client)]);
        assert_eq!(again.inbound, [crate::script::packet_id(client.len() as u16)]);
        assert_eq!(s.payloads(id(&again)).await, [client]);
    }
}

/// Two topics are never one.
pub async fn topics_are_told_apart<F: Factory>(s: Subject<F>) {
    let mut texts = confusable();
    texts.extend(["a", "a/", "/a", "a//", "a/b", "a/b/", "A/b", "a/B", "//", "/"].map(str::to_owned));
    s.retain_all(texts.iter().map(|topic| message(topic, topic))).await;
    for text in &texts {
        let (found, _) = s.retained(&[text]).await;
        assert_eq!(found.len(), 1, "{text:.20?}");
        assert_eq!(found[0].message.topic.as_str(), text);
        assert_eq!(&found[0].message.payload[..], text.as_bytes());
    }
    assert_eq!(s.scan(RecordKind::Retained).await.len(), texts.len());
    assert_eq!(s.one(s.by_broker(), Op::Unretain(topic("dev1"))).await, Outcome::Done);
    assert_eq!(s.topics(&["dev10"]).await, ["dev10"]);
    assert_eq!(s.scan(RecordKind::Retained).await.len(), texts.len() - 1);
}

/// Two filters are never one.
pub async fn filters_are_told_apart<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let mut texts = confusable();
    texts.extend(
        ["a", "a/", "a/#", "a/+", "+/a", "#", "+", "$share/g/a", "$share/G/a", "/"].map(str::to_owned),
    );
    for text in &texts {
        let outcome = s.one(s.by(&c), Op::Subscribe(subscription(text))).await;
        assert_eq!(outcome, Outcome::Subscribed { existed: false }, "{text:.20?}");
    }
    assert_eq!(s.one(s.by(&c), Op::Unsubscribe(filter("dev1"))).await, Outcome::Done);
    let left = s.connect("c").await.subscriptions;
    let mut left: Vec<_> = left.iter().map(|record| record.filter.as_str()).collect();
    let mut expected: Vec<_> = texts.iter().map(String::as_str).filter(|text| *text != "dev1").collect();
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}

/// In a queue, retained, in a will, and after reopening.
async fn comes_back<F: Factory>(s: &mut Subject<F>, original: Message) {
    let body = Arc::new(original.clone());
    let brought = opifex_storage::NewWill {
        message: Arc::new(Message { expires_at: None, ..original.clone() }),
        ..will("w", "")
    };
    let c = s.open(OpenSession { will: Some(brought.clone()), ..connect("c") }).await;
    let batch = s.by_broker().with(Op::Retain(Arc::clone(&body)));
    s.submit(batch.with(Op::Enqueue { message: body, targets: vec![target(id(&c))] })).await;
    for reopened in [false, true] {
        if reopened {
            s.reopen().await;
        }
        let queued = s.queue(id(&c)).await.pop().and_then(|entry| entry.message).expect("it is queued");
        assert!(*queued == original, "queued, reopened: {reopened}");
        let retained = s.retained(&[original.topic.as_str()]).await.0.remove(0).message;
        assert!(*retained == original, "retained, reopened: {reopened}");
        let wills = s.wills().await;
        assert!(wills.last().is_some_and(|record| record.will == brought), "a will, reopened: {reopened}");
    }
}

/// Binary is binary.
pub async fn every_byte_value_comes_back<F: Factory>(mut s: Subject<F>) {
    let payload: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    comes_back(&mut s, message("t", payload)).await;
}

/// An empty payload is a message.
pub async fn an_empty_payload_comes_back<F: Factory>(mut s: Subject<F>) {
    comes_back(&mut s, message("t", "")).await;
}

/// Sizes around the borders of length fields and pages, up to 1 MiB.
pub async fn payloads_of_many_sizes_come_back<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let mut sizes = vec![1, 127, 128, 255, 256, 4095, 4096, 4097, 16_383, 16_384];
    sizes.extend([65_534, 65_535, 65_536, 65_537, (1 << 20) - 1, 1 << 20, (1 << 20) + 1]);
    let payload = |size: usize| Bytes::from_iter((0..size).map(|n| (n * 31 + n / 251) as u8));
    for size in &sizes {
        s.enqueue_message(id(&c), Message { payload: payload(*size), ..message("t", "") }).await;
    }
    let entries = s.queue(id(&c)).await;
    assert_eq!(entries.len(), sizes.len());
    for (entry, size) in entries.iter().zip(sizes) {
        let message = entry.message.as_ref().expect("it was not released");
        assert!(message.payload == payload(size), "{size} bytes");
    }
}

/// All of them, in order, with duplicates, empty names and values.
pub async fn properties_come_back_in_order<F: Factory>(mut s: Subject<F>) {
    let properties = Properties::default()
        .with(Property::UserProperty("b", "2"))
        .with(Property::PayloadFormatIndicator(true))
        .with(Property::UserProperty("a", "1"))
        .with(Property::ContentType("text/plain; charset=é"))
        .with(Property::UserProperty("a", "1"))
        .with(Property::UserProperty("", ""))
        .with(Property::ResponseTopic("reply/to"))
        .with(Property::UserProperty("A", "1"))
        .with(Property::CorrelationData(&[0, 255, 0, 128]));
    comes_back(&mut s, Message { properties, ..message("t", "x") }).await;
}

/// The QoS that it was published with is not that of the target.
pub async fn the_published_qos_comes_back<F: Factory>(mut s: Subject<F>) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        comes_back(&mut s, Message { qos, ..message("t", "x") }).await;
    }
}

/// To the millisecond.
pub async fn the_expiry_comes_back<F: Factory>(mut s: Subject<F>) {
    let odd = opifex_storage::Timestamp(at(100_000).0 + 123);
    comes_back(&mut s, Message { expires_at: Some(odd), ..message("t", "x") }).await;
    let far = opifex_storage::Timestamp(at(u32::MAX).0 + 999);
    comes_back(&mut s, Message { expires_at: Some(far), ..message("t", "x") }).await;
}

/// 65,535 bytes, of few and of many levels.
pub async fn the_longest_topics_come_back<F: Factory>(mut s: Subject<F>) {
    comes_back(&mut s, message(&"t".repeat(65_535), "x")).await;
    comes_back(&mut s, message(&"/".repeat(65_535), "x")).await;
    comes_back(&mut s, message(&"é/".repeat(21_845), "x")).await;
}

/// Two messages with the same topic and payload are two.
pub async fn equal_messages_are_not_merged<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let first = s.enqueue(id(&c), "x").await;
    let second = s.enqueue(id(&c), "x").await;
    assert_ne!(first, second);
    s.one(s.by(&c), Op::Settle(first)).await;
    assert_eq!(s.payloads(id(&c)).await, ["x"]);
}
