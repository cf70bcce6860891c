//! Each contradiction between records is found, in records that no store would write.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use opifex_packet::{PacketId, Properties, QoS, SubscriptionOptions, TopicFilter, TopicName};

use super::*;
use crate::{
    Batch, Capabilities, Cursor, Due, Durability, Epoch, ErrorKind, Inbound, Message, NewWill, OpenSession,
    OpenedSession, Page, QueuePage, Receipt, RecordKind, RecordVersion, Result, Retained, StoreError,
    SubscriptionRecord, WillRecord,
};

const NOW: Timestamp = Timestamp(1_000_000);

/// A store that holds these records, whatever they are.
struct Records {
    records: Vec<Record>,
    due: Vec<Due>,
    damaged: Vec<StoreError>,
    capabilities: Capabilities,
}

fn kind_of(record: &Record) -> RecordKind {
    match record {
        Record::Session(_) => RecordKind::Session,
        Record::Subscription(..) => RecordKind::Subscription,
        Record::Queued(..) => RecordKind::Queued,
        Record::Inbound(_) => RecordKind::Inbound,
        Record::Retained(_) => RecordKind::Retained,
        Record::Will(_) => RecordKind::Will,
        Record::Ended(..) => RecordKind::Ended,
    }
}

fn unasked<T>() -> Result<T> {
    Err(StoreError::not_applied(ErrorKind::Unsupported, "a check does not ask for this"))
}

impl Persistence for Records {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_session(&self, _: OpenSession) -> Result<OpenedSession> {
        unasked()
    }

    async fn submit(&self, _: Batch) -> Result<Receipt> {
        unasked()
    }

    async fn queue(&self, _: SessionId, after: Seq, _: PageLimit) -> Result<QueuePage> {
        Ok(QueuePage { items: Vec::new(), final_up_to: after, more: false, damaged: Vec::new() })
    }

