//! What goes in comes out: bytes, texts and properties, and no two that differ are taken for the same.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Properties, Property, QoS};
use opifex_storage::{Message, Op, OpenSession, Outcome, Persistence, RecordKind};

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
        "A\u{30a}",
        "\u{1e69}",
        "s\u{323}\u{307}",
        "s\u{307}\u{323}",
        "\u{ac00}",
        "\u{1100}\u{1161}",
        "\u{fb01}",
        "fi",
        "\u{2460}",
        "\u{ff11}",
        "1",
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
    let longest = Bytes::from_iter((0..(1 << 20) + 1).map(|n: u32| (n * 31 + n / 251) as u8));
    let payload = |size: usize| longest.slice(..size);
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

/// In queues, retained and in wills, where an engine may put what is long elsewhere.
pub async fn long_payloads_come_back_from_everywhere<F: Factory>(mut s: Subject<F>) {
    for size in [65_535, 65_536, 65_537, 1 << 20] {
        let payload: Vec<u8> = (0..251).cycle().take(size).collect();
        comes_back(&mut s, message("t", payload)).await;
    }
}

/// 65,535 bytes each, as long as MQTT has them; and many short ones.
pub async fn the_longest_properties_come_back<F: Factory>(mut s: Subject<F>) {
    let long = "é".repeat(32_767) + "x";
    let bytes = vec![0xff; 65_535];
    let properties = Properties::default()
        .with(Property::UserProperty(&long, ""))
        .with(Property::UserProperty("", &long))
        .with(Property::ContentType(&long))
        .with(Property::CorrelationData(&bytes));
    comes_back(&mut s, Message { properties, ..message("t", "x") }).await;
    let names: Vec<_> = (0..1_000).map(|n| (n % 10).to_string()).collect();
    let properties =
        names.iter().fold(Properties::default(), |all, name| all.with(Property::UserProperty(name, "v")));
    comes_back(&mut s, Message { properties, ..message("t", "x") }).await;
}

/// Each character of one byte in a client id, a topic and a filter: no other is taken for it, and none is special.
pub async fn every_character_of_one_byte_is_itself<F: Factory>(s: Subject<F>) {
    let letters: Vec<char> =
        ('\u{1}'..='\u{7f}').filter(|letter| !matches!(letter, '+' | '#' | '/')).collect();
    let texts: Vec<_> = letters.iter().map(|letter| format!("a{letter}b")).collect();
    s.retain_all(texts.iter().map(|text| message(text, text))).await;
    for text in &texts {
        // Nothing here depends on their durability; an open a sync is slow.
        let opened = s.store().open_session(connect(text)).await.expect("it opens");
        assert!(!opened.present, "{text:?} is another client");
        assert_eq!(*opened.session.client_id, **text);
        assert_eq!(s.topics(&[text]).await, std::slice::from_ref(text));
    }
    let c = s.connect("c").await;
    let ops = texts.iter().map(|text| Op::Subscribe(subscription(text)));
    let outcomes = s.submit(ops.fold(s.by(&c), |batch, op| batch.with(op))).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Subscribed { existed: false }));
    assert_eq!(s.topics(&["+"]).await.len(), texts.len());
}

/// One message handed over once and meant for many places: each lets go of it on its own.
pub async fn one_message_in_many_places_is_there_until_the_last_lets_go<F: Factory>(mut s: Subject<F>) {
    let body = Arc::new(message("t", vec![7; 10_000]));
    let brought = opifex_storage::NewWill { message: Arc::clone(&body), ..will("t", "") };
    let a = s.connect("a").await;
    let b = s.open(OpenSession { will: Some(brought), ..connect("b") }).await;
    let enqueue = |of| Op::Enqueue { message: Arc::clone(&body), targets: vec![target(of)] };
    let batch = s.by_broker().with(Op::Retain(Arc::clone(&body))).with(enqueue(id(&a)));
    s.submit(batch.with(enqueue(id(&a))).with(enqueue(id(&b)))).await;
    let there = async |s: &Subject<F>| {
        let mut bodies: Vec<_> = s.retained(&["t"]).await.0.into_iter().map(|item| item.message).collect();
        for session in [&a, &b] {
            bodies.extend(s.queue(id(session)).await.into_iter().filter_map(|entry| entry.message));
        }
        bodies.extend(s.wills().await.into_iter().map(|record| record.will.message));
        assert!(bodies.iter().all(|found| *found == body), "what is there is whole");
        bodies.len()
    };
    assert_eq!(there(&s).await, 5);
    s.one(s.by(&a), Op::Settle(opifex_storage::Seq(1))).await;
    assert_eq!(there(&s).await, 4);
    s.one(s.by_broker(), Op::Unretain(topic("t"))).await;
    s.reopen().await;
    assert_eq!(there(&s).await, 3);
    s.one(s.by(&b), Op::TakeWill).await;
    s.one(s.by(&b), Op::Settle(opifex_storage::Seq(1))).await;
    assert_eq!(there(&s).await, 1);
    assert_eq!(s.queue(id(&a)).await[0].seq.0, 2);
}
