//! What is ordered while another group is synced: its outcomes come at once, its rows when that sync has ended well.

use super::*;

/// A store with two batches for a session that are written together and whose sync waits at the gate, on the thread for
/// that; and what they come to.
fn with_a_group_at_the_gate(
    engine: &Scripted,
    store: &Store,
    id: SessionId,
) -> Vec<Pin<Box<dyn Future<Output = Result<()>>>>> {
    engine.set(|script| script.gate_closed = true);
    let alone = block_on(store.submit(enqueue(&[id], "0"))).expect("it is ordered");
    engine.wait_until_a_sync_is_at_the_gate();
    let mut submitted: Vec<_> =
        (1..=2).map(|n| Box::pin(store.submit(enqueue(&[id], &n.to_string())))).collect();
    assert!(submitted.iter_mut().all(|future| poll(future.as_mut()).is_pending()));
    engine.set(|script| (script.lets_through, script.at_gate) = (1, false));
    block_on(alone.durable()).expect("it is synced");
    let durable = submitted.into_iter().map(|future| {
        let receipt = block_on(future).expect("it is ordered");
        Box::pin(async { receipt.durable().await.map(drop) }) as Pin<Box<dyn Future<Output = Result<()>>>>
    });
    let durable: Vec<_> = durable.collect();
    engine.wait_until_a_sync_is_at_the_gate();
    durable
}

#[test]
fn a_batch_is_ordered_and_not_written_while_others_are_synced() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let mut group = with_a_group_at_the_gate(&engine, &store, c);
    let before = engine.counts();
    let later: Vec<_> =
        ["3", "4"].map(|n| block_on(store.submit(enqueue(&[c], n))).expect("it is ordered")).into();
    assert!(group.iter_mut().all(|future| poll(future.as_mut()).is_pending()));
    assert_eq!(engine.counts(), before);
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2"]);
    engine.set(|script| script.gate_closed = false);
    group.into_iter().for_each(|future| block_on(future).unwrap());
    assert!(later.into_iter().all(|receipt| block_on(receipt.durable()).is_ok()));
    assert_eq!(engine.counts(), (before.0 + 1, before.1 + 1), "both are one group");
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn nobody_holds_a_snapshot_while_a_sync_is_waited_for() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let group = with_a_group_at_the_gate(&engine, &store, c);
    let later = block_on(store.submit(enqueue(&[c], "3"))).unwrap();
    // Ordered a moment ago, its snapshot may be on its way out; one that is held stays until the gate opens.
    let (free, is_free) = std::sync::mpsc::channel();
    let tree = engine.tree.clone();
    std::thread::spawn(move || {
        tree.waits_until_nobody_reads();
        free.send(())
    });
    let was_free = is_free.recv_timeout(std::time::Duration::from_secs(30));
    engine.set(|script| script.gate_closed = false);
    assert_eq!(was_free, Ok(()));
    group.into_iter().for_each(|future| block_on(future).unwrap());
    block_on(later.durable()).unwrap();
}

#[test]
fn what_was_ordered_behind_a_sync_that_fails_was_not_applied() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let group = with_a_group_at_the_gate(&engine, &store, c);
    let before = engine.counts();
    let later = block_on(store.submit(enqueue(&[c], "3"))).unwrap();
    engine.set(|script| (script.fail_sync, script.gate_closed) = (true, false));
    for future in group {
        let error = block_on(future).unwrap_err();
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown));
    }
    let error = block_on(later.durable()).unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Closed, Certainty::NotApplied));
    assert_eq!(engine.counts(), before, "nothing is asked of an engine that failed");
    assert_eq!(block_on(store.submit(enqueue(&[c], "4"))).unwrap_err().kind(), ErrorKind::Closed);
    drop(store);
    engine.set(|script| script.fail_sync = false);
    let store = KvPersistence::open(engine).unwrap();
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2"]);
}

#[test]
fn a_sync_that_panics_is_an_answer_and_no_hang() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let group = with_a_group_at_the_gate(&engine, &store, c);
    let later = block_on(store.submit(enqueue(&[c], "3"))).unwrap();
    engine.set(|script| (script.sync_panics, script.gate_closed) = (true, false));
    for future in group {
        let error = block_on(future).unwrap_err();
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown));
    }
    assert_eq!(block_on(later.durable()).unwrap_err().certainty(), Certainty::NotApplied);
    assert_eq!(block_on(store.submit(enqueue(&[c], "4"))).unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(block_on(store.close()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_store_that_is_dropped_during_a_sync_writes_what_it_has_ordered() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let group = with_a_group_at_the_gate(&engine, &store, c);
    let later = block_on(store.submit(enqueue(&[c], "3"))).unwrap();
    let (dropped, is_dropped) = std::sync::mpsc::channel();
    let dropping = std::thread::spawn(move || {
        drop(store);
        dropped.send(())
    });
    // It waits for the sync, and ends with it.
    let waits = is_dropped.recv_timeout(std::time::Duration::from_millis(100));
    assert_eq!(waits, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
    engine.set(|script| script.gate_closed = false);
    dropping.join().unwrap().unwrap();
    group.into_iter().for_each(|future| block_on(future).unwrap());
    block_on(later.durable()).unwrap();
    let store = KvPersistence::open(engine).unwrap();
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2", "3"]);
}

/// A task that cannot be woken.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("nobody can be woken");
    }
}

#[test]
fn a_task_that_panics_when_it_is_told_of_a_sync_makes_nobody_wait_for_ever() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let mut group = with_a_group_at_the_gate(&engine, &store, c);
    let waker = Waker::from(Arc::new(Panics));
    assert!(group[0].as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let later = block_on(store.submit(enqueue(&[c], "3"))).unwrap();
    engine.set(|script| script.gate_closed = false);
    // Synced before or not at all: nobody can say.
    let _ = block_on(later.durable());
    while block_on(store.submit(enqueue(&[c], "4"))).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(block_on(store.close()).unwrap_err().kind(), ErrorKind::Closed);
}
