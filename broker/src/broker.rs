//! The broker: started over a store, handed connections, stopped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use opifex_storage::{Durability, Persistence, StoreError};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::access::{AccessControl, AllowAll, Peer};
use crate::clock::Clock;
use crate::connection::{Serving, Trust, handshake};
use crate::damage::DamageReport;
use crate::due;
use crate::limits::Limits;
use crate::local::{LocalSubscription, Publication, PublishError};
use crate::outbox::Command;
use crate::recovery::recover;
use crate::registry::Registry;
use crate::router::Router;
use crate::shared::Shared;
use crate::stats::{Counters, Stats};
use crate::store_trouble::StoreTrouble;
use crate::unrecorded::Unrecorded;

/// An MQTT broker over a store. Cloning it gives another handle to the same broker.
pub struct Broker<P: Persistence> {
    pub(crate) shared: Arc<Shared<P>>,
    background: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl<P: Persistence> Clone for Broker<P> {
    fn clone(&self) -> Broker<P> {
        Broker { shared: self.shared.clone(), background: self.background.clone() }
    }
}

/// How a broker is to be.
pub struct Builder<P> {
    store: P,
    limits: Limits,
    access: Arc<dyn AccessControl>,
    durability: Option<Durability>,
}

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The store does not offer the durability that was asked for.
    #[error("the store {store} does not offer durability {asked}: its highest is {offered}")]
    Durability {
        /// The store.
        store: &'static str,
        /// What was asked for.
        asked: Durability,
        /// The highest that it offers.
        offered: Durability,
    },
    /// What the store holds could not be read.
    #[error("the store could not be read")]
    Store(#[from] StoreError),
}

impl<P: Persistence> Builder<P> {
    /// Sets the limits.
    pub fn limits(mut self, limits: Limits) -> Builder<P> {
        self.limits = limits;
        self
    }

    /// Sets who may do what; without it everybody may do everything.
    pub fn access(mut self, access: impl AccessControl) -> Builder<P> {
        self.access = Arc::new(access);
        self
    }

    /// Sets what an acknowledgement means; without it the highest level that the store offers.
    pub fn durability(mut self, durability: Durability) -> Builder<P> {
        self.durability = Some(durability);
        self
    }

    /// Reads what the store holds and starts. To be called on a tokio runtime with time and, if connections use it,
    /// I/O enabled; the broker's background tasks run on it.
    ///
    /// # Errors
    /// When the store does not offer the durability asked for, or cannot be read.
    pub async fn start(self) -> Result<Broker<P>, StartError> {
        let capabilities = self.store.capabilities();
        let offered = capabilities.max_durability;
        let durability = self.durability.unwrap_or(offered);
        if durability > offered {
            return Err(StartError::Durability { store: capabilities.name, asked: durability, offered });
        }
        let checks_receive = self.access.checks_receive();
        let instance =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
        let shared = Arc::new(Shared {
            store: self.store,
            limits: self.limits.clamped(),
            durability,
            access: self.access,
            checks_receive,
            router: Router::new(),
            registry: Registry::default(),
            counters: Counters::default(),
            retaining: Arc::default(),
            unrecorded: Unrecorded::default(),
            clock: Clock::start(),
            damage: DamageReport::default(),
            trouble: StoreTrouble::default(),
            due: Notify::new(),
            ended: Notify::new(),
            stopping: AtomicBool::new(false),
            stop: Notify::new(),
            assigned_ids: AtomicU64::new(1),
            instance,
        });
        let begun = tokio::time::Instant::now();
        let recovered = recover(&shared).await?;
        tracing::info!(
            sessions = recovered.sessions,
            interrupted = recovered.interrupted,
            subscriptions = recovered.subscriptions,
            queued = recovered.queued,
            took_ms = begun.elapsed().as_millis() as u64,
            "recovered from the store"
        );
        let background =
            vec![tokio::spawn(due::run(shared.clone())), tokio::spawn(due::sweep(shared.clone()))];
        Ok(Broker { shared, background: Arc::new(Mutex::new(background)) })
    }
}

impl<P: Persistence> Broker<P> {
    /// A broker over this store, with defaults that can be changed before it starts.
    pub fn builder(store: P) -> Builder<P> {
        Builder { store, limits: Limits::default(), access: Arc::new(AllowAll), durability: None }
    }

