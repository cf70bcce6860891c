use proptest::prelude::*;

use super::*;

/// Takes a fixed number of bytes a call, and notes its calls.
#[derive(Default)]
struct Sink {
    bytes: Vec<u8>,
    calls: Vec<usize>,
    takes: Vec<usize>,
    vectored: bool,
}

impl Sink {
    fn vectored() -> Sink {
        Sink { vectored: true, ..Sink::default() }
    }

    fn take(&mut self, offered: &[&[u8]]) -> usize {
        let all: usize = offered.iter().map(|slice| slice.len()).sum();
        let mut left = if self.takes.is_empty() {
            all
        } else {
            let takes = self.takes[self.calls.len() % self.takes.len()];
            takes.min(all)
        };
        self.calls.push(offered.len());
        let taken = left;
        for slice in offered {
            let part = left.min(slice.len());
            self.bytes.extend_from_slice(&slice[..part]);
            left -= part;
        }
        taken
    }
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(self.take(&[bytes])))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices: Vec<&[u8]> = slices.iter().map(|slice| &**slice).collect();
        Poll::Ready(Ok(self.take(&slices)))
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn write(segments: &mut Segments, sink: &mut Sink) {
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(segments.poll_write(&mut cx, sink), Poll::Ready(Ok(()))));
}

fn body(len: usize, seed: u8) -> Bytes {
    (0..len).map(|n| seed.wrapping_add((n % 251) as u8)).collect::<Vec<u8>>().into()
}

#[test]
fn small_packets_are_one_write() {
    let mut segments = Segments::default();
    for n in 0..100 {
        segments.append(&[n; 16]);
    }
    assert_eq!(segments.len(), 1600);
    let mut sink = Sink::vectored();
    write(&mut segments, &mut sink);
    assert_eq!(sink.calls, [1]);
    assert_eq!(sink.bytes, (0..100).flat_map(|n| [n; 16]).collect::<Vec<u8>>());
}

#[test]
fn heads_and_shared_bodies_are_one_vectored_write() {
    let mut segments = Segments::default();
    let mut expected = Vec::new();
    for n in 0..200 {
        segments.append(&[n; 20]);
        expected.extend_from_slice(&[n; 20]);
        segments.append_shared(&body(1024, n));
        expected.extend_from_slice(&body(1024, n));
    }
    let mut sink = Sink::vectored();
    write(&mut segments, &mut sink);
    assert_eq!(sink.calls, [400]);
    assert!(sink.bytes == expected);
}

#[test]
fn a_small_body_is_copied_and_a_large_one_is_not() {
    let mut segments = Segments::default();
    segments.append_shared(&body(SHARE_FROM_BYTES - 1, 0));
    assert!(segments.shared.is_empty());
    let large = body(SHARE_FROM_BYTES, 0);
    segments.append_shared(&large);
    assert_eq!(segments.shared[0].bytes.as_ptr(), large.as_ptr());
}

#[test]
fn heads_of_large_messages_share_a_chunk() {
    let mut segments = Segments::default();
    for n in 0..100 {
        segments.append(&[n; 20]);
        segments.append_shared(&body(SHARE_FROM_BYTES, n));
    }
    assert!(segments.full.is_empty());
}

#[test]
fn a_chunk_does_not_grow_past_its_size() {
    let mut segments = Segments::default();
    for _ in 0..1000 {
        segments.append(&[1; 300]);
        segments.append_with(|out| out.extend_from_slice(&[2; 100]));
    }
    assert!(segments.full.len() > 20);
    assert!(segments.full.iter().all(|chunk| chunk.capacity() <= CHUNK_BYTES));
}

#[test]
fn memory_is_given_back_piece_by_piece() {
    let mut segments = Segments::default();
    for _ in 0..100 {
        segments.append(&[1; CHUNK_BYTES]);
    }
    let before = segments.heap_bytes();
    segments.advance(90 * CHUNK_BYTES);
    assert_eq!(segments.len(), 10 * CHUNK_BYTES);
    assert!(segments.heap_bytes() < before / 5);
}

