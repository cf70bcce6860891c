//! The client's side of the protocol as a state machine. No I/O and no clock: packets and the time are arguments, bytes
//! and events are what comes of them. Reconnecting is [`Machine::connect`] again; when, is for the driver to say.
//!
//! ```text
//!          connect                    CONNACK
//! Idle ----------------> Connecting -----------> Connected
//!   ^                         |                      |      violation, time-out, disconnect,
//!   |                         +----------+-----------+      DISCONNECT from the server
//!   |                                    v
//!   +------- connection_lost --------- Closing
//! ```

mod authenticating;
mod awaited;
mod connecting;
mod incoming;
mod keep_alive;
mod outgoing;
mod packet_ids;
mod publishing;
mod receiving;
mod subscribing;
#[cfg(test)]
mod tests;
mod ticking;
mod topic_aliases;

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use hashbrown::HashMap;
use opifex_packet::{
    DecodeError, DecodeOptions, Disconnect, Packet, PacketId, Properties, PropertyContext, QoS, ReasonCode,
    Role,
};

use crate::store::{SessionStore, StoredSession};
use crate::{Cause, Event, Message, Options, Refusal, ServerLimits, Token};

use awaited::Awaited;
use incoming::Incoming;
use keep_alive::KeepAlive;
pub(crate) use keep_alive::{after, earlier};
use outgoing::Outgoing;
use packet_ids::PacketIds;
use subscribing::Request;
use topic_aliases::{IncomingAliases, OutgoingAliases};

/// Events that wait to be taken, beyond which nothing is to be read.
const MAX_EVENTS: usize = 16 * 1024;

/// Where the machine is with its connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Link {
    Idle,
    Connecting { deadline: Instant },
    Connected,
    Closing,
}

/// One client: its session, and the connection that it has or has not.
#[derive(Debug)]
pub struct Machine<S> {
    options: Options,
    store: S,

    // The session.
    client_id: String,
    outgoing: Outgoing,
    incoming: Incoming,
    next_number: u64,
    /// Whether a server was asked for a session that this is the client's side of.
    begun: bool,
    /// Whether it was not before this connection.
    first: bool,
    /// Whether a server has accepted a connection since: only then the client may have ids in use at it.
    seen: bool,

    // The connection.
    link: Link,
    clean_start: bool,
    limits: ServerLimits,
    ids: PacketIds,
    requests: HashMap<PacketId, Request>,
    incoming_aliases: IncomingAliases,
    outgoing_aliases: OutgoingAliases,
    keep_alive: Option<KeepAlive>,
    /// Acknowledgements of what is in flight.
    acks_awaited: Awaited,
    auth_awaited: Awaited,
    response_information: Option<String>,

    /// The store's last flush failed.
    unstored: bool,
    out: Vec<u8>,
    events: VecDeque<Event>,
}

impl<S: SessionStore> Machine<S> {
    /// A client without a connection, with the session that the store holds.
    ///
    /// # Errors
    /// [`Refusal::Option`] and [`Refusal::Store`].
    pub fn new(options: Options, mut store: S) -> Result<Self, Refusal> {
        options.check()?;
        let session = store.load().map_err(Refusal::Store)?;
        let client_id = whose(&options, &session).map_err(Refusal::Store)?;
        if client_id != session.client_id {
            store.set_client_id(&client_id);
        }
        Ok(Machine {
            client_id,
            outgoing: Outgoing::load(session.outgoing),
            incoming: Incoming::load(session.incoming),
            next_number: session.next_number,
            begun: session.begun,
            first: false,
            seen: session.accepted,
            link: Link::Idle,
            clean_start: options.clean_start,
            limits: ServerLimits::NONE,
            // Not from 1 with each process: an id that was just in use may still be on its way.
            ids: PacketIds::beginning_at(session.next_number),
            requests: HashMap::new(),
            incoming_aliases: IncomingAliases::default(),
            outgoing_aliases: OutgoingAliases::default(),
            keep_alive: None,
            acks_awaited: Awaited::Nothing,
            auth_awaited: Awaited::Nothing,
            response_information: None,
            unstored: false,
            out: Vec::new(),
            events: VecDeque::new(),
            options,
            store,
        })
    }

    /// The messages that are not at their end; after a restart, those that an earlier process left.
    pub fn pending(&self) -> impl Iterator<Item = Token> {
        self.outgoing.numbers().map(Token)
    }

    /// The client id: the one of the options, or what the server assigned, to an earlier process, too.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What the server allows, as of the last CONNACK.
    pub fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// Whether the server has accepted the connection, and it is not over.
    pub fn is_connected(&self) -> bool {
        self.link == Link::Connected
    }

