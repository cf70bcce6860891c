//! The connected half of an outbox: the write side and what this connection allows.

use std::collections::HashMap;
use std::sync::Arc;

use opifex_connection::Outlet;
use opifex_packet::{Packet, ReasonCode, Version};

use crate::access::Identity;
use crate::reason::{Told, append_within};

/// One connection, as those see it who send to it.
pub(crate) struct Link {
    pub(crate) outlet: Outlet,
    pub(crate) version: Version,
    /// The largest packet that the client takes, in bytes.
    pub(crate) max_packet_size: u32,
    /// Whether the client is told in words why something was refused.
    pub(crate) reasons: bool,
    /// QoS 1 and 2 messages that may be unacknowledged at once ([MQTT-3.3.4-9] of 5.0).
    pub(crate) window: u16,
    /// Those that are.
    pub(crate) outstanding: u16,
    /// Topic aliases that we set, where the client takes any.
    pub(crate) aliases: Option<Box<OutgoingAliases>>,
    /// Somebody has appended and will flush, or wake the owner.
    pub(crate) touched: bool,
    /// What somebody else wants of the connection.
    pub(crate) command: Option<Command>,
    /// Who the client is.
    pub(crate) identity: Arc<Identity>,
}

/// What somebody else wants of a connection: it ends with this reason.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Another connection took the session over.
    TakenOver,
    /// The broker stops.
    Shutdown,
    /// The client was silent for one and a half keep-alives.
    KeepAliveTimeout,
    /// The store held it up for too long.
    StoreTimeout,
    /// A commit failed that its session took part in.
    StoreFailed,
}

impl Command {
    /// Why, in words for the client.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Command::TakenOver => "another connection came with the same client id",
            Command::Shutdown => "the server stops",
            Command::KeepAliveTimeout => "nothing came for one and a half times the keep-alive",
            Command::StoreTimeout => "the store took too long",
            Command::StoreFailed => "the store failed",
        }
    }

    pub(crate) fn reason(self) -> ReasonCode {
        match self {
            Command::TakenOver => ReasonCode::SessionTakenOver,
            Command::Shutdown => ReasonCode::ServerShuttingDown,
            Command::KeepAliveTimeout => ReasonCode::KeepAliveTimeout,
            Command::StoreTimeout | Command::StoreFailed => ReasonCode::ServerUnavailable,
        }
    }
}

impl Link {
    /// Tells the connection's task to end, unless it was told already.
    pub(crate) fn command(&mut self, command: Command) {
        if self.command.is_none() {
            self.command = Some(command);
            self.outlet.wake_owner();
        }
    }

    /// Appends a packet that refuses, with the words that there are for this reason, as far as the client takes it.
    pub(crate) fn refuse(&mut self, packet: Packet<'_>, reason: ReasonCode) {
        let Link { version, max_packet_size, reasons, .. } = *self;
        let told = Told { version, max_packet_size, reasons };
        self.outlet.append_with(|buffer| {
            told.append(packet, reason, buffer);
        });
    }

    /// Appends a packet of the connection's own with these words, as far as the client takes it.
    pub(crate) fn append_explained(&mut self, packet: Packet<'_>, words: &str) {
        let Link { version, max_packet_size, reasons, .. } = *self;
        self.outlet.append_with(|buffer| {
            append_within(packet, reasons.then_some(words), version, max_packet_size, buffer);
        });
    }

    /// Appends a packet of the connection's own.
    pub(crate) fn append(&mut self, packet: &Packet<'_>) {
        let version = self.version;
        self.outlet.append_with(|buffer| packet.encode(version, buffer));
    }
}

/// Topic aliases that we have set towards a client (5.0): the first topics get them, for good.
pub(crate) struct OutgoingAliases {
    by_topic: HashMap<Box<str>, u16>,
    maximum: u16,
}

/// How a topic goes out.
pub(crate) enum OutgoingAlias {
    /// The alias alone: the client knows it.
    Known(u16),
    /// Topic and alias: from now on the client knows it.
    New(u16),
    /// The topic alone.
    None,
}

impl OutgoingAliases {
    pub(crate) fn new(maximum: u16) -> Option<Box<OutgoingAliases>> {
        (maximum > 0).then(|| Box::new(OutgoingAliases { by_topic: HashMap::new(), maximum }))
    }

    pub(crate) fn lookup(&mut self, topic: &str) -> OutgoingAlias {
        if let Some(alias) = self.by_topic.get(topic) {
            return OutgoingAlias::Known(*alias);
        }
        if self.by_topic.len() >= usize::from(self.maximum) {
            return OutgoingAlias::None;
        }
        let alias = self.by_topic.len() as u16 + 1;
        self.by_topic.insert(topic.into(), alias);
        OutgoingAlias::New(alias)
    }
}
