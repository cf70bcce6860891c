//! Ends and deadlines that meet a store which fails: they are written down when it does not, and hold up nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use opifex_broker::{
    AccessControl, Action, Broker, Credentials, DropCause, Identity, Peer as Origin, Verdict, VerdictFuture,
};
use opifex_conformance::faults::{self, At, Effect, Faulty, Intercept, Intercepted};
use opifex_packet::{Properties, Property, Puback, QoS, ReasonCode, Version};
use opifex_storage::{
    Author, Certainty, Cursor, Due, ErrorKind, Page, PageLimit, Persistence, Result, Timestamp,
};

use crate::backend::{Backend, conversations};
use crate::faults::{Bystanders, faults as all_faults, hello, subscribed, with_message};
use crate::peer::*;
use crate::place::{Fault, Place};
use crate::store::Store;

conversations!(expiries_do_not_wait_behind_many_wills_that_a_full_disk_refuses);

/// Nothing of this can be written.
fn damaged(place: Place) -> Fault {
    Fault { place, kind: ErrorKind::Corrupt, certainty: Certainty::NotApplied, at_commit: false }
}

/// So many sessions that are over in ten seconds, all of them.
async fn short_sessions(broker: &Broker<Faulty<Store>>, number: usize) {
    let mut peers = Vec::new();
    for index in 0..number {
        let client = format!("short {index}");
        let mut short = connect(Version::V5_0, &client);
        short.properties.push(Property::SessionExpiryInterval(10));
        peers.push(Peer::connect(broker, short).await.0);
    }
    drop(peers);
    pass_secs(1).await;
}

#[test]
fn a_session_that_could_not_be_opened_for_its_queue_goes_offline_and_keeps_its_will_to_itself() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let mut listener = Peer::v5(&broker, "listener").await;
        listener.subscribe("will", QoS::AtMostOnce).await;
        subscribed(&broker).await.vanish(&broker).await;
        let fault = |place, kind| Fault { place, kind, certainty: Certainty::NotApplied, at_commit: false };
        store.set(fault(Place::Queue, ErrorKind::Corrupt));
        let (mut peer, _) = Peer::connect(&broker, hello()).await;
        peer.expect_disconnect(ReasonCode::ImplementationSpecificError).await;
        let mut short = hello();
        short.properties = Properties::new().with(Property::SessionExpiryInterval(30));
        short.will = Some(will("will", "gone", QoS::AtMostOnce));
        Peer::refused(&broker, short, ReasonCode::ServerUnavailable).await;
        store.mend();
        pass_secs(20).await;
        assert_eq!(broker.stats().sessions, 2);
        pass_secs(20).await;
        assert_eq!(broker.stats().sessions, 1, "its expiry has run since");
        listener.expect_silence().await;
    });
}

#[test]
fn an_end_that_is_not_on_record_is_written_down_later() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let mut short = connect(Version::V5_0, "c");
        short.properties.push(Property::SessionExpiryInterval(30));
        let (mut peer, _) = Peer::connect(&broker, short).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        Peer::v5(&broker, "s").await.publish("a", "x", QoS::AtLeastOnce).await;
        let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
        // Its last batch settles, too.
        store.set(Fault {
            place: Place::Settle,
            kind: ErrorKind::Retry,
            certainty: Certainty::NotApplied,
            at_commit: false,
        });
        peer.feed(Puback::new(packet_id));
        peer.feed(opifex_packet::Disconnect::new(ReasonCode::Success));
        peer.flush().await;
        pass_secs(5).await;
        assert!(store.mend() > 0);
        pass_secs(20).await;
        assert_eq!(broker.stats().sessions, 1);
        pass_secs(20).await;
        assert_eq!(broker.stats().sessions, 0, "its expiry has run since");
    });
}