    /// Whether there is neither a connection nor an attempt at one.
    pub fn is_idle(&self) -> bool {
        self.link == Link::Idle
    }

    /// Whether [`publish`](Machine::publish) would not refuse the message as `Full`.
    pub fn has_room(&self, message: &Message) -> bool {
        match message.qos {
            QoS::AtMostOnce => self.link != Link::Connected || self.out.len() < self.options.max_buffered,
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                let bytes = self.outgoing.bytes().saturating_add(message.bytes());
                self.outgoing.len() < self.options.max_pending
                    && (bytes <= self.options.max_pending_bytes || self.outgoing.len() == 0)
            }
        }
    }

    /// Whether more is to be read: not while so much waits to be written or to be taken with
    /// [`poll_event`](Machine::poll_event) that a server which only sends would fill the memory.
    pub fn wants_input(&self) -> bool {
        self.out.len() <= self.options.max_buffered && self.events.len() <= MAX_EVENTS
    }

    /// Whether [`poll_transmit`](Machine::poll_transmit) has something to give.
    pub(crate) fn has_output(&self) -> bool {
        !self.out.is_empty()
    }

    /// Bytes have arrived, perhaps a part of a packet: the server lives.
    pub fn arrived(&mut self, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.arrived(now);
        }
    }

    /// Nothing is read at this moment, so that the server's silence means nothing.
    pub fn not_reading(&mut self, now: Instant) {
        self.arrived(now);
        self.acks_awaited.again();
        self.auth_awaited.again();
        self.requests.values_mut().for_each(|request| request.answer.again());
    }

    /// Whether the session outlives the connection, as far as is known.
    pub(crate) fn keeps_session(&self) -> bool {
        !self.clean_start
    }

    /// Where the server of the last connection lets responses go (5.0), when it was asked.
    pub fn response_information(&self) -> Option<&str> {
        self.response_information.as_deref()
    }

    /// Whether subscriptions may have identifiers.
    pub(crate) fn gives_subscription_identifiers(&self) -> bool {
        self.options.version.is_v5() && self.limits.subscription_identifiers
    }

    /// Whether the transport is to be closed once all is written.
    pub fn is_closing(&self) -> bool {
        self.link == Link::Closing
    }

    /// How to decode what arrives.
    pub fn decode_options(&self) -> DecodeOptions {
        let mut options = DecodeOptions::new(self.options.version, Role::Client);
        // [MQTT-3.1.2-24]: what the server must not exceed.
        if let Some(size) = self.options.max_packet_size {
            options.max_packet_size = options.max_packet_size.min(size as usize);
        }
        options
    }

    /// A packet has arrived. Packets behind the end of a connection are passed over.
    pub fn received(&mut self, packet: Packet<'_>, now: Instant) {
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.received(now);
        }
        let handled = match self.link {
            Link::Idle | Link::Closing => Ok(()),
            Link::Connecting { .. } => self.answered(packet, now),
            Link::Connected => self.dispatch(packet),
        };
        if let Err(cause) = handled {
            self.fail(cause);
        }
    }

    /// Bytes have arrived that are no packet.
    pub fn malformed(&mut self, error: DecodeError) {
        self.fail(Cause::Malformed(error));
    }

    fn dispatch(&mut self, packet: Packet<'_>) -> Result<(), Cause> {
        match packet {
            Packet::Publish(packet) => self.on_publish(packet),
            Packet::Puback(packet) => self.on_puback(packet),
            Packet::Pubrec(packet) => self.on_pubrec(packet),
            Packet::Pubrel(packet) => self.on_pubrel(packet),
            Packet::Pubcomp(packet) => self.on_pubcomp(packet),
            Packet::Suback(packet) => self.on_suback(packet),
            Packet::Unsuback(packet) => self.on_unsuback(packet),
            Packet::Pingresp => {
                if let Some(keep_alive) = &mut self.keep_alive {
                    keep_alive.answered();
                }
                Ok(())
            }
            Packet::Disconnect(packet) => {
                let Disconnect { reason, properties } = packet.into_owned();
                Err(Cause::Server { reason, properties })
            }
            Packet::Auth(packet) => self.on_auth(packet),
            // [MQTT-3.2.0-2]
            Packet::Connack(_) => {
                Err(Cause::protocol_error("MQTT-3.2.0-2", "a second CONNACK on one connection"))
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq => {
                Err(Cause::protocol_error("MQTT5 2.1.2", "a packet that only clients send"))
            }
        }
    }

    /// Ends the connection with DISCONNECT. `properties` (5.0) may hold a session expiry, a reason string, user
    /// properties; `DisconnectWithWill` has the will published. What waits for the server stays in the session.
    ///
    /// # Errors
    /// [`Refusal::NotConnected`], and [`Refusal::Forbidden`] of a reason or properties that no client sends.
    pub fn disconnect(&mut self, reason: ReasonCode, properties: Properties<'_>) -> Result<(), Refusal> {
        if self.link != Link::Connected {
            return Err(Refusal::NotConnected);
        }
        if !self.options.version.is_v5() {
            if !properties.is_empty() {
                return Err(Refusal::forbidden("MQTT5 2.2.2", "properties need version 5.0"));
            }
            // 3.1.1 3.14.4: DISCONNECT has the will discarded. Without it the will is published.
            if reason != ReasonCode::NORMAL_DISCONNECTION {
                self.close(Cause::Asked);
                return Ok(());
            }
        }
        // [MQTT-3.14.2-1]
        if !Disconnect::can_say(reason, Role::Server) {
            return Err(Refusal::forbidden("MQTT-3.14.2-1", "a client does not disconnect for this reason"));
        }
        if Properties::from_bytes(PropertyContext::Disconnect, properties.as_bytes()).is_err() {
            return Err(Refusal::forbidden("MQTT5 3.14.2.2", "a property is none of DISCONNECT's"));
        }
        // 3.14.2.2.2
        if self.options.session_expiry_secs == 0 && properties.session_expiry_interval().unwrap_or(0) > 0 {
            return Err(Refusal::forbidden(
                "MQTT5 3.14.2.2.2",
                "the session ends with its connection already",
            ));
        }
        ServerLimits::NONE.check_size(properties.as_bytes().len() + 64)?;
        let packet = Packet::from(Disconnect { reason, properties });
        self.limits.check_size(packet.encoded_len(self.options.version))?;
        self.send(&packet);
        self.close(Cause::Asked);
        Ok(())
    }

    /// The transport is gone, whoever closed it.
    pub fn connection_lost(&mut self) {
        self.close(Cause::Lost);
        self.out.clear();
        self.link = Link::Idle;
    }

    /// What has happened, in its order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends the connection because of `cause`, and tells the server why where the standard has a word for it.
    fn fail(&mut self, cause: Cause) {
        let reason = match &cause {
            Cause::Violation { reason, .. } => Some(*reason),
            Cause::Malformed(error) => Some(error.reason()),
            Cause::Timeout(_) => Some(ReasonCode::UnspecifiedError),
            // [MQTT-4.13.2-1]: the server closes, it is told nothing.
            Cause::Asked
            | Cause::Lost
            | Cause::Transport(_)
            | Cause::Authentication(_)
            | Cause::Refused { .. }
            | Cause::Server { .. }
            | Cause::Unclaimed { .. }
            | Cause::Store(_) => None,
        };
        // Before 5.0 DISCONNECT would mean that all is well, and the will would not be published.
        if let Some(reason) = reason.filter(|_| self.options.version.is_v5() && self.link == Link::Connected)
        {
            let known = Disconnect::can_say(reason, Role::Server);
            let reason = if known { reason } else { ReasonCode::ProtocolError };
            self.send(&Packet::from(Disconnect::new(reason)));
        }
        self.close(cause);
    }

    /// [MQTT-3.14.4-1] [MQTT-3.14.4-2]: nothing is written behind this; the driver closes the transport.
    fn close(&mut self, cause: Cause) {
        if !matches!(self.link, Link::Connecting { .. } | Link::Connected) {
            return;
        }
        self.link = Link::Closing;
        self.keep_alive = None;
        self.acks_awaited = Awaited::Nothing;
        self.auth_awaited = Awaited::Nothing;
        let mut unanswered: Vec<Token> = self.requests.drain().map(|(_, request)| request.token).collect();
        unanswered.sort_unstable();
        self.events.extend(unanswered.into_iter().map(|token| Event::Unanswered { token }));
        self.events.push_back(Event::Disconnected { cause });
    }

    fn send(&mut self, packet: &Packet<'_>) {
        packet.encode(self.options.version, &mut self.out);
    }

    fn number(&mut self) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    fn free_id(&mut self) -> Result<PacketId, Refusal> {
        let (outgoing, requests) = (&self.outgoing, &self.requests);
        self.ids.free(|id| outgoing.contains(id) || requests.contains_key(&id)).ok_or(Refusal::Full)
    }
}

/// The client id. An empty one is the server's to assign, which it may have done for this session.
fn whose(options: &Options, session: &StoredSession) -> io::Result<String> {
    if options.client_id.is_empty() {
        return Ok(session.client_id.clone());
    }
    if session.client_id.is_empty() || session.client_id == options.client_id {
        return Ok(options.client_id.clone());
    }
    let whose = &session.client_id;
    let what = format!("it is the session of the client id {whose:?}; give each client a store of its own");
    Err(io::Error::new(io::ErrorKind::InvalidInput, what))
}
