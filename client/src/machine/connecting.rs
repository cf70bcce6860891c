//! CONNECT, and the answer to it: limits, and what becomes of the session.

use std::time::Instant;

use opifex_packet::{Connack, Packet, PacketId, Properties, Pubrel, ReasonCode, Version};

use super::packet_ids::PacketIds;
use super::{KeepAlive, Link, Machine, after};
use crate::store::SessionStore;
use crate::{Cause, Event, Refusal, ServerLimits, Token};

impl<S: SessionStore> Machine<S> {
    /// Begins a connection over a new transport.
    ///
    /// # Errors
    /// [`Refusal::Connected`].
    pub fn connect(&mut self, now: Instant) -> Result<(), Refusal> {
        if matches!(self.link, Link::Connecting { .. } | Link::Connected) {
            return Err(Refusal::Connected);
        }
        // [MQTT-3.1.0-1]: nothing of an earlier connection goes first.
        self.out.clear();
        // [MQTT-3.3.2-7]
        self.incoming_aliases.clear();
        self.outgoing_aliases.begin(0);
        self.keep_alive = None;
        // Not with CONNACK, which may get lost when the server has begun a session.
        self.first = !self.begun;
        if self.first {
            self.set_begun(true);
        }
        let connect = self.options.connect(&self.client_id, self.clean_start);
        Packet::from(connect).encode(self.options.version, &mut self.out);
        self.link = Link::Connecting { deadline: after(now, self.options.response_timeout) };
        Ok(())
    }

    fn set_begun(&mut self, begun: bool) {
        self.begun = begun;
        self.store.set_begun(begun);
    }

    /// The server has refused, so it has begun no session: one that is present the next time is not known here.
    fn not_begun(&mut self) {
        if self.first {
            self.set_begun(false);
        }
    }

    /// The session may be an earlier process's, who had ids under way: those that it used lately are not used at once, also
    /// for what was accepted and never sent.
    fn ids_unlike_others(&mut self) {
        self.ids = PacketIds::beginning_at(crate::random::number());
        let (before, after) = self.outgoing.rename(&mut self.ids);
        before.into_iter().for_each(|id| self.store.remove_outgoing(id));
        after.iter().for_each(|stored| self.store.put_outgoing(stored));
    }

    /// A packet in front of CONNACK.
    pub(super) fn answered(&mut self, packet: Packet<'_>, now: Instant) -> Result<(), Cause> {
        match packet {
            Packet::Connack(connack) => self.on_connack(connack.into_owned(), now),
            Packet::Auth(auth) => self.on_auth(auth),
            Packet::Disconnect(packet) if self.options.version.is_v5() => {
                self.not_begun();
                Err(Cause::Server { reason: packet.reason, properties: packet.properties.into_owned() })
            }
            // [MQTT-3.2.0-1]
            _ => Err(Cause::protocol_error("MQTT-3.2.0-1", "the server's first packet is not CONNACK")),
        }
    }

