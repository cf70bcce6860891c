//! `opifex serve`: from the configuration to a broker that runs until a signal stops it.

use std::io::Write as _;

use anyhow::{Context as _, anyhow};
use opifex_broker::{AllowAll, Broker, Limits, Peer};
use opifex_storage::Persistence;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::cli::ServeArgs;
use crate::config::{Access, Config, Listener, Protocol, StorageConfig};
use crate::connections::Connections;
use crate::failure::Failure;
use crate::signals::Signals;
use crate::store::{StoreTask, survives, with_store};
#[cfg(feature = "websocket")]
use crate::websocket;
use crate::{accept, descriptors, listener, logging};

/// Runs the broker that flags and file describe.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let (config, access) = Config::load(args)?;
    if args.print_config {
        // Whoever reads may have read enough.
        let _ = write!(std::io::stdout(), "{}", config.to_toml()?);
        return Ok(());
    }
    logging::init(&config.log);
    let runtime = runtime(&config).context("cannot start the runtime").map_err(Failure::Runtime)?;
    let max_retained_messages = config.limits.max_retained_messages;
    let serve = Serve { config: &config, access };
    let served = with_store(&config.storage, max_retained_messages, &runtime, serve);
    // What is left by now has been waited for long enough.
    runtime.shutdown_background();
    served
}

/// A broker over a store.
struct Serve<'a> {
    config: &'a Config,
    access: Access,
}

impl StoreTask for Serve<'_> {
    async fn run<P: Persistence>(self, store: P) -> Result<(), Failure> {
        say_what_survives(&self.config.storage);
        serve(self.config, self.access, store).await
    }
}

fn runtime(config: &Config) -> std::io::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().thread_name("opifex");
    if let Some(workers) = config.workers {
        builder.worker_threads(workers.get());
    }
    builder.build()
}

async fn serve<P: Persistence>(config: &Config, access: Access, store: P) -> Result<(), Failure> {
    // First of all, so that no signal kills a broker that has begun.
    let mut signals = Signals::new()?;
    let limits = Limits::from(&config.limits);
    let listeners = bind(config).await?;
    if config.allow_anonymous.is_none() {
        warn_if_open(&access, &listeners);
    }
    let descriptors = descriptors::raise_limit();

    let builder = Broker::builder(store).limits(limits.clone()).durability(config.storage.durability());
    let builder = match access {
        Access::Everybody => builder.access(AllowAll),
        Access::Users(users) => builder.access(*users),
    };
    let broker = builder.start().await.context("cannot start the broker").map_err(Failure::Runtime)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), descriptors, "started");

    let connections = Connections::new(limits.max_connections);
    let mut accepting = JoinSet::new();
    #[cfg(feature = "websocket")]
    let (serving, stopping) = tokio::sync::watch::channel(());
    for (listener, configured) in listeners {
        say_where(&listener, configured.protocol)?;
        match configured.protocol {
            Protocol::Mqtt => accepting.spawn(accept::accept(listener, server(&broker, &connections))),
            #[cfg(feature = "websocket")]
            Protocol::Websocket => {
                let server = websocket::server(&broker, &connections, &stopping, &configured.origins);
                accepting.spawn(accept::accept(listener, server))
            }
            #[cfg(not(feature = "websocket"))]
            Protocol::Websocket => unreachable!("the configuration refuses it"),
        };
    }

    tokio::select! {
        signal = signals.next() => tracing::info!(signal, connections = connections.running(), "stopping"),
        _ = accepting.join_next() => return Err(Failure::runtime(anyhow!("an accept loop has ended"))),
    }
    let stop = async {
        accepting.shutdown().await;
        // Handshakes under way have nothing that they could lose.
        #[cfg(feature = "websocket")]
        drop(serving);
        broker.shutdown().await;
        if !connections.ended(limits.shutdown_timeout).await {
            tracing::warn!(connections = connections.running(), "connections that do not end are dropped");
        }
    };
    let stopped = tokio::select! {
        () = stop => Ok(()),
        signal = signals.next() => Err(Failure::runtime(anyhow!("{signal} again: stopped at once"))),
    };
    tracing::info!("stopped: {}", broker.stats());
    stopped
}

fn say_what_survives(storage: &StorageConfig) {
    let durability = storage.durability();
    let data_dir = storage.backend.has_files().then(|| tracing::field::display(storage.data_dir.display()));
    tracing::info!(storage = %storage.backend, data_dir, %durability, "{}", survives(durability));
}

async fn bind(config: &Config) -> Result<Vec<(TcpListener, &Listener)>, Failure> {
    let mut listeners = Vec::new();
    for configured in &config.listeners {
        let bound = listener::bind(&configured.address).await?;
        listeners.extend(bound.into_iter().map(|listener| (listener, configured)));
    }
    Ok(listeners)
}

/// A broker without users is for one machine. Who opens it to a network, and has not said that this is meant, is told.
fn warn_if_open(access: &Access, listeners: &[(TcpListener, &Listener)]) {
    let mut addresses = listeners.iter().filter_map(|(listener, _)| listener.local_addr().ok());
    let open = addresses.find(|at| !at.ip().is_loopback());
    if let (Access::Everybody, Some(address)) = (access, open) {
        tracing::warn!(%address, "no users are configured: whoever reaches this address may read and write everything");
    }
}

/// One line on standard output for each listener: with port 0, the only place to learn the port from.
fn say_where(listener: &TcpListener, protocol: Protocol) -> Result<(), Failure> {
    let address = listener.local_addr().map_err(Failure::runtime)?;
    let scheme = match protocol {
        Protocol::Mqtt => "",
        Protocol::Websocket => "ws://",
    };
    // Nobody may be reading, as with `opifex serve >&-`.
    let _ = writeln!(std::io::stdout(), "listening on {scheme}{address}");
    Ok(())
}

/// What the accept loop does with a connection.
fn server<P: Persistence>(
    broker: &Broker<P>,
    connections: &Connections,
) -> impl Fn(tokio::net::TcpStream, std::net::SocketAddr) -> bool + Send + use<P> {
    let (broker, connections) = (broker.clone(), connections.clone());
    move |stream, peer| {
        let (reader, writer) = stream.into_split();
        connections.spawn(broker.serve_halves(reader, writer, Peer::Network(peer)))
    }
}
