//! A file is read as it was written, or it is refused.

use opifex_packet::{Properties, TopicName};

use super::*;
use crate::{NewWill, SessionExpiry};

fn message(expires_at: Option<u64>) -> Arc<Message> {
    Arc::new(Message {
        topic: TopicName::new("a/b").unwrap(),
        qos: QoS::ExactlyOnce,
        properties: Properties::new().with(opifex_packet::Property::UserProperty("k", "v")),
        payload: "payload".into(),
        expires_at: expires_at.map(Timestamp),
    })
}

/// Something of everything.
fn frames() -> Vec<Frame> {
    let id = SessionId(3);
    let session = SessionRecord {
        id,
        client_id: "c".into(),
        epoch: Epoch(4),
        expiry: SessionExpiry::Secs(60),
        offline_since: Some(Timestamp(5)),
        next_seq: Seq(9),
        queued_items: 1,
        queued_bytes: 2,
    };
    let packet_id = PacketId::new(7).unwrap();
    let entry = |state, message| Queued {
        seq: Seq(8),
        message,
        qos: QoS::AtLeastOnce,
        retain: true,
        subscription_ids: vec![1, 268_435_455],
        share: Some("$share/g/a".into()),
        state,
    };
    let will = NewWill { message: message(None), retain: true, delay_secs: 6, expiry_secs: Some(7) };
    // Of 3.x, where this is a filter like any other.
    let filter = TopicFilter::without_share_rules("$share/a").unwrap().into_owned();
    let options = SubscriptionOptions::from(QoS::ExactlyOnce);
    let records = [
        Record::Session(SessionRecord {
            expiry: SessionExpiry::Never,
            offline_since: None,
            ..session.clone()
        }),
        Record::Ended(session, Timestamp(10)),
        Record::Subscription(id, SubscriptionRecord { filter, options, identifier: Some(2) }),
        Record::Queued(id, entry(QueuedState::Waiting, Some(message(Some(11))))),
        Record::Queued(id, entry(QueuedState::Released(packet_id), None)),
        Record::Inbound(Inbound { session: id, packet_id }),
        Record::Will(WillRecord { session: id, epoch: Epoch(4), will, due_at: Some(Timestamp(12)) }),
        Record::Retained(Retained { message: message(None), version: RecordVersion(13) }),
    ];
    let mut frames: Vec<Frame> = records.into_iter().map(Frame::Record).collect();
    frames.push(Frame::Same(id, entry(QueuedState::Assigned(packet_id), None), 3));
    frames
}

fn written() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut file = FrameWriter::begin(&mut bytes).unwrap();
    frames().iter().for_each(|frame| file.write(frame).unwrap());
    file.end().unwrap();
    bytes
}

fn read(bytes: &[u8]) -> Result<Vec<Frame>, TransferError> {
    let mut file = FrameReader::begin(bytes)?;
    let mut frames = Vec::new();
    while let Some(frame) = file.read()? {
        frames.push(frame);
    }
    Ok(frames)
}

#[test]
fn a_file_is_read_as_it_was_written() {
    assert_eq!(read(&written()).unwrap(), frames());
}

#[test]
fn every_flipped_bit_is_found() {
    let whole = written();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(read(&flipped).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn every_cut_is_found_and_so_is_what_follows() {
    let whole = written();
    for length in 0..whole.len() {
        assert!(read(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    assert!(read(&[&whole[..], b"x"].concat()).is_err());
}

#[test]
fn frames_that_change_places_or_are_missing_are_found() {
    let whole = written();
    let mut places = vec![MAGIC.len()];
    while let Some(length) = whole.get(places[places.len() - 1]..).and_then(<[u8]>::first_chunk::<4>) {
        places.push(places[places.len() - 1] + 4 + u32::from_le_bytes(*length) as usize);
    }
    let frame = |n: usize| &whole[places[n]..places[n + 1]];
    let (start, end) = (&whole[..places[0]], &whole[places[2]..]);
    assert!(read(&[start, frame(0), frame(1), end].concat()).is_ok());
    assert!(read(&[start, frame(1), frame(0), end].concat()).is_err());
    assert!(read(&[start, frame(0), end].concat()).is_err());
    assert!(read(&[start, frame(0), frame(0), end].concat()).is_err());
}
