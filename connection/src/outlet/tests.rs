use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use super::*;

/// What the transport answers to its next polls; when nothing is scripted it takes everything.
#[derive(Default)]
struct Script {
    writes: VecDeque<Answer>,
    flushes: VecDeque<Answer>,
    written: Vec<u8>,
    polls: usize,
    shut_down: bool,
    waker: Option<Waker>,
}

enum Answer {
    Takes(usize),
    Pending,
    Fails(io::ErrorKind),
}
use Answer::{Fails, Pending, Takes};

#[derive(Clone, Default)]
struct Transport(Arc<Mutex<Script>>);

impl Transport {
    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut script = self.script();
        script.polls += 1;
        let taken = match script.writes.pop_front() {
            None => bytes.len(),
            Some(Takes(most)) => most.min(bytes.len()),
            Some(Fails(kind)) => return Poll::Ready(Err(kind.into())),
            Some(Pending) => {
                script.waker = Some(cx.waker().clone());
                return Poll::Pending;
            }
        };
        script.written.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut script = self.script();
        script.polls += 1;
        match script.flushes.pop_front() {
            None | Some(Takes(_)) => Poll::Ready(Ok(())),
            Some(Fails(kind)) => Poll::Ready(Err(kind.into())),
            Some(Pending) => {
                script.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.script().shut_down = true;
        Poll::Ready(Ok(()))
    }
}

/// A task that counts how often it was woken.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Fixture {
    outlet: Outlet,
    transport: Transport,
    owner: Arc<Task>,
    waker: Waker,
}

impl Fixture {
    fn new() -> Fixture {
        let transport = Transport::default();
        let owner = Arc::new(Task::default());
        let waker = Waker::from(owner.clone());
        let mut outlet = Outlet::new(Box::new(transport.clone()));
        outlet.set_owner(&waker);
        Fixture { outlet, transport, owner, waker }
    }

    fn flush_as_owner(&mut self) -> Flush {
        self.outlet.flush_as_owner(&mut Context::from_waker(&self.waker))
    }

    fn shutdown(&mut self) -> Poll<io::Result<()>> {
        self.outlet.poll_shutdown(&mut Context::from_waker(&self.waker))
    }
}

