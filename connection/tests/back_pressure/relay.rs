//! One connection the way a broker uses it: an owner that is woken by its transport and by nobody else, and two tasks
//! that append to its outlet and flush it.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use opifex_connection::{Flush, Inbox, Outlet, Read};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use crate::message::{self, Checker};

/// How many messages, how long each, and how much the senders let wait.
#[derive(Copy, Clone)]
pub(crate) struct Load {
    pub(crate) messages: u32,
    pub(crate) message_bytes: usize,
    pub(crate) queue_bytes: usize,
    /// Longer than it takes on a busy machine. A lost wake-up ends here.
    pub(crate) lost_after: Duration,
}

/// The broker's end of the connection, shared between the owner and the senders.
struct Shared {
    load: Load,
    outlet: Mutex<Outlet>,
    room: Notify,
    /// Flushes by a sender that ended in `Blocked`, and by the owner that ended in `Drained`.
    blocked_for_sender: AtomicUsize,
    drained_by_owner: AtomicUsize,
}

/// Sends `load` over the connection and checks every byte at its other end.
pub(crate) async fn run(
    load: Load,
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
    peer: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
) {
    let shared = Arc::new(Shared {
        load,
        outlet: Mutex::new(Outlet::new(Box::new(writer))),
        room: Notify::new(),
        blocked_for_sender: AtomicUsize::new(0),
        drained_by_owner: AtomicUsize::new(0),
    });
    let owner = tokio::spawn(own(shared.clone(), reader));
    let senders = [0, 1].map(|sender| tokio::spawn(send(shared.clone(), sender)));
    let peer = tokio::spawn(receive(peer, load));

    tokio::time::timeout(load.lost_after, async {
        for sender in senders {
            sender.await.unwrap();
        }
        assert_eq!(peer.await.unwrap(), load.messages);
        owner.await.unwrap();
    })
    .await
    .expect("nobody was woken for what still waits");

    let outlet = shared.outlet.lock().unwrap();
    assert_eq!((outlet.queued_bytes(), outlet.heap_bytes()), (0, 0));
    // Otherwise this has tested nothing.
    assert!(shared.blocked_for_sender.load(Relaxed) > 0);
    assert!(shared.drained_by_owner.load(Relaxed) > 0);
}

/// Flushes only when a sender came to a full transport: what brings the owner here is the waker that the sender's
/// flush left there. Ends when the peer says that it has everything.
async fn own(shared: Arc<Shared>, mut reader: impl AsyncRead + Unpin) {
    let mut inbox = Inbox::new();
    poll_fn(|cx| {
        complete_flush(&shared, cx);
        let read = inbox.poll_read(cx, &mut reader, |bytes| (bytes.len(), bytes == b"!"));
        match ready!(read).unwrap() {
            Read::Taken { value: true, .. } => Poll::Ready(()),
            other => panic!("the peer is to say one thing: {other:?}"),
        }
    })
    .await;
    poll_fn(|cx| shared.outlet.lock().unwrap().poll_shutdown(cx)).await.unwrap();
}

fn complete_flush(shared: &Shared, cx: &mut Context<'_>) {
    let mut outlet = shared.outlet.lock().unwrap();
    outlet.set_owner(cx.waker());
    if outlet.is_blocked() {
        match outlet.flush_as_owner(cx) {
            Flush::Drained => _ = shared.drained_by_owner.fetch_add(1, Relaxed),
            Flush::Blocked => {}
            Flush::Failed(error) => panic!("{error}"),
        }
    }
    if outlet.queued_bytes() < shared.load.queue_bytes {
        shared.room.notify_one();
    }
}

/// Appends one to five messages at a time and flushes them, each of the two senders half of the load.
async fn send(shared: Arc<Shared>, sender: u8) {
    let load = shared.load;
    let count = load.messages / 2;
    let mut seq = 0;
    while seq < count {
        // The owner may not have been polled yet: then its first poll is still to come, and nothing is blocked.
        while shared.outlet.lock().unwrap().queued_bytes() >= load.queue_bytes {
            shared.room.notified().await;
        }
        {
            let mut outlet = shared.outlet.lock().unwrap();
            for _ in 0..(1 + seq % 5).min(count - seq) {
                message::append(&mut outlet, sender, seq, load.message_bytes);
                seq += 1;
            }
            match outlet.flush() {
                Flush::Drained => {}
                Flush::Blocked => _ = shared.blocked_for_sender.fetch_add(1, Relaxed),
                Flush::Failed(error) => panic!("{error}"),
            }
        }
        shared.room.notify_one();
        tokio::task::consume_budget().await;
    }
}

async fn receive(mut peer: impl AsyncRead + AsyncWrite + Unpin, load: Load) -> u32 {
    let mut inbox = Inbox::new();
    let mut checker = Checker::default();
    while checker.count() < load.messages {
        let read =
            poll_fn(|cx| inbox.poll_read(cx, &mut peer, |bytes| (checker.take(bytes), ()))).await.unwrap();
        assert!(matches!(read, Read::Taken { .. }), "the stream ended early");
    }
    assert_eq!(inbox.partial_len(), 0);
    peer.write_all(b"!").await.unwrap();
    let end = poll_fn(|cx| inbox.poll_read(cx, &mut peer, |bytes| (0, bytes.len()))).await.unwrap();
    assert_eq!(end, Read::Closed { partial: false }, "more came than was sent");
    checker.count()
}
