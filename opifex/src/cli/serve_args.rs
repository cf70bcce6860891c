//! The flags of `opifex serve`. A flag wins over the configuration file.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;

use super::limit_flags::LimitFlags;
use crate::config::{
    Backend, Config, DurabilityLevel, ListenAddress, Listener, LogFilter, LogFormat, PageOrigin, Protocol,
};

const EXAMPLES: &str = "\
Examples:
  opifex serve
  opifex serve --listen 127.0.0.1:0                        a free port; the line on standard output names it
  opifex serve --listen 0.0.0.0:1883 --listen [::1]:1884   several listeners
  opifex serve --websocket 127.0.0.1:8083                  browsers, too
  opifex serve --config opifex.toml --log debug            a file, and a flag that wins over it
  opifex serve --config opifex.toml --print-config         everything that can be set, and what is in force

SIGINT or SIGTERM stops it: connections are closed in order (5.0 clients are told so), at most for --shutdown-timeout.
A second signal stops it at once, with exit code 1.";

/// The flags of `opifex serve`.
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address to listen on; may be repeated. Port 0 takes a free one [default: 127.0.0.1:1883].
    #[arg(short, long, value_name = "HOST:PORT")]
    listen: Vec<ListenAddress>,
    /// Address to listen on for MQTT over WebSocket, at /mqtt and /; may be repeated [default: none].
    #[arg(long, value_name = "HOST:PORT")]
    websocket: Vec<ListenAddress>,
    /// Web pages that may use the WebSocket listeners beside those of the same host, such as https://example.org; * for
    /// any; may be repeated. Who is no browser is not asked.
    #[arg(long, value_name = "ORIGIN")]
    #[allow(rustdoc::bare_urls, reason = "the command line's help shows it as it stands")]
    websocket_origin: Vec<PageOrigin>,
    /// Configuration file (TOML).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where sessions, queues and retained messages live: sqlite, sled or memory, as far as they are built in
    /// [default: what survives most: sqlite before sled before memory].
    #[arg(long, value_name = "BACKEND")]
    storage: Option<Backend>,
    /// Directory of the store; one process at a time may have it [default: ./opifex-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// What an acknowledged message survives: disk (power loss), process (kill -9) or memory (nothing) [default: the
    /// most that the storage offers: sqlite disk, sled process, memory memory].
    #[arg(long, value_name = "LEVEL")]
    durability: Option<DurabilityLevel>,
    /// Whether clients without user name and password come in [default: as long as no users are configured].
    #[arg(long, value_name = "BOOL")]
    allow_anonymous: Option<bool>,
    /// Threads that serve connections [default: one a processor].
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// What to log: error, warn, info, debug, trace, or a list such as info,opifex_broker=debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    log: Option<LogFilter>,
    /// How to log [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// Print the configuration in force, the file's and the flags', and end.
    #[arg(long)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    limits: LimitFlags,
}

impl ServeArgs {
    /// Puts what the flags say in place of what the file said.
    pub(crate) fn apply(&self, config: &mut Config) {
        for (addresses, protocol) in [(&self.listen, Protocol::Mqtt), (&self.websocket, Protocol::Websocket)]
        {
            if !addresses.is_empty() {
                config.listeners.retain(|listener| listener.protocol != protocol);
                let listener = |address: &ListenAddress| Listener {
                    address: address.clone(),
                    protocol,
                    origins: Vec::new(),
                };
                config.listeners.extend(addresses.iter().map(listener));
            }
        }
        if !self.websocket_origin.is_empty() {
            let speaks_it = |listener: &&mut Listener| listener.protocol == Protocol::Websocket;
            for listener in config.listeners.iter_mut().filter(speaks_it) {
                listener.origins = self.websocket_origin.clone();
            }
        }
        if let Some(backend) = self.storage {
            config.storage.backend = backend;
        }
        if let Some(data_dir) = &self.data_dir {
            config.storage.data_dir = data_dir.clone();
        }
        if let Some(durability) = self.durability {
            config.storage.durability = Some(durability);
        }
        if let Some(allow_anonymous) = self.allow_anonymous {
            config.allow_anonymous = Some(allow_anonymous);
        }
        if let Some(workers) = self.workers {
            config.workers = Some(workers);
        }
        if let Some(filter) = &self.log {
            config.log.filter = filter.clone();
        }
        if let Some(format) = self.log_format {
            config.log.format = format;
        }
        self.limits.apply(&mut config.limits);
    }
}
