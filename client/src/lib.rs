//! An MQTT client, for 3.1.1 and 5.0 (and 3.1), on tokio.
//!
//! [`Client`] is what an application holds: it publishes, subscribes, connects again and goes on with its session.
//!
//! ```no_run
//! use opifex_client::{Address, Client, Message, Options};
//! use opifex_packet::{QoS, TopicName, Version};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let address = Address::parse("mqtt://localhost")?;
//! let client = Client::connect(Options::new(Version::V5_0, "lamp-1"), address).await?;
//!
//! let mut switches = client.subscribe("rooms/+/switch", QoS::AtLeastOnce).await?;
//! while let Some(switch) = switches.next().await {
//!     let light = TopicName::new(switch.topic.as_str().replace("switch", "light"))?;
//!     // Resolves with the server's PUBACK.
//!     client.publish(Message::new(light, switch.payload.clone()).with_qos(QoS::AtLeastOnce)).await?;
//! }
//! client.disconnect().await?;
//! # Ok(()) }
//! ```
//!
//! Below it, and of use without tokio: [`Machine`] knows the whole protocol and neither a socket nor a clock nor a
//! runtime: packets and the time go in, bytes and [`Event`]s come out. Whoever owns a transport drives it: write what
//! [`Machine::poll_transmit`] gives, hand over what arrives with [`Machine::received`], call [`Machine::tick`] when
//! [`Machine::deadline`] has come, and read [`Machine::poll_event`] after each.
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
//! In reading order: [`Options`], [`Message`], [`Client`] with its [`Builder`], [`Delivery`] and [`Subscription`],
//! [`Connector`] and [`Reconnect`]; then [`Machine`] with what it says ([`Event`], [`Cause`]) and what it refuses
//! ([`Refusal`]), and [`SessionStore`] with its implementations, [`FileStore`], [`MemoryStore`] and [`Unstored`].

mod message;
mod options;
mod random;

mod cause;
mod event;
mod refusal;
mod server_limits;

mod machine;

mod store;

mod address;
mod connector;
mod driver;
mod error;
mod handle;
mod reconnect;

pub use address::{Address, AddressError};
pub use cause::Cause;
pub use connector::{BoxedTransport, Connecting, Connector, Credentials, Transport};
pub use error::Error;
pub use event::{AckToken, Event, Token};
pub use handle::Client;
pub use handle::authenticator::{AuthenticationError, Authenticator};
pub use handle::builder::Builder;
pub use handle::delivery::{Delivery, Published};
pub use handle::received::Received;
pub use handle::status::{Status, Statuses};
pub use handle::subscription::Subscription;
pub use machine::Machine;
pub use message::Message;
pub use options::Options;
pub use reconnect::Reconnect;
pub use refusal::Refusal;
pub use server_limits::ServerLimits;
pub use store::{FileStore, MemoryStore, SessionStore, StoredMessage, StoredSession, Unstored};
