//! A journal as a test writes it, of a few clients and messages; the oracle reads along.

use opifex_packet::QoS;

use crate::event::{Ack, Arrival, Client, Ending, Event, MessageId, Millis, NEVER, Publication};
use crate::oracle::Oracle;

pub(super) const M1: MessageId = MessageId(1);
pub(super) const M2: MessageId = MessageId(2);
pub(super) const TOPIC: &str = "load/a/0";

/// A journal that is being written.
pub(super) struct Journal {
    pub(super) oracle: Oracle,
    pub(super) now: Millis,
}

impl Journal {
    /// A subscriber `sub` with a durable session, subscribed to everything at QoS 2.
    pub(super) fn with_subscriber() -> Journal {
        let mut journal = Journal { oracle: Oracle::default(), now: 1_000 };
        journal.event(Event::Listening);
        journal.connects("sub", false, NEVER, false);
        journal.subscribes("sub", "#");
        journal
    }

    pub(super) fn event(&mut self, event: Event) {
        self.now += 1;
        self.oracle.observe(self.now, &event);
    }

    pub(super) fn connects(&mut self, client: Client, clean_start: bool, expiry_secs: u32, present: bool) {
        self.event(Event::Connecting { client, clean_start, expiry_secs, will: None });
        self.event(Event::Connected { client, present });
    }

    pub(super) fn ends(&mut self, client: Client, how: Ending) {
        self.event(Event::Ended { client, how });
    }

    /// The broker is killed and started again, and the subscriber is back.
    pub(super) fn restarts(&mut self) {
        self.event(Event::Killed);
        self.ends("sub", Ending::Lost);
        self.event(Event::Listening);
        self.connects("sub", false, NEVER, true);
    }

    pub(super) fn subscribes(&mut self, client: Client, filter: &'static str) {
        self.event(Event::Subscribing { client, filter, qos: QoS::ExactlyOnce });
        self.event(Event::Subscribed { client, filter });
    }

    pub(super) fn made(&mut self, message: MessageId, qos: QoS) {
        let publication = Publication { qos, ..publication() };
        self.event(Event::Made { message, publication });
    }

    /// A message that is sent and acknowledged.
    pub(super) fn publishes(&mut self, message: MessageId, qos: QoS) {
        self.made(message, qos);
        self.event(Event::Sent { message });
        self.event(Event::Accepted { message });
    }

    pub(super) fn arrives(&mut self, message: MessageId, qos: QoS, packet_id: u16, dup: bool) {
        let arrival = Arrival { message, qos, packet_id, dup, retain: false };
        self.event(Event::Arrived { client: "sub", arrival });
    }

    pub(super) fn acks(&mut self, ack: Ack, packet_id: u16) {
        self.event(Event::Acked { client: "sub", ack, packet_id });
    }

    /// The whole handshake of the receiver.
    pub(super) fn takes(&mut self, message: MessageId, qos: QoS, packet_id: u16) {
        self.arrives(message, qos, packet_id, false);
        if qos == QoS::AtLeastOnce {
            self.acks(Ack::Puback, packet_id);
        } else {
            self.acks(Ack::Pubrec, packet_id);
            self.event(Event::Released { client: "sub", packet_id });
            self.acks(Ack::Pubcomp, packet_id);
        }
    }

    pub(super) fn settles(&mut self) {
        self.subscribes("sub", "barrier");
        self.subscribes("sub", "barrier");
    }

    /// The numbers of the promises that are broken.
    pub(super) fn broken(&mut self) -> Vec<u8> {
        let mut found = self.oracle.take_violations();
        found.extend(self.oracle.missing(self.now));
        found.into_iter().map(|violation| violation.promise).collect()
    }
}

pub(super) fn publication() -> Publication {
    Publication {
        publisher: "pub",
        durable: true,
        topic: TOPIC.to_owned(),
        qos: QoS::AtLeastOnce,
        retain: false,
        clears: false,
        expiry_secs: None,
    }
}
