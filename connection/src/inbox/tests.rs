use std::time::Instant;

use super::*;

/// Gives what it was told, one piece a read, and `Pending` when it has none.
struct Pieces(std::collections::VecDeque<Vec<u8>>);

impl Pieces {
    fn of<const N: usize>(pieces: [&[u8]; N]) -> Pieces {
        Pieces(pieces.iter().map(|piece| piece.to_vec()).collect())
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.0.pop_front() else { return Poll::Pending };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        if !rest.is_empty() {
            self.0.push_front(rest);
        }
        buffer.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

/// Packets of this test: one byte that says how many follow. Takes all whole ones.
fn take_whole(bytes: &[u8]) -> (usize, Vec<Vec<u8>>) {
    let (mut used, mut packets) = (0, Vec::new());
    while let Some(packet) = bytes.get(used).and_then(|len| bytes.get(used + 1..used + 1 + *len as usize)) {
        packets.push(packet.to_vec());
        used += 1 + packet.len();
    }
    (used, packets)
}

fn read<R: AsyncRead + Unpin>(inbox: &mut Inbox, reader: &mut R) -> Poll<Read<Vec<Vec<u8>>>> {
    read_with(inbox, reader, take_whole)
}

fn read_with<R: AsyncRead + Unpin, T>(
    inbox: &mut Inbox,
    reader: &mut R,
    take: impl FnOnce(&[u8]) -> (usize, T),
) -> Poll<Read<T>> {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    inbox.poll_read(&mut cx, reader, take).map(|read| read.unwrap())
}

fn taken<T>(read: Poll<Read<T>>) -> T {
    match read {
        Poll::Ready(Read::Taken { value, .. }) => value,
        _ => panic!("nothing was read"),
    }
}

#[test]
fn whole_packets_leave_nothing_behind() {
    let mut inbox = Inbox::new();
    let mut reader = Pieces::of([b"\x01a\x02bc"]);
    assert_eq!(taken(read(&mut inbox, &mut reader)), [b"a".to_vec(), b"bc".to_vec()]);
    assert_eq!((inbox.partial_len(), inbox.heap_bytes()), (0, 0));
    assert!(read(&mut inbox, &mut reader).is_pending());
    assert_eq!(inbox.heap_bytes(), 0);
}

#[test]
fn packets_split_at_every_byte_arrive_whole() {
    let stream = b"\x05hello\x00\x03abc\x01x\x0bhello world";
    let expected = take_whole(stream).1;
    for first in 0..stream.len() {
        for second in first..stream.len() {
            let mut inbox = Inbox::new();
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            let mut reader =
                Pieces(pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect());
            let mut packets = Vec::new();
            while let Poll::Ready(Read::Taken { value, .. }) = read(&mut inbox, &mut reader) {
                packets.extend(value);
            }
            assert_eq!(packets, expected, "split at {first} and {second}");
            assert_eq!(inbox.heap_bytes(), 0);
        }
    }
}

#[test]
fn what_waits_survives_a_pending_read() {
    let mut inbox = Inbox::new();
    let mut reader = Pieces::of([b"\x03ab"]);
    assert!(taken(read(&mut inbox, &mut reader)).is_empty());
    assert!(read(&mut inbox, &mut reader).is_pending());
    assert_eq!(inbox.partial_len(), 3);
    reader.0.push_back(b"c".to_vec());
    assert_eq!(taken(read(&mut inbox, &mut reader)), [b"abc".to_vec()]);
}

#[test]
fn the_end_tells_whether_a_packet_is_missing_bytes() {
    let mut inbox = Inbox::new();
    assert_eq!(read(&mut inbox, &mut &b""[..]), Poll::Ready(Read::Closed { partial: false }));
    taken(read(&mut inbox, &mut &b"\x02a"[..]));
    assert_eq!(read(&mut inbox, &mut &b""[..]), Poll::Ready(Read::Closed { partial: true }));
}

#[test]
fn a_full_buffer_says_that_there_may_be_more() {
    let mut inbox = Inbox::new();
    let mut reader = Pieces::of([&[0; SCRATCH_BYTES + 1]]);
    let more = |read| matches!(read, Poll::Ready(Read::Taken { more: true, .. }));
    assert!(more(read(&mut inbox, &mut reader)));
    assert!(!more(read(&mut inbox, &mut reader)));
}

#[test]
fn a_small_rest_does_not_keep_the_memory_of_a_large_packet() {
    let mut inbox = Inbox::new();
    let mut reader = Pieces::of([&[7; 1024 * 1024]]);
    while read_with(&mut inbox, &mut reader, |_| (0, ())).is_ready() {}
    assert_eq!(inbox.partial_len(), 1024 * 1024);
    reader.0.push_back(b"\x02x".to_vec());
    taken(read_with(&mut inbox, &mut reader, |bytes| (bytes.len() - 2, ())));
    assert_eq!(inbox.partial_len(), 2);
    assert!(inbox.heap_bytes() <= 64);
}

#[test]
fn memory_follows_what_arrived_and_not_what_is_claimed() {
    let mut inbox = Inbox::new();
    // A packet that claims 200 MB, of which 10 bytes come.
    let mut reader = Pieces::of([b"\x30\x80\x80\x80\x60", b"01234"]);
    while read_with(&mut inbox, &mut reader, |_| (0, ())).is_ready() {}
    assert_eq!(inbox.partial_len(), 10);
    assert!(inbox.heap_bytes() <= 64);
}

#[test]
fn memory_is_at_most_doubled_while_a_packet_grows() {
    let mut inbox = Inbox::new();
    let mut reader = Pieces::of([&[7; 5 * SCRATCH_BYTES]]);
    while read_with(&mut inbox, &mut reader, |_| (0, ())).is_ready() {
        assert!(inbox.heap_bytes() <= 2 * inbox.partial_len().max(64));
    }
}

#[test]
fn packets_can_be_taken_one_at_a_time() {
    let take_one = |bytes: &[u8]| (1 + bytes[0] as usize, bytes[1]);
    let stream: Vec<u8> = (0..200).flat_map(|n| [1, n]).collect();
    let mut inbox = Inbox::new();
    let mut packets = vec![taken(read_with(&mut inbox, &mut &stream[..], take_one))];
    while let Some(packet) = inbox.take_waiting(take_one) {
        packets.push(packet);
        assert!(inbox.heap_bytes() <= 4 * inbox.partial_len());
    }
    assert_eq!(packets, (0..200).collect::<Vec<u8>>());
    assert_eq!(inbox.heap_bytes(), 0);
}

#[test]
fn a_partly_taken_rest_and_new_bytes_stay_in_order() {
    let mut inbox = Inbox::new();
    let stream: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let mut reader = Pieces(stream.chunks(700).map(<[u8]>::to_vec).collect());
    let mut seen = Vec::new();
    // Uses up less than arrives, so that a growing rest is appended to behind a used-up front.
    while let Poll::Ready(Read::Taken { .. }) = read_with(&mut inbox, &mut reader, |bytes| {
        let used = bytes.len().min(500);
        seen.extend_from_slice(&bytes[..used]);
        (used, ())
    }) {
        assert!(inbox.heap_bytes() <= 8 * inbox.partial_len());
    }
    inbox.take_waiting(|bytes| {
        seen.extend_from_slice(bytes);
        (bytes.len(), ())
    });
    assert!(seen == stream);
}

#[test]
fn a_small_read_behind_a_larger_rest_does_not_move_the_rest() {
    let scratch = with_scratch(|scratch| scratch.as_ptr_range());
    let mut inbox = Inbox::new();
    for n in 1..20_000 {
        let shown = taken(read_with(&mut inbox, &mut &[7][..], |bytes| (0, bytes.as_ptr())));
        assert!(n == 1 || !scratch.contains(&shown), "moved at byte {n}");
    }
}

/// Counted, not timed: what `poll_read` copies shows in how often the buffer moves.
#[test]
fn a_megabyte_in_single_bytes_is_not_quadratic() {
    const LEN: usize = 1024 * 1024;
    let mut inbox = Inbox::new();
    let packet: Vec<u8> = (0..LEN).map(|n| (n % 253) as u8).collect();
    let mut moves = 0;
    let mut place = std::ptr::null();
    let began = Instant::now();
    for (n, byte) in packet.iter().enumerate() {
        let whole = taken(read_with(&mut inbox, &mut &[*byte][..], |bytes| {
            if bytes.as_ptr() != place {
                place = bytes.as_ptr();
                moves += 1;
            }
            if bytes.len() == LEN { (LEN, Some(bytes == packet)) } else { (0, None) }
        }));
        assert_eq!(whole, (n + 1 == LEN).then_some(true));
    }
    assert!(moves <= 40, "the buffer moved {moves} times");
    assert_eq!(inbox.heap_bytes(), 0);
    // Copying at each byte would be 512 GB: minutes. This takes some 0.1 s in a debug build.
    assert!(began.elapsed().as_secs() < 20);
}
