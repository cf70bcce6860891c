//! What every record and key has in common: round trips, order, damage, and bytes that stay as they are.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::strategies::{packet_id, properties, qos, subscription_options, topic_filter, topic_name};
use opifex_packet::{PacketId, Properties, Property, PropertyContext, QoS, TopicFilter, TopicName, Version};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::key::{self, DueKey, kind};
use super::*;
use crate::{
    Epoch, ErrorKind, Message, NewWill, QueuedState, RecordVersion, Seq, SessionExpiry, SessionId, Timestamp,
    WillRecord,
};

/// What passes over every record: it comes back, and no flipped bit of key or value goes unseen.
fn comes_back_and_shows_damage<R: StoredRecord + PartialEq + Debug>(key: &[u8], record: &R) {
    let value = seal(key, record);
    assert_eq!(&unseal::<R>(key, &value).unwrap(), record);
    for bit in 0..8 * value.len() {
        let mut damaged = value.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = unseal::<R>(key, &damaged.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "bit {bit}: {error}");
        assert!(error.to_string().starts_with(&key::describe(key)), "{error}");
    }
    for bit in 0..8 * key.len() {
        let mut damaged = key.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(unseal::<R>(&damaged, &value).unwrap_err().kind(), ErrorKind::Corrupt, "key's bit {bit}");
    }
    for length in 0..value.len() {
        let cut = value.slice(..length);
        assert_eq!(unseal::<R>(key, &cut).unwrap_err().kind(), ErrorKind::Corrupt, "cut to {length}");
    }
}

fn moment() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn expiry() -> impl Strategy<Value = SessionExpiry> {
    prop_oneof![Just(SessionExpiry::Never), any::<u32>().prop_map(SessionExpiry::Secs)]
}

fn message() -> impl Strategy<Value = Message> {
    let properties = properties(PropertyContext::Will, Version::V5_0);
    let payload = vec(any::<u8>(), 0..40);
    (topic_name(), qos(), properties, payload, option::of(moment())).prop_map(
        |(topic, qos, properties, payload, expires_at)| Message {
            topic,
            qos,
            // What a will and a PUBLISH have in common, as the broker keeps it.
            properties: properties.retain(|property| !matches!(property, Property::WillDelayInterval(_))),
            payload: payload.into(),
            expires_at,
        },
    )
}

fn body() -> impl Strategy<Value = QueuedBody> {
    prop_oneof![
        Just(QueuedBody::Gone),
        any::<u64>().prop_map(QueuedBody::Row),
        message().prop_map(|message| QueuedBody::inline(&message)),
    ]
}

fn delivery() -> impl Strategy<Value = QueuedState> {
    prop_oneof![
        Just(QueuedState::Waiting),
        packet_id().prop_map(QueuedState::Assigned),
        packet_id().prop_map(QueuedState::Released),
    ]
}

prop_compose! {
    fn queued_row()(
        body in body(),
        size_bytes in any::<u64>(),
        expires_at in option::of(moment()),
        qos in qos(),
        retain in any::<bool>(),
        state in delivery(),
        subscription_ids in vec(any::<u32>(), 0..4),
        share in option::of(".{0,20}"),
    ) -> QueuedRow {
        let share = share.map(Arc::from);
        QueuedRow { body, size_bytes, expires_at, qos, retain, state, subscription_ids, share }
    }
}

