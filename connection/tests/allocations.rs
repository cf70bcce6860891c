//! The steady state of a busy broker allocates nothing per message, and an idle connection owns nothing.

#![allow(clippy::unwrap_used, reason = "also in the functions that the tests share, what fails is the test")]

use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use bytes::Bytes;
use opifex_connection::{Flush, Inbox, Outlet, Read};
use tokio::io::sink;

fn outlets(count: usize) -> Vec<Outlet> {
    (0..count)
        .map(|_| {
            let mut outlet = Outlet::new(Box::new(sink()));
            outlet.set_owner(Waker::noop());
            outlet
        })
        .collect()
}

/// A batch of `messages` goes to every outlet, then each is flushed once.
fn fan_out(outlets: &mut [Outlet], messages: usize, body: &Bytes) {
    for _ in 0..messages {
        for outlet in outlets.iter_mut() {
            outlet.append_with(|out| out.extend_from_slice(b"a head of 20 bytes.."));
            outlet.append_shared(body);
        }
    }
    for outlet in outlets {
        outlet.set_owner(Waker::noop());
        assert!(matches!(outlet.flush(), Flush::Drained));
    }
}

#[track_caller]
fn assert_free_once_warm(mut run: impl FnMut()) {
    // The pools fill, and their chunks grow to the size that is needed.
    for _ in 0..3 {
        run();
    }
    let counted = measure(|| (0..10).for_each(|_| run()));
    assert_eq!(counted.count_total, 0);
}

#[test]
fn small_messages_to_one_peer_allocate_nothing() {
    let mut outlets = outlets(1);
    assert_free_once_warm(|| fan_out(&mut outlets, 1000, &Bytes::from_static(&[1; 64])));
}

#[test]
fn large_messages_to_one_peer_allocate_nothing() {
    let mut outlets = outlets(1);
    let body = Bytes::from(vec![1; 4096]);
    assert_free_once_warm(|| fan_out(&mut outlets, 100, &body));
}

#[test]
fn a_fan_out_to_many_peers_allocates_nothing() {
    let mut outlets = outlets(500);
    assert_free_once_warm(|| fan_out(&mut outlets, 16, &Bytes::from_static(&[1; 64])));
    let body = Bytes::from(vec![1; 1024]);
    assert_free_once_warm(|| fan_out(&mut outlets, 16, &body));
}

#[test]
fn a_batch_of_whole_packets_is_read_without_an_allocation() {
    let stream = vec![7; 1024 * 1024];
    let mut inbox = Inbox::new();
    assert_free_once_warm(|| {
        let mut reader = &stream[..];
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(read) = inbox.poll_read(&mut cx, &mut reader, |bytes| (bytes.len(), ())) {
            if read.unwrap() == (Read::Closed { partial: false }) {
                break;
            }
        }
    });
}

/// One allocation a read, whatever the number of packets in it.
#[test]
fn a_packet_cut_by_the_end_of_a_batch_costs_one_allocation() {
    let stream = vec![7; 1024 * 1024];
    let mut inbox = Inbox::new();
    let mut reads = 0;
    let counted = measure(|| {
        let mut reader = &stream[..];
        let mut cx = Context::from_waker(Waker::noop());
        // Packets of 100 bytes.
        let whole = |bytes: &[u8]| (bytes.len() - bytes.len() % 100, ());
        while let Poll::Ready(Ok(Read::Taken { .. })) = inbox.poll_read(&mut cx, &mut reader, whole) {
            reads += 1;
        }
    });
    // And the thread's scratch.
    assert!(counted.count_total <= reads + 1, "{} allocations in {reads} reads", counted.count_total);
}