#[test]
fn an_end_that_waits_for_its_next_try_has_it_when_the_broker_stops() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let (mut peer, _) = Peer::connect(&broker, hello()).await;
        store.set(damaged(Place::GoOffline));
        peer.feed(opifex_packet::Disconnect::new(ReasonCode::Success));
        peer.flush().await;
        pass_secs(100).await;
        assert!(store.mend() > 0);
        store.set(damaged(Place::GoOffline));
        pass_secs(1).await;
        assert_eq!(store.mend(), 0, "its pause is longer by now");
        store.set(damaged(Place::GoOffline));
        broker.shutdown().await;
        assert!(store.mend() > 0);
    });
}

#[test]
fn an_end_that_is_refused_for_itself_keeps_no_other_from_being_written_down() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        store.set(Fault { kind: ErrorKind::Retry, ..damaged(Place::GoOffline) });
        short_sessions(&broker, 40).await;
        let every_other = At::Batch(|batch| matches!(batch.author, Author::Session(id, _) if id.0 % 2 == 0));
        store.set([faults::Fault::new(every_other, Effect::Refuse(ErrorKind::Conflict))]);
        pass_secs(15).await;
        assert_eq!(broker.stats().sessions, 20, "the others' expiry has run");
        assert!(store.mend() > 20, "it is tried again");
    });
}

#[test]
fn what_is_due_is_dealt_with_when_the_store_can_be_read_again() {
    Backend::Memory.talk(async || {
        for fault in all_faults(Place::Due) {
            let store = Faulty::over(Store::new());
            let broker = broker_over(store.clone()).await;
            let mut bystanders = Bystanders::new(&broker).await;
            let mut short = connect(Version::V5_0, "c");
            short.properties.push(Property::SessionExpiryInterval(5));
            Peer::connect(&broker, short).await.0.vanish(&broker).await;
            store.set(fault);
            pass_secs(20).await;
            assert_eq!(broker.stats().sessions, 3);
            bystanders.are_served().await;
            assert!(store.mend() > 0);
            pass_secs(2).await;
            assert_eq!(broker.stats().sessions, 2);
        }
    });
}

#[test]
fn what_is_due_does_not_wait_for_an_end_that_a_damaged_record_keeps_from_being_written_down() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let (peer, _) = with_message(&broker, QoS::AtLeastOnce).await;
        short_sessions(&broker, 1_000).await;
        store.set(damaged(Place::GoOffline));
        peer.vanish(&broker).await;
        pass_secs(5).await;
        assert_eq!(broker.stats().sessions, 1_001);
        // Many pages of what is due, and one look.
        pass_secs(6).await;
        assert_eq!(broker.stats().sessions, 1, "the others' expiry has run");
        let refused = store.mend();
        assert!(refused > 1, "it is tried again: refused {refused} times");
    });
}

#[test]
fn what_is_due_does_not_wait_for_a_will_that_a_damaged_record_keeps_from_being_published() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        subscribed(&broker).await.vanish(&broker).await;
        store.set(damaged(Place::Enqueue));
        // More than a page, by number and by bytes.
        for index in 0..200 {
            let client = format!("mortal {index}");
            let mut mortal = connect_durable(Version::V5_0, &client);
            mortal.will = Some(will("a", &"x".repeat(10_000), QoS::AtLeastOnce));
            Peer::connect(&broker, mortal).await.0.vanish(&broker).await;
        }
        short_sessions(&broker, 1_000).await;
        pass_secs(11).await;
        assert_eq!(broker.stats().sessions, 201, "only those are left that last");
        assert!(store.mend() >= 200);
    });
}

async fn expiries_do_not_wait_behind_many_wills_that_a_full_disk_refuses() {
    let store = Faulty::over(Store::new());
    let broker = broker_over(store.clone()).await;
    subscribed(&broker).await.vanish(&broker).await;
    store.set(Fault { kind: ErrorKind::Full, ..damaged(Place::Enqueue) });
    // More than any store looks at for a page.
    leave_wills(&broker, 1_100, &"x".repeat(1_000)).await;
    short_sessions(&broker, 1).await;
    pass_secs(15).await;
    assert_eq!(broker.stats().sessions, 1_101, "only those are left that last");
    assert!(store.mend() >= 1_100);
    pass_secs(5).await;
    let (mut peer, _) = Peer::connect(&broker, hello()).await;
    assert!(peer.receive_publish().await.delivery.packet_id().is_some(), "the wills have come");
}