prop_compose! {
    fn session_row()(
        client_id in ".{0,20}",
        epoch in any::<u64>(),
        expiry in expiry(),
        offline_since in option::of(moment()),
        ended_at in option::of(moment()),
        counts in any::<[u64; 8]>(),
    ) -> SessionRow {
        let [next_seq, waiting_from, queued_items, queued_bytes, waiting_items, waiting_bytes, subscriptions, inbound] =
            counts;
        SessionRow {
            client_id: client_id.into(),
            epoch: Epoch(epoch),
            expiry,
            offline_since,
            ended_at,
            next_seq: Seq(next_seq),
            waiting_from: Seq(waiting_from),
            queued_items,
            queued_bytes,
            waiting_items,
            waiting_bytes,
            subscriptions,
            inbound,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn messages_come_back_and_show_damage(message in message(), body in any::<u64>()) {
        comes_back_and_shows_damage(&key::body(body), &message);
    }

    #[test]
    fn retained_messages_come_back_and_show_damage(message in message(), version in any::<u64>()) {
        let key = key::retained(&message.topic);
        let row = RetainedRow { version: RecordVersion(version), message: Arc::new(message) };
        comes_back_and_shows_damage(&key, &row);
    }

    #[test]
    fn wills_come_back_and_show_damage(
        message in message(),
        ids in any::<(u64, u64)>(),
        retain in any::<bool>(),
        delay_secs in any::<u32>(),
        expiry_secs in option::of(any::<u32>()),
        due_at in option::of(moment()),
    ) {
        let (session, epoch) = (SessionId(ids.0), Epoch(ids.1));
        let will = NewWill { message: Arc::new(message), retain, delay_secs, expiry_secs };
        comes_back_and_shows_damage(&key::will(session, epoch), &WillRecord { session, epoch, will, due_at });
    }

    #[test]
    fn queue_entries_come_back_and_show_damage(row in queued_row(), ids in any::<(u64, u64)>()) {
        comes_back_and_shows_damage(&key::queued(SessionId(ids.0), Seq(ids.1)), &row);
    }

    #[test]
    fn messages_in_queue_entries_come_back(message in message()) {
        let QueuedBody::Inline(fields) = QueuedBody::inline(&message) else { panic!("it stands in its entry") };
        prop_assert_eq!(QueuedBody::inline_message(fields), Ok(message));
    }

    #[test]
    fn a_message_is_written_into_its_entry_as_one_that_was_put_there(
        row in queued_row(),
        message in message(),
        ids in any::<(u64, u64)>(),
    ) {
        let key = key::queued(SessionId(ids.0), Seq(ids.1));
        let written = row.seal_with(&key, &message);
        prop_assert_eq!(written, seal(&key, &QueuedRow { body: QueuedBody::inline(&message), ..row }));
    }

    #[test]
    fn sessions_come_back_and_show_damage(row in session_row(), id in any::<u64>()) {
        comes_back_and_shows_damage(&key::session(SessionId(id)), &row);
        comes_back_and_shows_damage(&key::ended(SessionId(id)), &row);
    }

    #[test]
    fn subscriptions_come_back_and_show_damage(
        filter in topic_filter(true),
        options in subscription_options(Version::V5_0),
        identifier in option::of(any::<u32>()),
        id in any::<u64>(),
    ) {
        let key = key::subscription(SessionId(id), &filter);
        comes_back_and_shows_damage(&key, &SubscriptionRow { options, identifier });
        prop_assert_eq!(key::session_of(&key), Ok(SessionId(id)));
        prop_assert_eq!(key::filter_of(&key), Ok(filter));
    }

    #[test]
    fn small_records_come_back_and_show_damage(n in any::<[u64; 3]>(), packet_id in packet_id(), client in ".{0,20}") {
        let counters = Counters { last_epoch: n[0], last_version: n[1], last_body: n[2], retained: None, tally: None };
        comes_back_and_shows_damage(&key::counters(), &counters);
        let counters = Counters { retained: Some(n[0]), ..counters };
        comes_back_and_shows_damage(&key::counters(), &counters);
        let mut tally = Tally::default();
        tally.set(kind::QUEUED, Lot { rows: n[1], sum: n[2] as u32 });
        tally.change(&key::references(n[0]), None, Some(n[1] as u32));
        comes_back_and_shows_damage(&key::counters(), &Counters { tally: Some(tally), ..counters });
        comes_back_and_shows_damage(&key::client(&client), &ClientPointer(SessionId(n[0])));
        comes_back_and_shows_damage(&key::references(n[0]), &BodyReferences(n[1]));
        comes_back_and_shows_damage(&key::inbound(SessionId(n[0]), packet_id), &Marker);
        let due = key::due(Timestamp(n[0]), &DueKey::Ended(SessionId(n[1])));
        comes_back_and_shows_damage(&due, &DueRow { version: RecordVersion(n[2]) });
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        let fields = || FieldReader::new(bytes.clone());
        let _ = (Message::read(&mut fields()), QueuedRow::read(&mut fields()), SessionRow::read(&mut fields()));
        let _ = (WillRecord::read(&mut fields()), SubscriptionRow::read(&mut fields()));
        let _ = (key::describe(&bytes), key::due_of(&bytes), key::filter_of(&bytes), key::session_of(&bytes));
    }

    #[test]
    fn numbers_in_keys_are_in_order(a in any::<(u64, u64)>(), b in any::<(u64, u64)>()) {
        let queued = |(id, seq)| key::queued(SessionId(id), Seq(seq));
        prop_assert_eq!(queued(a).cmp(&queued(b)), a.cmp(&b));
        let due = |(at, id)| key::due(Timestamp(at), &DueKey::Session(SessionId(id)));
        prop_assert_eq!(due(a).cmp(&due(b)), a.cmp(&b));
    }

    #[test]
    fn texts_in_keys_are_in_order_and_end(a in "[\\x00-\\x02a-c\u{e9}]{0,6}", b in "[\\x00-\\x02a-c\u{e9}]{0,6}", behind in vec(any::<u8>(), 0..4)) {
        let (first, second) = (key::client(&a), key::client(&b));
        prop_assert_eq!(first.cmp(&second), a.as_bytes().cmp(b.as_bytes()));
        prop_assert!(a == b || !first.starts_with(&second), "no client's key begins another's");
        let long = [&first[1..], &behind].concat();
        prop_assert_eq!(key::take_text(&long), Some((a, &behind[..])));
    }

    #[test]
    fn topics_are_in_order_of_their_levels(a in topic_name(), b in topic_name()) {
        let by_level = a.levels().map(str::as_bytes).cmp(b.levels().map(str::as_bytes));
        prop_assert_eq!(key::retained(&a).cmp(&key::retained(&b)), by_level);
    }

    #[test]
    fn a_sessions_rows_are_in_its_range_and_no_others(id in any::<u64>(), other in any::<u64>(), filter in topic_filter(true)) {
        let row = key::subscription(SessionId(other), &filter);
        let (from, to) = key::of_session(kind::SUBSCRIPTION, SessionId(id));
        prop_assert_eq!(from <= row && row < to, id == other);
        let own = key::subscription(SessionId(id), &filter);
        prop_assert!(from <= own && own < to);
    }

    #[test]
    fn due_keys_come_back(at in moment(), n in any::<[u64; 2]>(), topic in topic_name()) {
        let (id, second) = (SessionId(n[0]), n[1]);
        for item in [
            DueKey::Session(id),
            DueKey::Will(id, Epoch(second)),
            DueKey::Ended(id),
            DueKey::Queued(id, Seq(second)),
            DueKey::Retained(topic),
        ] {
            prop_assert_eq!(key::due_of(&key::due(at, &item)), Ok((at, item)));
        }
    }
}

#[test]
fn dev1_is_not_the_beginning_of_dev10() {
    assert!(!key::client("dev10").starts_with(&key::client("dev1")));
    assert!(key::client("dev1") < key::client("dev10") && key::client("dev10") < key::client("dev2"));
}

#[test]
fn everything_below_a_topic_lies_right_behind_it() {
    let key = |topic: &str| key::retained(&TopicName::new(topic.to_owned()).unwrap());
    let sorted = ["a", "a/", "a/b", "a/b/c", "a/c", "a\u{1}", "a b", "a!/b", "ab"];
    assert!(sorted.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
}

#[test]
fn a_record_of_a_later_format_is_not_taken_for_damage() {
    let key = key::references(7);
    let mut later = vec![2, 9];
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&key), &later);
    later.extend_from_slice(&checksum.to_le_bytes());
    let error = unseal::<BodyReferences>(&key, &later.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "the references to message body 7 has format 2, known is 1");
}

#[test]
fn a_queue_entry_of_the_first_format_is_read() {
    let key = key::queued(SessionId(3), Seq(1));
    let first = "01010909000601ffff030201c801010c2473686172652f672f612f23f461eb83";
    let bytes = (0..first.len()).step_by(2).map(|at| u8::from_str_radix(&first[at..at + 2], 16).unwrap());
    let row: QueuedRow = unseal(&key, &bytes.collect()).unwrap();
    assert_eq!((row.body, row.state), (QueuedBody::Row(9), QueuedState::Assigned(PacketId::MAX)));
}

#[test]
fn a_filter_of_3_1_1_that_5_0_forbids_comes_back() {
    let filter = TopicFilter::without_share_rules("$share/x").unwrap().into_owned();
    assert_eq!(key::filter_of(&key::subscription(SessionId(1), &filter)), Ok(filter));
}

/// Bytes of today, to be read by every later release: a change here is a change of format.
#[test]
fn the_bytes_of_keys_and_records_stay_as_they_are() {
    let topic = TopicName::new("a/b").unwrap();
    let message = Message {
        topic: topic.clone(),
        qos: QoS::AtLeastOnce,
        properties: Properties::default().with(Property::PayloadFormatIndicator(true)),
        payload: Bytes::from_static(b"21.5"),
        expires_at: Some(Timestamp(1_700_000_000_000)),
    };
    let session =
        SessionRow { queued_items: 300, ..SessionRow::new("dev1".into(), Epoch(3), SessionExpiry::Never) };
    let entry = QueuedRow {
        body: QueuedBody::Row(9),
        size_bytes: 9,
        expires_at: None,
        qos: QoS::ExactlyOnce,
        retain: true,
        state: QueuedState::Assigned(PacketId::MAX),
        subscription_ids: vec![1, 200],
        share: Some(Arc::from("$share/g/a/#")),
    };
    let small =
        QueuedRow { body: QueuedBody::inline(&message), state: QueuedState::Waiting, ..entry.clone() };
    let golden = |key: &[u8], value: Bytes| format!("{} {}", hex(key), hex(&value));
    let (body, own, queued) = (key::body(9), key::session(SessionId(3)), key::queued(SessionId(3), Seq(1)));
    let due = key::due(Timestamp(5), &DueKey::Retained(topic.clone()));
    let mut tally = Tally::default();
    tally.set(kind::SESSION, Lot { rows: 300, sum: 0x0102_0304 });
    tally.set(kind::DUE, Lot { rows: 1, sum: u32::MAX });
    let counters =
        Counters { last_epoch: 300, last_version: 7, last_body: 9, retained: Some(2), tally: Some(tally) };
    let meta = key::counters();
    let lines = [
        golden(&body, seal(&body, &message)),
        golden(&own, seal(&own, &session)),
        golden(&queued, seal(&queued, &entry)),
        golden(&queued, seal(&queued, &small)),
        golden(&due, seal(&due, &DueRow { version: RecordVersion(8) })),
        hex(&key::client("d\0")),
        hex(&key::retained(&topic)),
        hex(&key::inbound(SessionId(3), PacketId::MIN)),
        golden(&meta, seal(&meta, &counters)),
    ];
    assert_eq!(lines.join("\n"), include_str!("golden.txt").trim_end());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
