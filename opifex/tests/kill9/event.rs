//! What the clients of a run see and do, in words that the promises are about. Packets that no promise speaks of are
//! not in here; the bytes are in `wire.rs`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;

use opifex_packet::QoS;

/// Milliseconds of the run's clock.
pub(crate) type Millis = u64;

/// The client id, which names a client through the whole run.
pub(crate) type Client = &'static str;

/// A session that never expires.
pub(crate) const NEVER: u32 = u32::MAX;

/// A message: the number stands at the front of its payload. Later messages have higher numbers.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageId(pub(crate) u64);

impl MessageId {
    /// What has no payload has no number.
    pub(crate) const NONE: MessageId = MessageId(0);

    /// The payload that carries it, at least so long.
    pub(crate) fn payload(self, len: usize) -> Vec<u8> {
        let mut payload = format!("{} ", self.0).into_bytes();
        payload.resize(len.max(payload.len()), b'.');
        payload
    }

    /// The message with this payload.
    pub(crate) fn of(payload: &[u8]) -> Option<MessageId> {
        let digits = payload.split(|byte| *byte == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok().map(MessageId)
    }
}

/// What is known of a message before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publication {
    pub(crate) publisher: Client,
    /// Whether the publisher's session outlives its connection: it sends again what was not acknowledged.
    pub(crate) durable: bool,
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// It has no payload, and removes the retained message.
    pub(crate) clears: bool,
    pub(crate) expiry_secs: Option<u32>,
}

/// How a connection ended, as its client knows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client closed it without a word.
    Cut,
    /// The client said DISCONNECT, without the will.
    Goodbye,
    /// The other side closed it.
    Lost,
}

/// The acknowledgements of a receiver.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ack {
    Puback,
    Pubrec,
    Pubcomp,
}

/// A PUBLISH of QoS 1 or 2 that came.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) message: MessageId,
    pub(crate) qos: QoS,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The broker is about to be killed.
    Killed,
    /// A broker that has hardly begun is killed, too: what it has written down, nobody knows.
    StartKilled,
    /// The broker, started again, accepts connections.
    Listening,
    /// What it said that it recovered, if it did.
    Recovered(Option<Recovered>),

    /// CONNECT is about to leave.
    Connecting {
        client: Client,
        clean_start: bool,
        expiry_secs: u32,
        will: Option<Will>,
    },
    /// CONNACK came.
    Connected {
        client: Client,
        present: bool,
    },
    /// DISCONNECT is about to leave: from now on the broker may have ended the connection.
    Leaving {
        client: Client,
    },
    Ended {
        client: Client,
        how: Ending,
    },
    /// The broker said no, or closed a connection while it lived.
    Refused {
        client: Client,
        why: String,
    },

    /// A message was made; it is sent some time later.
    Made {
        message: MessageId,
        publication: Publication,
    },
    /// PUBLISH is about to leave, for the first time or again.
    Sent {
        message: MessageId,
    },
    /// PUBACK or PUBREC came.
    Accepted {
        message: MessageId,
    },
    /// PUBCOMP says that the packet id is not known, to the first PUBREL that was sent.
    Forgotten {
        message: MessageId,
    },

    Subscribing {
        client: Client,
        filter: &'static str,
        qos: QoS,
    },
    Subscribed {
        client: Client,
        filter: &'static str,
    },
    Unsubscribing {
        client: Client,
        filter: &'static str,
    },
    Unsubscribed {
        client: Client,
        filter: &'static str,
    },

    Arrived {
        client: Client,
        arrival: Arrival,
    },
    /// PUBREL came.
    Released {
        client: Client,
        packet_id: u16,
    },
    /// An acknowledgement is about to leave.
    Acked {
        client: Client,
        ack: Ack,
        packet_id: u16,
    },

    /// What is retained, as somebody sees who subscribes while nobody publishes: by topic.
    Retained {
        topics: BTreeMap<String, MessageId>,
    },
}

/// What a start says that it recovers.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) sessions: u64,
    /// Of these, were connected when the broker was killed.
    pub(crate) interrupted: u64,
    pub(crate) subscriptions: u64,
    /// Messages in the sessions' queues.
    pub(crate) queued: u64,
}

impl Add for Recovered {
    type Output = Recovered;

    fn add(self, other: Recovered) -> Recovered {
        Recovered {
            sessions: self.sessions + other.sessions,
            interrupted: self.interrupted + other.interrupted,
            subscriptions: self.subscriptions + other.subscriptions,
            queued: self.queued + other.queued,
        }
    }
}

impl fmt::Display for Recovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovered { sessions, interrupted, subscriptions, queued } = self;
        write!(
            f,
            "{sessions} sessions ({interrupted} interrupted), {subscriptions} subscriptions, {queued} queued"
        )
    }
}

/// The will of a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) message: MessageId,
    pub(crate) delay_secs: u32,
}

/// What is broken, and which promise that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The number that the promise has in the design; 0: nothing goes on, or the broker says no.
    pub(crate) promise: u8,
    pub(crate) what: String,
}

impl Violation {
    /// Whether it is about a message that was acknowledged and does not come.
    pub(crate) fn is_a_loss(&self) -> bool {
        self.promise == 1
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "promise {}: {}", self.promise, self.what)
    }
}