    async fn retained(
        &self,
        _: &[TopicFilter<'_>],
        _: Option<Cursor>,
        _: PageLimit,
    ) -> Result<Page<Retained>> {
        unasked()
    }

    async fn scan(&self, kind: RecordKind, _: Option<Cursor>, _: PageLimit) -> Result<Page<Record>> {
        let items = self.records.iter().filter(|record| kind_of(record) == kind).cloned().collect();
        let damaged = if kind == RecordKind::Session { self.damaged.clone() } else { Vec::new() };
        Ok(Page { items, damaged, ..Page::new() })
    }

    async fn due(&self, _: Timestamp, _: Option<Cursor>, _: PageLimit) -> Result<Page<Due>> {
        Ok(Page { items: self.due.clone(), ..Page::new() })
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn session(id: u64) -> SessionRecord {
    SessionRecord {
        id: SessionId(id),
        client_id: format!("c{id}").into(),
        epoch: Epoch(id),
        expiry: SessionExpiry::Secs(60),
        offline_since: Some(NOW),
        next_seq: Seq(3),
        queued_items: 0,
        queued_bytes: 0,
    }
}

fn message() -> Arc<Message> {
    Arc::new(Message {
        topic: TopicName::new("t").unwrap(),
        qos: QoS::AtLeastOnce,
        properties: Properties::new(),
        payload: "1234".into(),
        expires_at: None,
    })
}

fn entry(seq: u64, state: QueuedState) -> Queued {
    let message = if matches!(state, QueuedState::Released(_)) { None } else { Some(message()) };
    let (retain, subscription_ids, share) = (false, Vec::new(), None);
    Queued { seq: Seq(seq), message, qos: QoS::ExactlyOnce, retain, subscription_ids, share, state }
}

fn queued(session: u64, entry: Queued) -> Record {
    Record::Queued(SessionId(session), entry)
}

fn will(epoch: u64, due_at: Option<u64>) -> Record {
    let will = NewWill { message: message(), retain: false, delay_secs: 0, expiry_secs: None };
    let (session, epoch) = (SessionId(1), Epoch(epoch));
    Record::Will(WillRecord { session, epoch, will, due_at: due_at.map(Timestamp) })
}

fn faults_of(records: Vec<Record>, due: Vec<Due>, damaged: Vec<StoreError>) -> Vec<String> {
    let capabilities = Capabilities {
        name: "records",
        max_durability: Durability::Memory,
        max_batch_ops: 1,
        max_batch_bytes: 1,
        max_message_bytes: 1,
        max_retained_messages: None,
        unknown_outcomes: false,
        exclusive: true,
    };
    let store = Records { records, due, damaged, capabilities };
    let mut faults = Vec::new();
    let checked = {
        let mut check = pin!(check(&store, NOW, |event| {
            if let Event::Fault(fault) = event {
                faults.push(fault);
            }
        }));
        // Nothing here waits.
        match check.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(checked) => checked.unwrap(),
            Poll::Pending => panic!("these records are there at once"),
        }
    };
    assert_eq!(checked.faults, faults.len() as u64);
    faults
}

fn finds(records: Vec<Record>, expected: &str) {
    let faults = faults_of(records, Vec::new(), Vec::new());
    assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected:?} is not in {faults:#?}");
}

#[test]
fn records_that_fit_have_no_fault() {
    let id = PacketId::new(5).unwrap();
    let whole = SessionRecord { queued_items: 2, queued_bytes: 5, ..session(1) };
    let records = vec![
        Record::Session(whole),
        queued(1, entry(1, QueuedState::Released(id))),
        queued(1, entry(2, QueuedState::Waiting)),
        Record::Inbound(Inbound { session: SessionId(1), packet_id: id }),
        will(1, Some(NOW.0)),
        Record::Retained(Retained { message: message(), version: RecordVersion(1) }),
    ];
    assert_eq!(faults_of(records, Vec::new(), Vec::new()), [""; 0]);
}

#[test]
fn what_is_damaged_is_told_in_the_stores_words() {
    let error = StoreError::not_applied(ErrorKind::Corrupt, "session 9 is damaged: its checksum differs");
    let faults = faults_of(Vec::new(), Vec::new(), vec![error]);
    assert_eq!(faults, ["session 9 is damaged: its checksum differs"]);
}

#[test]
fn sessions_that_contradict_themselves_are_found() {
    let twice = SessionRecord { client_id: "c1".into(), ..session(2) };
    finds(vec![Record::Session(session(1)), Record::Session(twice)], "client \"c1\" has two sessions");
    finds(vec![Record::Session(session(1)), Record::Session(session(1))], "session 1 is there twice");
    let early = SessionRecord { epoch: Epoch(1), ..session(2) };
    finds(vec![Record::Session(early)], "session 2 is at epoch 1, before it began");
    let counts = SessionRecord { queued_items: 1, queued_bytes: 5, ..session(1) };
    finds(vec![Record::Session(counts)], "session 1 counts 1 entries of 5 bytes, its queue holds 0 of 0");
}

#[test]
fn queues_that_are_out_of_order_are_found() {
    let id = PacketId::new(5).unwrap();
    let of_one = |first, second| vec![Record::Session(session(1)), queued(1, first), queued(1, second)];
    let waiting = |seq| entry(seq, QueuedState::Waiting);
    finds(of_one(waiting(2), waiting(1)), "entry 1 of session 1 comes behind entry 2");
    finds(of_one(waiting(1), waiting(3)), "entry 3 of session 1 has a number that is given yet");
    let (assigned, released) = (QueuedState::Assigned(id), QueuedState::Released(id));
    finds(
        of_one(entry(1, assigned), entry(2, released)),
        "entry 2 of session 1 has the packet id of another",
    );
    let empty = Queued { message: None, ..waiting(1) };
    finds(of_one(empty, waiting(2)), "entry 1 of session 1 has no message");
}

#[test]
fn what_hangs_on_nothing_is_found() {
    finds(vec![queued(7, entry(1, QueuedState::Waiting))], "entry 1 of session 7 has no session");
    let filter = TopicFilter::new("a/#").unwrap();
    let options = SubscriptionOptions::from(QoS::AtLeastOnce);
    let subscription = SubscriptionRecord { filter, options, identifier: None };
    finds(
        vec![Record::Subscription(SessionId(7), subscription)],
        "subscription \"a/#\" of session 7 has no session",
    );
    let inbound = Inbound { session: SessionId(7), packet_id: PacketId::new(3).unwrap() };
    finds(vec![Record::Inbound(inbound)], "inbound id 3 of session 7 has no session");
}

#[test]
fn wills_and_retained_messages_that_cannot_be_are_found() {
    finds(vec![will(1, None)], "will of session 1 at epoch 1 is never due");
    let late = vec![Record::Session(session(1)), will(1, Some(NOW.0 + 61_000))];
    finds(late, "will of session 1 at epoch 1 is never due, or behind its session's end");
    finds(vec![will(0, Some(1))], "will of session 1 at epoch 0 is older than its session");
    let retained = Record::Retained(Retained { message: message(), version: RecordVersion(1) });
    finds(vec![retained.clone(), retained], "retained message of \"t\" is there twice");
}

#[test]
fn what_is_due_and_should_not_be_is_found() {
    let due = |item, at| Due { item, at: Timestamp(at), version: RecordVersion(1), will: None };
    let expired = DueItem::SessionExpired(SessionId(1));
    let records = vec![Record::Session(session(1))];
    for (item, at, expected) in [
        (expired.clone(), NOW.0 + 60_000, "is not due in its turn"),
        (expired, 5, "its record does not say so"),
        (DueItem::SessionEnded(SessionId(1)), 5, "its record does not say so"),
        (DueItem::QueuedExpired(SessionId(7), Seq(1)), 5, "its record does not say so"),
    ] {
        let faults = faults_of(records.clone(), vec![due(item, at)], Vec::new());
        assert!(faults.iter().any(|fault| fault.contains(expected)), "{expected:?} is not in {faults:#?}");
    }
}