#[test]
fn an_empty_queue_owns_no_memory() {
    let mut segments = Segments::default();
    assert_eq!(segments.heap_bytes(), 0);
    for _ in 0..100 {
        segments.append(&[1; 1000]);
        segments.append_shared(&body(1000, 3));
    }
    assert!(segments.heap_bytes() > 100_000);
    write(&mut segments, &mut Sink::vectored());
    assert_eq!(segments.heap_bytes(), 0);

    segments.append(b"one");
    assert_eq!(segments.clear(), 3);
    assert_eq!(segments.heap_bytes(), 0);

    segments.append_with(|_| {});
    assert_eq!(segments.heap_bytes(), 0);
}

#[test]
fn a_cleared_queue_can_be_filled_again() {
    let mut segments = Segments::default();
    segments.append(&[1; 20]);
    segments.append_shared(&body(1000, 1));
    segments.advance(10);
    assert_eq!(segments.clear(), 1010);
    segments.append_shared(&body(1000, 2));
    segments.append(b"end");
    let mut sink = Sink::vectored();
    write(&mut segments, &mut sink);
    assert_eq!(sink.bytes, [&body(1000, 2)[..], b"end"].concat());
}

#[test]
fn a_chunk_comes_from_the_pool_again() {
    let mut segments = Segments::default();
    segments.append(b"one");
    let chunk = segments.tail.as_ptr();
    write(&mut segments, &mut Sink::default());
    segments.append(b"two");
    assert_eq!(segments.tail.as_ptr(), chunk);
}

#[test]
fn a_panicking_encoder_leaves_no_half_packet() {
    let mut segments = Segments::default();
    segments.append(b"before ");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        segments.append_with(|out| {
            out.extend_from_slice(b"half");
            panic!("on purpose");
        });
    }));
    assert!(panicked.is_err());
    segments.append(b"after");
    let mut sink = Sink::default();
    write(&mut segments, &mut sink);
    assert_eq!(sink.bytes, b"before after");
}

#[test]
fn a_writer_that_claims_too_much_is_an_error() {
    struct Liar;
    impl AsyncWrite for Liar {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, b: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(b.len() + 1))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let mut segments = Segments::default();
    segments.append(b"abc");
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(segments.poll_write(&mut cx, &mut Liar), Poll::Ready(Err(_))));
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    AppendWith(usize),
    Shared(usize),
    Advance(usize),
    Write,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..700usize).prop_map(Step::Append),
        1 => (0..40_000usize).prop_map(Step::Append),
        3 => (0..3000usize).prop_map(Step::AppendWith),
        6 => (0..4000usize).prop_map(Step::Shared),
        4 => (0..30_000usize).prop_map(Step::Advance),
        1 => Just(Step::Write),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_comes_out_is_what_went_in(
        steps in prop::collection::vec(step(), 1..120),
        takes in prop::collection::vec(1..9000usize, 0..4),
        vectored in any::<bool>(),
    ) {
        let mut segments = Segments::default();
        let mut sink = Sink { takes, vectored, ..Sink::default() };
        let mut expected = Vec::new();
        for (n, step) in steps.into_iter().enumerate() {
            let bytes = |len| body(len, n as u8);
            match step {
                Step::Append(len) => {
                    segments.append(&bytes(len));
                    expected.extend_from_slice(&bytes(len));
                }
                Step::AppendWith(len) => {
                    segments.append_with(|out| out.extend_from_slice(&bytes(len)));
                    expected.extend_from_slice(&bytes(len));
                }
                Step::Shared(len) => {
                    segments.append_shared(&bytes(len));
                    expected.extend_from_slice(&bytes(len));
                }
                Step::Advance(most) => {
                    let mut slices = [IoSlice::new(&[]); 1000];
                    let count = segments.gather(&mut slices);
                    let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.iter().copied()).collect();
                    prop_assert_eq!(all.len(), segments.len());
                    prop_assert!(all[..] == expected[sink.bytes.len()..]);
                    let part = most.min(segments.len());
                    sink.bytes.extend_from_slice(&all[..part]);
                    segments.advance(part);
                }
                Step::Write => write(&mut segments, &mut sink),
            }
            prop_assert_eq!(segments.len(), expected.len() - sink.bytes.len());
            prop_assert!(!segments.is_empty() || segments.heap_bytes() == 0);
        }
        write(&mut segments, &mut sink);
        prop_assert!(sink.bytes == expected);
        prop_assert_eq!(segments.heap_bytes(), 0);
    }
}
