//! The session in a file: what was flushed comes back, a torn tail is cut off, damage is named.

#![allow(clippy::unwrap_used, reason = "a test's parts fail with it")]

use std::fs;
use std::io::ErrorKind;

use opifex_client::{FileStore, Message, SessionStore, StoredMessage, StoredSession};
use opifex_packet::{PacketId, Properties, Property, QoS, TopicName};

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn message(number: u64, payload: &str) -> StoredMessage {
    let topic = TopicName::new("rooms/1").unwrap();
    let mut message = Message::new(topic, payload.as_bytes().to_vec()).with_qos(QoS::ExactlyOnce);
    message.retain = true;
    message.properties = Properties::new().with(Property::ContentType("text"));
    StoredMessage { number, packet_id: id(number as u16 + 1), message, released: None }
}

fn numbers(session: &StoredSession) -> Vec<u64> {
    session.outgoing.iter().map(|message| message.number).collect()
}

#[test]
fn what_was_flushed_comes_back_and_what_was_not_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap().synced();
    for number in 0..3 {
        store.put_outgoing(&message(number, "m"));
    }
    store.release(id(1), 4);
    store.remove_outgoing(id(2));
    store.put_incoming(id(9));
    store.put_incoming(id(10));
    store.remove_incoming(id(9));
    store.set_client_id("lamp-1");
    store.flush().unwrap();
    store.put_outgoing(&message(3, "m"));
    drop(store);

    let session = FileStore::open(&path).unwrap().load().unwrap();
    let mut released = message(0, "");
    released.released = Some(4);
    assert_eq!(session.outgoing, [released, message(2, "m")]);
    assert_eq!(session.incoming, [id(10)]);
    assert_eq!(session.next_number, 3);
    assert_eq!(session.client_id, "lamp-1");
}

#[test]
fn at_every_length_a_torn_file_has_the_flushes_that_are_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    let mut whole = vec![fs::metadata(&path).unwrap().len()];
    for number in 0..4 {
        store.put_outgoing(&message(2 * number, "a"));
        store.put_outgoing(&message(2 * number + 1, "b"));
        store.flush().unwrap();
        whole.push(fs::metadata(&path).unwrap().len());
    }
    drop(store);
    let bytes = fs::read(&path).unwrap();
    for len in whole[0] as usize..=bytes.len() {
        fs::write(&path, &bytes[..len]).unwrap();
        let mut store = FileStore::open(&path).unwrap();
        let flushes = whole.iter().filter(|end| **end <= len as u64).count() as u64 - 1;
        assert_eq!(numbers(&store.load().unwrap()), (0..2 * flushes).collect::<Vec<_>>());
        // What comes next stands behind what is whole.
        store.put_outgoing(&message(100, "c"));
        store.flush().unwrap();
        drop(store);
        let session = FileStore::open(&path).unwrap().load().unwrap();
        assert_eq!(session.outgoing.len() as u64, 2 * flushes + 1);
    }
}

#[test]
fn every_flipped_bit_in_front_of_the_last_flush_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    store.put_outgoing(&message(0, "a"));
    store.flush().unwrap();
    let guarded = fs::metadata(&path).unwrap().len() as usize;
    store.put_outgoing(&message(1, "b"));
    store.flush().unwrap();
    drop(store);
    let bytes = fs::read(&path).unwrap();
    for bit in 0..guarded * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        let error = FileStore::open(&path).expect_err("it is damaged");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "bit {bit}");
        assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is written into it");
    }
}

#[test]
fn a_foreign_file_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    for content in ["a letter", "a letter that is longer than any header"] {
        fs::write(&path, content).unwrap();
        assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
}

#[test]
fn a_file_in_use_is_not_opened_a_second_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    // Also when it was written anew.
    let long = "x".repeat(40_000);
    for number in 0..3 {
        store.put_outgoing(&message(number, &long));
        store.flush().unwrap();
    }
    assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(store);
    assert_eq!(numbers(&FileStore::open(&path).unwrap().load().unwrap()), [0, 1, 2]);
}

#[test]
fn history_does_not_make_the_file_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    let payload = "x".repeat(1000);
    for number in 0..1000 {
        store.put_outgoing(&message(number, &payload));
        store.flush().unwrap();
        if number > 0 {
            store.remove_outgoing(id(number as u16));
        }
    }
    store.flush().unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 80_000);
    drop(store);
    let session = FileStore::open(&path).unwrap().load().unwrap();
    assert_eq!((numbers(&session), session.next_number), (vec![999], 1000));
}

#[test]
fn that_a_session_has_begun_and_whose_it_is_come_back_also_from_a_file_that_was_written_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    let session = store.load().unwrap();
    assert!(!session.begun && !session.accepted);
    store.set_begun(true);
    store.set_accepted();
    store.set_client_id("lamp-1");
    store.flush().unwrap();
    drop(store);
    let mut store = FileStore::open(&path).unwrap();
    let session = store.load().unwrap();
    assert!(session.begun && session.accepted, "{session:?}");
    store.put_outgoing(&message(0, &"x".repeat(70_000)));
    store.flush().unwrap();
    drop(store);
    let session = FileStore::open(&path).unwrap().load().unwrap();
    assert!(session.begun && session.accepted && session.client_id == "lamp-1", "{session:?}");
}

#[test]
fn a_long_torn_tail_is_looked_through_in_no_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    store.flush().unwrap();
    drop(store);
    // Each place in it is the head of a frame that is as long as what follows, as far as its length tells.
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend([0, 0, 1, 0].repeat(128 * 1024));
    fs::write(&path, &bytes).unwrap();
    let begin = std::time::Instant::now();
    FileStore::open(&path).unwrap();
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}

#[test]
fn a_file_that_another_opened_before_it_was_replaced_has_one_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let mut store = FileStore::open(&path).unwrap();
    // Whoever has the file open from before holds no lock on what counts.
    let before = fs::File::open(&path).unwrap();
    store.put_outgoing(&message(0, &"x".repeat(70_000)));
    store.flush().unwrap();
    before.try_lock().unwrap();
    assert_eq!(FileStore::open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(store);
    assert_eq!(numbers(&FileStore::open(&path).unwrap().load().unwrap()), [0]);
}
