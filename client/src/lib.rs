//! The MQTT client, for 3.1.1 and 5.0 (and 3.1): so far its state machine and the store of its session.
//!
//! [`Machine`] knows the whole protocol and neither a socket nor a clock nor a runtime: packets and the time go in,
//! bytes and [`Event`]s come out. Whoever owns a transport drives it: write what [`Machine::poll_transmit`] gives, hand
//! over what arrives with [`Machine::received`], call [`Machine::tick`] when [`Machine::deadline`] has come, and read
//! [`Machine::poll_event`] after each. The asynchronous handle that does so is not built yet.
//!
//! ```
//! use opifex_client::{Event, Machine, MemoryStore, Message, Options};
//! use opifex_packet::{Connack, Packet, Puback, PacketId, QoS, ReasonCode, TopicName, Version};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let mut client = Machine::new(Options::new(Version::V5_0, "lamp-1"), MemoryStore::default())?;
//! let mut wire = Vec::new();
//!
//! client.connect(now)?;
//! let message = Message::new(TopicName::new("rooms/1/light")?, "on").with_qos(QoS::AtLeastOnce);
//! let token = client.publish(message)?.expect("a message above QoS 0 has a token");
//! client.poll_transmit(now, &mut wire);
//!
//! // The server answers.
//! client.received(Packet::from(Connack::new(ReasonCode::Success)), now);
//! client.poll_transmit(now, &mut wire);
//! client.received(Packet::from(Puback::new(PacketId::MIN)), now);
//!
//! assert!(matches!(client.poll_event(), Some(Event::Connected { session_present: false, .. })));
//! assert!(matches!(client.poll_event(), Some(Event::PublishDone { token: done, .. }) if done == token));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In reading order: [`Options`], [`Message`], [`Machine`] with what it says ([`Event`], [`Cause`]) and what it refuses
//! ([`Refusal`]), then [`SessionStore`] with its two implementations, [`MemoryStore`] and [`FileStore`].

mod message;
mod options;

mod cause;
mod event;
mod refusal;
mod server_limits;

mod machine;

mod store;

pub use cause::Cause;
pub use event::{AckToken, Event, Token};
pub use machine::Machine;
pub use message::Message;
pub use options::Options;
pub use refusal::Refusal;
pub use server_limits::ServerLimits;
pub use store::{FileStore, MemoryStore, SessionStore, StoredMessage, StoredSession};