    /// Serves one connection over any transport until it ends. `peer` is for access control.
    ///
    /// Dropping the future ends the connection as if the transport had failed; what it had under way with the store
    /// runs to its end on the runtime.
    pub fn serve<S>(&self, stream: S, peer: Peer) -> impl Future<Output = ()> + Send + use<P, S>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        self.serve_halves(reader, writer, peer)
    }

    /// Serves a connection of the process itself, which may do everything.
    pub(crate) fn serve_process(
        &self,
        stream: tokio::io::DuplexStream,
    ) -> impl Future<Output = ()> + Send + use<P> {
        let (reader, writer) = tokio::io::split(stream);
        self.serve_with(reader, writer, Peer::Local, Trust::Process)
    }

    /// The same over two halves that can be polled without a lock between them, as TCP's `into_split` gives.
    pub fn serve_halves<R, W>(
        &self,
        reader: R,
        writer: W,
        peer: Peer,
    ) -> impl Future<Output = ()> + Send + use<P, R, W>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        self.serve_with(reader, writer, peer, Trust::Nobody)
    }

    fn serve_with<R, W>(&self, reader: R, writer: W, peer: Peer, trust: Trust) -> Serving<P, R>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        Serving::Opening(Box::pin(handshake(self.shared.clone(), reader, writer, peer, trust)))
    }

    /// What the broker has counted, and what it holds.
    pub fn stats(&self) -> Stats {
        let mut stats = self.shared.counters.snapshot();
        stats.sessions = self.shared.registry.len() as u64;
        stats.subscriptions = self.shared.router.len() as u64;
        stats.damaged = self.shared.damage.count();
        stats
    }

    /// The broker's limits.
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// Publishes a message in the broker's own name.
    ///
    /// Returns when the message is durable for every durable session that it goes to, and was handed to the
    /// connections of the others.
    ///
    /// # Errors
    /// When the topic or the properties are not valid, or the store refuses or fails.
    pub async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        publication.publish(&self.shared).await
    }

    /// Subscribes within the process, over an in-memory connection to this broker.
    ///
    /// # Errors
    /// When the filter is not valid or the broker refuses it.
    pub async fn subscribe(
        &self,
        filter: &str,
        qos: opifex_packet::QoS,
    ) -> Result<LocalSubscription, crate::local::SubscribeError> {
        LocalSubscription::open(self.clone(), filter, qos).await
    }

    /// Stops: refuses new connections, ends those that are open (5.0: DISCONNECT 0x8B) after their acknowledgements,
    /// publishes the wills of sessions that end with them, and closes the store. Bounded by
    /// [`Limits::shutdown_timeout`].
    pub async fn shutdown(&self) {
        if self.shared.stopping.swap(true, Relaxed) {
            return;
        }
        let all_ended = async {
            loop {
                let ended = self.shared.ended.notified();
                self.shared.stop.notify_waiters();
                self.shared.command_all(Command::Shutdown);
                if self.shared.counters.connections.load(Relaxed) == 0 {
                    return;
                }
                // A connection that is just being set up is found by the next round.
                let _ = timeout(std::time::Duration::from_millis(50), ended).await;
            }
        };
        if timeout(self.shared.limits.shutdown_timeout, all_ended).await.is_err() {
            let left = self.shared.counters.connections.load(Relaxed);
            tracing::warn!(connections = left, "stopped waiting for connections to end");
        }
        self.shared.due.notify_one();
        let background = std::mem::take(&mut *self.background.lock());
        let closed = async {
            for task in background {
                let _ = task.await;
            }
            if let Err(error) = self.shared.unrecorded.retry_all(&self.shared).await {
                tracing::warn!(%error, "ends of connections are not on record");
            }
            self.shared.store.close().await
        };
        match timeout(self.shared.limits.shutdown_timeout, closed).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store did not close cleanly"),
            Err(_) => tracing::warn!("stopped waiting for the store to close"),
        }
    }
}