#[track_caller]
fn assert_failed(flush: Flush, kind: io::ErrorKind) {
    match flush {
        Flush::Failed(error) => assert_eq!(error.kind(), kind),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_drained(flush: Flush) {
    assert!(matches!(flush, Flush::Drained), "{flush:?}");
}

#[track_caller]
fn assert_blocked(flush: Flush) {
    assert!(matches!(flush, Flush::Blocked), "{flush:?}");
}

#[test]
fn an_outlet_is_small() {
    assert!(size_of::<Outlet>() <= 200, "{}", size_of::<Outlet>());
}

#[test]
fn a_flush_writes_everything_in_order() {
    let mut f = Fixture::new();
    f.outlet.append(b"one ");
    f.outlet.append_with(|out| out.extend_from_slice(b"two "));
    f.outlet.append_shared(&Bytes::from_static(b"three"));
    assert_eq!(f.outlet.queued_bytes(), 13);
    assert_drained(f.outlet.flush());
    assert_eq!(f.transport.script().written, b"one two three");
    assert!(f.outlet.is_empty());
}

#[test]
fn a_drained_outlet_owns_no_buffer() {
    let mut f = Fixture::new();
    f.outlet.append(&[1; 100_000]);
    f.outlet.append_shared(&vec![2; 100_000].into());
    assert!(f.outlet.heap_bytes() > 0);
    assert_drained(f.outlet.flush());
    assert_eq!(f.outlet.heap_bytes(), 0);
}

#[test]
fn an_empty_flush_leaves_the_transport_alone() {
    let mut f = Fixture::new();
    assert_drained(f.outlet.flush());
    assert_drained(f.flush_as_owner());
    assert_eq!(f.transport.script().polls, 0);
}

#[test]
fn without_an_owner_nothing_is_written_until_there_is_one() {
    let transport = Transport::default();
    let mut outlet = Outlet::new(Box::new(transport.clone()));
    assert_drained(outlet.flush());
    outlet.append(b"early");
    assert_blocked(outlet.flush());
    assert_eq!(transport.script().polls, 0);
    outlet.set_owner(Waker::noop());
    assert_drained(outlet.flush());
    assert_eq!(transport.script().written, b"early");
}

#[test]
fn a_partial_write_goes_on_where_it_stopped() {
    let mut f = Fixture::new();
    f.transport.script().writes.extend([Takes(3), Takes(1), Pending]);
    f.outlet.append(b"abcdef");
    assert_blocked(f.outlet.flush());
    assert_eq!(f.transport.script().written, b"abcd");
    assert_eq!(f.outlet.queued_bytes(), 2);
    f.outlet.append(b"gh");
    assert_drained(f.flush_as_owner());
    assert_eq!(f.transport.script().written, b"abcdefgh");
}

#[test]
fn a_foreign_flush_that_blocks_leaves_the_owners_waker_with_the_transport() {
    let mut f = Fixture::new();
    f.transport.script().writes.push_back(Pending);
    f.outlet.append(b"abc");
    assert_blocked(f.outlet.flush());
    assert!(f.outlet.is_blocked());
    assert_eq!(f.owner.0.load(Ordering::SeqCst), 0);
    let waker = f.transport.script().waker.take().unwrap();
    waker.wake();
    assert_eq!(f.owner.0.load(Ordering::SeqCst), 1);
    assert_drained(f.flush_as_owner());
    assert!(!f.outlet.is_blocked());
}

#[test]
fn a_foreign_flush_does_not_touch_a_blocked_transport() {
    let mut f = Fixture::new();
    f.transport.script().writes.push_back(Pending);
    f.outlet.append(b"abc");
    assert_blocked(f.outlet.flush());
    let polls = f.transport.script().polls;
    f.outlet.append(b"def");
    assert_blocked(f.outlet.flush());
    assert_eq!(f.transport.script().polls, polls);
    assert_drained(f.flush_as_owner());
    f.outlet.append(b"ghi");
    assert_drained(f.outlet.flush());
    assert_eq!(f.transport.script().written, b"abcdefghi");
}

#[test]
fn a_pending_poll_flush_blocks_although_everything_was_written() {
    let mut f = Fixture::new();
    f.transport.script().flushes.push_back(Pending);
    f.outlet.append(b"abc");
    assert_blocked(f.outlet.flush());
    assert!(f.outlet.is_empty() && f.outlet.is_blocked());
    assert_eq!(f.transport.script().written, b"abc");
    let polls = f.transport.script().polls;
    assert_blocked(f.outlet.flush());
    assert_eq!(f.transport.script().polls, polls);
    f.transport.script().waker.take().unwrap().wake();
    assert_eq!(f.owner.0.load(Ordering::SeqCst), 1);
    assert_drained(f.flush_as_owner());
    assert_eq!(f.transport.script().polls, polls + 1);
    assert_drained(f.flush_as_owner());
    assert_eq!(f.transport.script().polls, polls + 1);
}

#[test]
fn the_owner_may_change() {
    let mut f = Fixture::new();
    let next = Arc::new(Task::default());
    f.outlet.set_owner(&Waker::from(next.clone()));
    f.transport.script().writes.push_back(Pending);
    f.outlet.append(b"abc");
    assert_blocked(f.outlet.flush());
    f.transport.script().waker.take().unwrap().wake();
    assert_eq!((f.owner.0.load(Ordering::SeqCst), next.0.load(Ordering::SeqCst)), (0, 1));
}

#[test]
fn a_write_of_nothing_is_a_failure() {
    let mut f = Fixture::new();
    f.transport.script().writes.push_back(Takes(0));
    f.outlet.append(b"abc");
    assert_failed(f.outlet.flush(), io::ErrorKind::WriteZero);
}

#[test]
fn after_a_failure_nothing_more_is_written() {
    let mut f = Fixture::new();
    f.transport.script().writes.extend([Takes(1), Fails(io::ErrorKind::ConnectionReset)]);
    f.outlet.append(b"abc");
    assert_failed(f.outlet.flush(), io::ErrorKind::ConnectionReset);
    f.outlet.append(b"def");
    f.outlet.append_with(|_| panic!("nobody encodes for a dead connection"));
    f.outlet.append_shared(&vec![1; 1000].into());
    assert_failed(f.outlet.flush(), io::ErrorKind::BrokenPipe);
    assert_failed(f.flush_as_owner(), io::ErrorKind::BrokenPipe);
    assert_eq!(f.transport.script().written, b"a");
    assert_eq!(f.outlet.discard(), 2);
    assert_eq!((f.outlet.queued_bytes(), f.outlet.heap_bytes()), (0, 0));
}

#[test]
fn a_failing_poll_flush_is_a_failure() {
    let mut f = Fixture::new();
    f.transport.script().flushes.push_back(Fails(io::ErrorKind::TimedOut));
    f.outlet.append(b"abc");
    assert_failed(f.flush_as_owner(), io::ErrorKind::TimedOut);
    assert_failed(f.outlet.flush(), io::ErrorKind::BrokenPipe);
}

#[test]
fn a_discarded_outlet_does_not_go_on_behind_half_a_packet() {
    let mut f = Fixture::new();
    f.transport.script().writes.extend([Takes(2), Pending]);
    f.outlet.append(b"abcdef");
    assert_blocked(f.outlet.flush());
    assert_eq!(f.outlet.discard(), 4);
    f.outlet.append(b"ghi");
    assert_failed(f.outlet.flush(), io::ErrorKind::BrokenPipe);
    assert_eq!(f.transport.script().written, b"ab");
}

#[test]
fn a_shutdown_hands_over_what_waits_first() {
    let mut f = Fixture::new();
    f.transport.script().writes.extend([Takes(1), Pending]);
    f.outlet.append(b"abc");
    assert!(f.shutdown().is_pending());
    assert!(!f.transport.script().shut_down);
    assert!(matches!(f.shutdown(), Poll::Ready(Ok(()))));
    assert_eq!(f.transport.script().written, b"abc");
    assert!(f.transport.script().shut_down);
}

#[test]
fn a_failed_outlet_still_shuts_its_transport_down() {
    let mut f = Fixture::new();
    f.outlet.append(b"abc");
    f.outlet.discard();
    assert!(matches!(f.shutdown(), Poll::Ready(Ok(()))));
    let script = f.transport.script();
    assert!(script.shut_down && script.written.is_empty());
}
