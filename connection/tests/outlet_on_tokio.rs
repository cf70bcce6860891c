//! An outlet in front of tokio's own transports: the flusher's budget, and a peer that goes away.

#![allow(clippy::unwrap_used, reason = "also in the functions that the tests share, what fails is the test")]

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use opifex_connection::{Flush, Outlet};
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{consume_budget, coop};

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connected = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (listener.accept().await.unwrap().0, connected)
}

#[derive(Default)]
struct Owner(AtomicUsize);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_flusher_whose_budget_is_used_up_still_flushes() {
    let (ours, mut peer) = tcp_pair().await;
    let (mut control, _control_peer) = tcp_pair().await;
    let owner = Arc::new(Owner::default());
    let mut outlet = Outlet::new(Box::new(ours));
    outlet.set_owner(&Waker::from(owner.clone()));
    outlet.append(b"in spite of it");

    poll_fn(|cx| {
        while coop::has_budget_remaining() {
            let _spent = pin!(consume_budget()).poll(cx);
        }
        // This is what the flush has to get around.
        assert!(Pin::new(&mut control).poll_write(cx, b"refused").is_pending());
        let flush = outlet.flush();
        assert!(matches!(flush, Flush::Drained), "{flush:?}");
        Poll::Ready(())
    })
    .await;

    assert_eq!(owner.0.load(Ordering::SeqCst), 0);
    let mut received = [0; 14];
    peer.read_exact(&mut received).await.unwrap();
    assert_eq!(&received, b"in spite of it");
}

#[tokio::test]
async fn a_peer_that_goes_away_wakes_the_owner_of_a_blocked_outlet() {
    let (ours, peer) = tcp_pair().await;
    let outlet = Arc::new(Mutex::new(Outlet::new(Box::new(ours))));
    let flush_as_owner = |cx: &mut Context<'_>| outlet.lock().unwrap().flush_as_owner(cx);
    outlet.lock().unwrap().append(&vec![0; 64 * 1024 * 1024]);

    let owner = poll_fn(|cx| match flush_as_owner(cx) {
        Flush::Blocked => Poll::Pending,
        Flush::Drained => panic!("nobody reads"),
        Flush::Failed(error) => Poll::Ready(error),
    });
    let leave = async {
        tokio::task::yield_now().await;
        assert!(outlet.lock().unwrap().is_blocked());
        drop(peer);
    };
    let both = async { tokio::join!(owner, leave) };
    tokio::time::timeout(Duration::from_secs(30), both).await.expect("the owner was not woken");

    let mut outlet = outlet.lock().unwrap();
    let lost = outlet.queued_bytes();
    assert!(lost > 0);
    outlet.append(b"too late");
    assert_eq!(outlet.discard(), lost);
    assert_eq!(outlet.heap_bytes(), 0);
}