/// So many clients that are cut off.
async fn leave_wills<P: Persistence>(broker: &Broker<P>, number: usize, payload: &str) {
    for index in 0..number {
        let mut mortal = connect_durable(Version::V5_0, &format!("mortal {index}"));
        mortal.will = Some(will("a", payload, QoS::AtLeastOnce));
        Peer::connect(broker, mortal).await.0.vanish(broker).await;
    }
}

/// How much of what is due the broker reads.
#[derive(Default)]
struct Reads(AtomicUsize);

impl<P: Persistence> Intercept<P> for Reads {
    async fn due(
        &self,
        inner: &P,
        now: Timestamp,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Due>> {
        let page = inner.due(now, cursor, limit).await?;
        self.0.fetch_add(page.items.len(), Relaxed);
        Ok(page)
    }
}

#[test]
fn what_is_refused_is_not_read_again_faster_than_a_few_pages_a_second() {
    Backend::Memory.talk(async || {
        let reads = Arc::new(Intercepted::new(Store::new(), Reads::default()));
        let store = Faulty::over(reads.clone());
        let broker = broker_over(store.clone()).await;
        let (mut peer, _) = Peer::connect(&broker, hello()).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        store.set(damaged(Place::Enqueue));
        leave_wills(&broker, 1_200, "x").await;
        pass_secs(20).await;
        reads.by().0.store(0, Relaxed);
        for _ in 0..10 {
            // Each end is a reason to look.
            for _ in 0..10 {
                Peer::connect(&broker, connect_durable(Version::V5_0, "often")).await.0.vanish(&broker).await;
            }
            pass_secs(1).await;
        }
        let read = reads.by().0.load(Relaxed);
        assert!((1_200..=11 * 9 * 128).contains(&read), "read {read} items in ten seconds");
    });
}

#[test]
fn of_two_wills_of_a_session_that_are_refused_each_pauses() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        subscribed(&broker).await.vanish(&broker).await;
        store.set(damaged(Place::Enqueue));
        for _ in 0..2 {
            leave_wills(&broker, 1, "x").await;
        }
        pass_secs(100).await;
        let refused = store.mend();
        assert!((10..20).contains(&refused), "refused {refused} times");
    });
}

/// Nobody but "c" receives anything.
struct ForOne;

impl AccessControl for ForOne {
    fn admit(&self, _peer: &Origin) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, _credentials: Credentials<'a>) -> VerdictFuture<'a> {
        let verdict = Verdict::Accept { identity: Identity { user: None }, data: None };
        Box::pin(std::future::ready(verdict))
    }

    fn authorize(&self, _identity: &Identity, client_id: &str, action: Action<'_>) -> bool {
        client_id == "c" || !matches!(action, Action::Receive { .. })
    }

    fn checks_receive(&self) -> bool {
        true
    }
}

#[test]
fn what_is_withheld_of_a_will_that_is_refused_is_counted_once() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = Broker::builder(store.clone()).access(ForOne).start().await.unwrap();
        subscribed(&broker).await.vanish(&broker).await;
        let mut other = Peer::v5(&broker, "other").await;
        other.subscribe("a", QoS::AtMostOnce).await;
        store.set(Fault { kind: ErrorKind::Full, ..damaged(Place::Enqueue) });
        leave_wills(&broker, 1, "x").await;
        pass_secs(10).await;
        assert_eq!(broker.stats().dropped(DropCause::NotAuthorized), 0);
        assert!(store.mend() > 1);
        pass_secs(3).await;
        assert_eq!(broker.stats().dropped(DropCause::NotAuthorized), 1);
    });
}

#[test]
fn the_pauses_between_two_tries_of_what_a_damaged_record_refuses_grow() {
    Backend::Memory.talk(async || {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let (peer, _) = with_message(&broker, QoS::AtLeastOnce).await;
        store.set(damaged(Place::GoOffline));
        peer.vanish(&broker).await;
        pass_secs(100).await;
        let refused = store.mend();
        assert!((5..10).contains(&refused), "refused {refused} times");
    });
}
