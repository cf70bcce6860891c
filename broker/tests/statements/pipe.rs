//! A target in memory: each connection is a pipe that a task of the broker serves. It is restarted over the store that it
//! had.

use std::io;
use std::time::Duration;

use opifex_broker::{Broker, Peer};
use opifex_conformance::statements::{BoxFuture, Stream, Target};
use opifex_websocket::Origins;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::house::House;
use crate::store::Store;

const PIPE_BYTES: usize = 1 << 20;

/// See the module's documentation.
pub(crate) struct Pipe {
    house: House,
    /// `None` only while it restarts.
    running: Mutex<Option<Running>>,
    /// What becomes of the store between two brokers.
    between: fn(Store) -> Store,
}

struct Running {
    broker: Broker<Store>,
    store: Store,
    /// Of the paused clock and of the system's.
    started: (Instant, std::time::Instant),
}

impl Running {
    async fn over(house: House, store: Store) -> Running {
        let started = (Instant::now(), std::time::Instant::now());
        Running { broker: house.open(store.clone()).await, store, started }
    }
}

impl Pipe {
    /// A broker in this setting over a fresh store.
    pub(crate) async fn open(house: House) -> Pipe {
        Pipe::with(house, Store::reopen).await
    }

    /// The same, with this done to the store at each restart.
    pub(crate) async fn with(house: House, between: fn(Store) -> Store) -> Pipe {
        let running = Running::over(house, Store::new()).await;
        Pipe { house, running: Mutex::new(Some(running)), between }
    }

    async fn restarted(&self) {
        let mut running = self.running.lock().await;
        let Running { broker, store, started } = running.take().unwrap();
        broker.shutdown().await;
        drop(broker);
        // What is left of its connections goes now.
        while store.is_shared() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ahead = started.0.elapsed().saturating_sub(started.1.elapsed());
        *running = Some(Running::over(self.house, (self.between)(store)).await);
        // A broker reads the system's clock once, when it starts, and ours is ahead of that since the first one did: what that one
        // wrote down is in the second one's future until it has caught up.
        tokio::time::sleep(ahead).await;
    }
}

impl Target for Pipe {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let broker = self.running.lock().await.as_ref().unwrap().broker.clone();
            tokio::spawn(async move { broker.serve(theirs, Peer::Local).await });
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }

    fn websocket(&self) -> Option<BoxFuture<'_, io::Result<Box<dyn Stream>>>> {
        Some(Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let broker = self.running.lock().await.as_ref().unwrap().broker.clone();
            tokio::spawn(async move {
                if let Ok(socket) = opifex_websocket::accept(theirs, &Origins::default()).await {
                    broker.serve(socket, Peer::Local).await;
                }
            });
            Ok(Box::new(ours) as Box<dyn Stream>)
        }))
    }

    fn restart(&self) -> Option<BoxFuture<'_, io::Result<()>>> {
        Some(Box::pin(async move {
            self.restarted().await;
            Ok(())
        }))
    }
}
