//! The words that cases are written in: messages, targets, opens and batches with everything that does not matter
//! filled in.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{PacketId, Properties, QoS, SubscriptionOptions, TopicFilter, TopicName};
use opifex_storage::{
    Durability, FullPolicy, Message, NewWill, OpenSession, OpenedSession, QueueLimits, SessionExpiry,
    SessionId, SubscriptionRecord, Target, Timestamp,
};

/// When every case begins.
pub const START: Timestamp = Timestamp(1_700_000_000_000);

/// So many seconds after the beginning.
pub fn at(secs: u32) -> Timestamp {
    START.plus_secs(secs)
}

/// A valid topic name.
pub fn topic(name: &str) -> TopicName<'static> {
    TopicName::new(name.to_owned()).expect("a case writes valid topics")
}

/// A valid topic filter.
pub fn filter(filter: &str) -> TopicFilter<'static> {
    TopicFilter::new(filter.to_owned()).expect("a case writes valid filters")
}

/// A packet id other than 0.
pub fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("a case writes valid packet ids")
}

/// A QoS 1 message without properties that does not expire.
pub fn message(name: &str, payload: impl AsRef<[u8]>) -> Message {
    Message {
        topic: topic(name),
        qos: QoS::AtLeastOnce,
        properties: Properties::default(),
        payload: Bytes::copy_from_slice(payload.as_ref()),
        expires_at: None,
    }
}

/// The same, to expire at `when`.
pub fn expiring(name: &str, payload: impl AsRef<[u8]>, when: Timestamp) -> Message {
    Message { expires_at: Some(when), ..message(name, payload) }
}

/// A message of exactly so many bytes, topic included.
pub fn message_of(size_bytes: usize) -> Message {
    let name = "size";
    let payload = vec![0; size_bytes - name.len()];
    Message { payload: Bytes::from(payload), ..message(name, "") }
}

/// A QoS 1 target without limits.
pub fn target(session: SessionId) -> Target {
    Target {
        session,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: Vec::new(),
        share: None,
        limits: QueueLimits::UNLIMITED,
    }
}

/// A QoS 1 target of a shared subscription.
pub fn shared_target(session: SessionId, share: &str) -> Target {
    Target { share: Some(Arc::from(share)), ..target(session) }
}

/// At most so many entries.
pub fn items(items: u64, policy: FullPolicy) -> QueueLimits {
    QueueLimits { items, policy, ..QueueLimits::UNLIMITED }
}

/// At most so many bytes.
pub fn bytes(bytes: u64, policy: FullPolicy) -> QueueLimits {
    QueueLimits { bytes, policy, ..QueueLimits::UNLIMITED }
}

/// A subscription at QoS 1.
pub fn subscription(text: &str) -> SubscriptionRecord {
    SubscriptionRecord {
        filter: filter(text),
        options: SubscriptionOptions::from(QoS::AtLeastOnce),
        identifier: None,
    }
}

/// A will without delay that is not retained.
pub fn will(name: &str, payload: &str) -> NewWill {
    NewWill { message: Arc::new(message(name, payload)), retain: false, delay_secs: 0, expiry_secs: None }
}

/// The same with a delay.
pub fn delayed_will(name: &str, payload: &str, delay_secs: u32) -> NewWill {
    NewWill { delay_secs, ..will(name, payload) }
}

/// An open at the beginning that continues what is stored, of a session that does not expire.
///
/// The durability is the weakest; a [`crate::Subject`] asks for the strongest that its backend offers.
pub fn connect(client: &str) -> OpenSession {
    OpenSession {
        client_id: client.into(),
        clean_start: false,
        expiry: SessionExpiry::Never,
        will: None,
        durability: Durability::Memory,
        now: START,
    }
}

/// The identity of a session that was opened.
pub fn id(opened: &OpenedSession) -> SessionId {
    opened.session.id
}
