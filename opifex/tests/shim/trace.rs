//! The packets of a record: which came in and which left, of which client, and when in the record's order.
//!
//! A packet has come in once the read that brought its last byte has returned. It has left once the send of its last
//! byte has *begun*: from then on the client may have it.

use std::collections::{HashMap, VecDeque};

use opifex_packet::{DecodeOptions, Decoded, Packet, Role, Version, connect_version, decode};

use crate::shim::{Call, Event, Object, Phase};

/// A packet that came in or left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Passed {
    /// Its place in the record.
    pub(crate) at: usize,
    /// The connection's client.
    pub(crate) client: String,
    /// Whether the broker sent it.
    pub(crate) left: bool,
    pub(crate) packet: Packet<'static>,
}

#[derive(Default)]
struct Connection {
    version: Option<Version>,
    client: String,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Sends that have begun.
    sending: HashMap<u64, (usize, Vec<u8>)>,
    /// What was sent and is not decoded yet: up to which length of `outgoing`, at which place.
    sent: VecDeque<(usize, usize)>,
}

/// The packets of all connections, in order of their places.
pub(crate) fn packets(events: &[Event]) -> Vec<Passed> {
    let mut connections: HashMap<Object, Connection> = HashMap::new();
    let mut passed = Vec::new();
    for (at, event) in events.iter().enumerate() {
        match (&event.call, event.phase) {
            (Call::Accept, _) => drop(connections.insert(event.object, Connection::default())),
            (Call::Receive { bytes }, _) => {
                let connection = connections.get_mut(&event.object).expect("it was accepted");
                connection.incoming.extend_from_slice(bytes);
                connection.take_incoming(at, &mut passed);
            }
            (Call::Send { bytes }, Phase::Begin) => {
                let connection = connections.get_mut(&event.object).expect("it was accepted");
                connection.sending.insert(event.id, (at, bytes.clone()));
            }
            (Call::Send { .. }, Phase::End { result }) => {
                let connection = connections.get_mut(&event.object).expect("it was accepted");
                let (begun, bytes) = connection.sending.remove(&event.id).expect("it has begun");
                let Ok(sent) = usize::try_from(result) else { continue };
                connection.outgoing.extend_from_slice(&bytes[..sent]);
                connection.sent.push_back((connection.outgoing.len(), begun));
                connection.take_outgoing(&mut passed);
            }
            _ => {}
        }
    }
    // What was being sent when the process died may have left.
    for connection in connections.values_mut() {
        for (begun, bytes) in std::mem::take(&mut connection.sending).into_values() {
            connection.outgoing.extend_from_slice(&bytes);
            connection.sent.push_back((connection.outgoing.len(), begun));
        }
        connection.take_outgoing(&mut passed);
    }
    passed.sort_by_key(|passed| passed.at);
    passed
}

impl Connection {
    fn take_incoming(&mut self, at: usize, passed: &mut Vec<Passed>) {
        if self.version.is_none() {
            self.version = connect_version(&self.incoming);
        }
        let Some(version) = self.version else { return };
        let mut used = 0;
        while let Decoded::Packet { packet, len } =
            decode(&self.incoming[used..], &DecodeOptions::new(version, Role::Server)).unwrap()
        {
            used += len;
            if let Packet::Connect(connect) = &packet {
                self.client = connect.client_id.clone().into_owned();
            }
            passed.push(Passed { at, client: self.client.clone(), left: false, packet: packet.into_owned() });
        }
        self.incoming.drain(..used);
    }

    fn take_outgoing(&mut self, passed: &mut Vec<Passed>) {
        let Some(version) = self.version else { return };
        let mut used = 0;
        while let Decoded::Packet { packet, len } =
            decode(&self.outgoing[used..], &DecodeOptions::new(version, Role::Client)).unwrap()
        {
            used += len;
            while self.sent.front().is_some_and(|(end, _)| *end < used) {
                self.sent.pop_front();
            }
            let (_, at) = *self.sent.front().expect("it was sent");
            passed.push(Passed { at, client: self.client.clone(), left: true, packet: packet.into_owned() });
        }
        self.outgoing.drain(..used);
        for (end, _) in &mut self.sent {
            *end -= used.min(*end);
        }
        self.sent.retain(|(end, _)| *end > 0);
    }
}
