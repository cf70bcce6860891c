//! One step of a history, in words: names instead of the numbers that a store chooses, so that a step means something
//! in every history, and a history of few steps can be read.

use std::fmt;

use opifex_storage::{FullPolicy, SessionExpiry};

/// What happens next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Time passes.
    Wait(u32),
    /// The store is closed and opened again.
    Reopen,
    /// Everything is moved to another store.
    Move,
    /// A client connects.
    Open { client: u8, clean_start: bool, expiry: SessionExpiry, will: Option<WillWords> },
    /// Somebody writes, maybe under the next key of a writer.
    Batch { author: Who, guards: Vec<GuardWords>, ops: Vec<OpWords>, writer: Option<u8> },
    /// A writer submits its last batch again, or one so many before.
    Again { writer: u8, back: u8 },
}

/// A will.
#[derive(Clone, Debug)]
pub(crate) struct WillWords {
    pub(crate) message: MessageWords,
    pub(crate) retain: bool,
    pub(crate) delay_secs: u32,
}

/// A message: what is in it follows from few numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MessageWords {
    /// Which of the topics.
    pub(crate) topic: u8,
    /// Tells messages apart.
    pub(crate) tag: u16,
    /// How many bytes of padding.
    pub(crate) padding: u8,
    /// Which of the sets of properties.
    pub(crate) properties: u8,
    pub(crate) expires_in: Option<u32>,
}

/// In whose name a batch is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Broker,
    /// The client, as of its last connection, or of one so many connections before.
    Client {
        client: u8,
        back: u8,
    },
    /// Who claims the so-manieth item that was ever seen to be due.
    Claim(u8),
}

/// A session: the client's last one, or one so many sessions before. Where there is none, one that never was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Whose {
    pub(crate) client: u8,
    pub(crate) back: u8,
}

/// A precondition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GuardWords {
    Session(Whose, Expect),
    Retained(u8, Expect),
}

/// What a guard asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    Exists,
    Absent,
    /// The epoch that the session has; another one.
    Epoch {
        right: bool,
    },
    /// The version that the record has; another one.
    Version {
        right: bool,
    },
}

/// An operation.
#[derive(Clone, Debug)]
pub(crate) enum OpWords {
    SetExpiry(SessionExpiry),
    GoOffline,
    EndSession(Whose),
    /// The author's own.
    EndOwn,
    Subscribe {
        filter: u8,
        qos: u8,
        identifier: Option<u32>,
    },
    Unsubscribe(u8),
    Enqueue(MessageWords, Vec<TargetWords>),
    Assign {
        seq: u64,
        packet_id: u16,
    },
    Release(u64),
    Settle(u64),
    PutInbound(u16),
    DeleteInbound(u16),
    Retain(MessageWords),
    Unretain(u8),
    TakeWill,
    Purge(usize),
    /// Some record of another store: only refusals of it are in batches; see [`Step::Move`].
    Restore,
}

/// For whom a message is queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TargetWords {
    pub(crate) whose: Whose,
    pub(crate) qos2: bool,
    pub(crate) retain: bool,
    pub(crate) subscription_ids: u8,
    pub(crate) shared: bool,
    /// The most entries, the most bytes.
    pub(crate) items: Option<u64>,
    pub(crate) bytes: Option<u64>,
    pub(crate) policy: FullPolicy,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Wait(secs) => write!(f, "{secs} s pass"),
            Step::Reopen => f.write_str("the store is closed and opened again"),
            Step::Move => f.write_str("everything is moved to another store"),
            Step::Again { writer, back: 0 } => write!(f, "writer {writer} submits its last batch again"),
            Step::Again { writer, back } => {
                write!(f, "writer {writer} submits its batch {back} before the last again")
            }
            Step::Open { client, clean_start, expiry, will } => {
                write!(f, "client c{client} connects")?;
                if *clean_start {
                    f.write_str(", clean start")?;
                }
                write!(f, ", expiry {}", Secs(*expiry))?;
                if let Some(will) = will {
                    let retained = if will.retain { ", retained" } else { "" };
                    write!(f, ", will [{}] after {} s{retained}", will.message, will.delay_secs)?;
                }
                Ok(())
            }
            Step::Batch { author, guards, ops, writer } => {
                write!(f, "{author} submits")?;
                writer.map_or(Ok(()), |writer| write!(f, " as writer {writer}"))?;
                for guard in guards {
                    match guard {
                        GuardWords::Session(whose, expect) => write!(f, " (if {whose} {expect})")?,
                        GuardWords::Retained(topic, expect) => {
                            write!(f, " (if retained {:?} {expect})", super::world::topic_text(*topic))?;
                        }
                    }
                }
                if ops.is_empty() {
                    f.write_str(" nothing")?;
                }
                for (index, op) in ops.iter().enumerate() {
                    write!(f, "{} {op}", if index == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

struct Secs(SessionExpiry);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SessionExpiry::Secs(secs) => write!(f, "{secs} s"),
            SessionExpiry::Never => f.write_str("never"),
        }
    }
}