    fn on_connack(&mut self, connack: Connack<'static>, now: Instant) -> Result<(), Cause> {
        // [MQTT-4.13.2-1]
        if connack.reason != ReasonCode::Success {
            self.not_begun();
            return Err(Cause::Refused { reason: connack.reason, properties: connack.properties });
        }
        // [MQTT-3.2.2-2]; the client has discarded its side and has to close by [MQTT-3.2.2-4].
        if connack.session_present && self.clean_start {
            return Err(Cause::protocol_error("MQTT-3.2.2-2", "a session is present after a clean start"));
        }
        // [MQTT-3.2.2-4]; 3.1.1 leaves it to the client. Ids that the server has in use are not known here.
        let may_adopt = self.options.adopt_session || !self.options.version.is_v5();
        if connack.session_present && self.first && !may_adopt {
            self.set_begun(false);
            return Err(Cause::protocol_error(
                "MQTT-3.2.2-4",
                "the server has a session that this client knows nothing of; give the client its store, end the \
                 session with a clean start, or adopt it",
            ));
        }
        if connack.session_present && (self.first || !self.seen) {
            self.ids_unlike_others();
        }
        if !self.seen {
            self.seen = true;
            self.store.set_accepted();
        }
        // [MQTT-4.12.0-5]
        let method = self.options.properties.authentication_method();
        if self.options.version.is_v5() && connack.properties.authentication_method() != method {
            return Err(Cause::protocol_error("MQTT-4.12.0-5", "CONNACK has another authentication method"));
        }
        // [MQTT-3.1.3-2]: the id that the server assigned is the name of the session from now on (3.2.2.3.7). To a client
        // that has one it assigns none; a word to the contrary changes nothing.
        if let Some(assigned) = connack.properties.assigned_client_identifier()
            && self.client_id.is_empty()
        {
            self.client_id = assigned.to_owned();
            self.store.set_client_id(assigned);
        }

        self.response_information = connack.properties.response_information().map(str::to_owned);
        self.limits = ServerLimits::of(&connack);
        // [MQTT-4.9.0-1]: above 0 and not above the server's.
        self.limits.receive_maximum = self.limits.receive_maximum.min(self.options.max_inflight);
        // [MQTT-3.2.2-18]
        self.outgoing_aliases.begin(self.limits.topic_alias_maximum.min(self.options.topic_aliases));
        // [MQTT-3.2.2-21] [MQTT-3.1.2-21]
        let keep_alive = connack.properties.server_keep_alive().unwrap_or(self.options.keep_alive_secs);
        self.keep_alive = Some(KeepAlive::new(keep_alive, self.options.response_timeout, now));

        // 3.1 does not say whether there is a session; what it was asked for is taken for granted.
        let session_present = match self.options.version {
            Version::V3_1 => !self.clean_start,
            Version::V3_1_1 | Version::V5_0 => connack.session_present,
        };
        self.link = Link::Connected;
        self.events.push_back(Event::Connected { session_present, properties: connack.properties.clone() });
        self.resume(session_present);

        // 3.2.2.3.2: the server's word on the expiry counts. [MQTT-3.1.2-23]: a session above 0 is gone on with.
        if self.options.version.is_v5() {
            let said = connack.properties.session_expiry_interval();
            self.clean_start = said.unwrap_or(self.options.session_expiry_secs) == 0;
        }
        Ok(())
    }

    /// [MQTT-4.4.0-1]: what is not acknowledged is sent again under its old id, and at no other time. PUBREL now, in
    /// their order; PUBLISH as the receive maximum allows.
    fn resume(&mut self, session_present: bool) {
        // [MQTT-3.2.2-5]: the server knows of nothing, so neither does this side.
        for id in self.incoming.begin(session_present) {
            self.store.remove_incoming(id);
        }
        self.outgoing.begin(session_present);
        for (id, said) in self.outgoing.released() {
            if session_present {
                self.send(&Packet::from(Pubrel::new(id)));
            } else if let Some(refusal) = self.outgoing.doubted(id) {
                self.refuse(id, refusal);
            } else {
                // With PUBREC the server took the message over. Nothing is left to be told.
                self.done(id, said, Properties::new());
            }
        }
    }

    /// A QoS 1 or 2 message is not for this server; its id is free.
    pub(super) fn refuse(&mut self, id: PacketId, refusal: Refusal) {
        if let Some(number) = self.outgoing.remove(id) {
            self.store.remove_outgoing(id);
            self.events.push_back(Event::PublishRefused { token: Token(number), refusal });
        }
    }

    /// A QoS 1 or 2 message is at its end; its id is free.
    pub(super) fn done(&mut self, id: PacketId, reason: ReasonCode, properties: Properties<'_>) {
        if let Some(number) = self.outgoing.remove(id) {
            self.store.remove_outgoing(id);
            let properties = properties.into_owned();
            self.events.push_back(Event::PublishDone { token: Token(number), reason, properties });
        }
    }
}