impl fmt::Display for MessageWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} #{}+{}", super::world::topic_text(self.topic), self.tag, self.padding)?;
        if self.properties > 0 {
            write!(f, " properties {}", self.properties)?;
        }
        match self.expires_in {
            Some(secs) => write!(f, " expires in {secs} s"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Broker => f.write_str("the broker"),
            Who::Client { client, back: 0 } => write!(f, "c{client}"),
            Who::Client { client, back } => write!(f, "c{client} as of {back} connections ago"),
            Who::Claim(index) => write!(f, "who claims due item {index}"),
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.back {
            0 => write!(f, "c{}'s session", self.client),
            back => write!(f, "c{}'s session {back} before the last", self.client),
        }
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let which = |right: &bool| if *right { "its" } else { "another" };
        match self {
            Expect::Exists => f.write_str("is there"),
            Expect::Absent => f.write_str("is not there"),
            Expect::Epoch { right } => write!(f, "is at {} epoch", which(right)),
            Expect::Version { right } => write!(f, "is at {} version", which(right)),
        }
    }
}

impl fmt::Display for OpWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let filter = |index: &u8| super::world::filter_text(*index);
        match self {
            OpWords::SetExpiry(expiry) => write!(f, "expiry {}", Secs(*expiry)),
            OpWords::GoOffline => f.write_str("go offline"),
            OpWords::EndSession(whose) => write!(f, "end {whose}"),
            OpWords::EndOwn => f.write_str("end the own session"),
            OpWords::Subscribe { filter: index, qos, identifier } => {
                write!(f, "subscribe {:?} at {qos}", filter(index))?;
                identifier.map_or(Ok(()), |identifier| write!(f, " as {identifier}"))
            }
            OpWords::Unsubscribe(index) => write!(f, "unsubscribe {:?}", filter(index)),
            OpWords::Enqueue(message, targets) => {
                write!(f, "enqueue [{message}] for")?;
                if targets.is_empty() {
                    f.write_str(" nobody")?;
                }
                targets.iter().try_for_each(|target| write!(f, " {target}"))
            }
            OpWords::Assign { seq, packet_id } => write!(f, "assign entry {seq} the id {packet_id}"),
            OpWords::Release(seq) => write!(f, "release entry {seq}"),
            OpWords::Settle(seq) => write!(f, "settle entry {seq}"),
            OpWords::PutInbound(id) => write!(f, "put inbound {id}"),
            OpWords::DeleteInbound(id) => write!(f, "delete inbound {id}"),
            OpWords::Retain(message) => write!(f, "retain [{message}]"),
            OpWords::Unretain(topic) => write!(f, "unretain {:?}", super::world::topic_text(*topic)),
            OpWords::TakeWill => f.write_str("take the will"),
            OpWords::Purge(limit) => write!(f, "purge {limit}"),
            OpWords::Restore => f.write_str("restore a session"),
        }
    }
}

impl fmt::Display for TargetWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} QoS {}", self.whose, if self.qos2 { 2 } else { 1 })?;
        for (said, what) in [(self.retain, " retain"), (self.shared, " shared")] {
            if said {
                f.write_str(what)?;
            }
        }
        if self.subscription_ids > 0 {
            write!(f, " {} subscription ids", self.subscription_ids)?;
        }
        if let Some(items) = self.items {
            write!(f, " {:?} beyond {items} items", self.policy)?;
        }
        if let Some(bytes) = self.bytes {
            write!(f, " {:?} beyond {bytes} bytes", self.policy)?;
        }
        f.write_str(">")
    }
}
