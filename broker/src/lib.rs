//! An MQTT broker as a library: sessions, routing, retained messages, wills, expiry and access control for MQTT 3.1,
//! 3.1.1 and 5.0, over any [`Persistence`](opifex_storage::Persistence) and any transport.
//!
//! It names no transport, no backend and no clock of its own but tokio's, and reads no configuration: whoever embeds
//! it decides. Reading order: [`Broker`] and [`Limits`] for users; `connection` (one client's task), `outbox` (what is
//! on its way to a client), `router` and `fanout` (who gets a message), `submission` (what the store is asked), `due`
//! (what time brings) for those who go in.

mod access;
mod broker;
mod limits;
mod local;
mod static_users;
mod stats;

mod connection;
mod damage;
mod due;
mod ordered;
mod pause;
mod recovery;
mod retaining;
mod store_trouble;
mod submission;
mod unrecorded;
mod will;

mod fanout;
mod filters;
mod inflight;
mod outbox;
mod pending;
mod reason;

mod registry;
mod router;
mod session;
mod share;
mod shared;
pub mod topic_tree;

mod clock;

pub use access::{AccessControl, Action, AllowAll, Credentials, Identity, Peer, Verdict, VerdictFuture};
pub use broker::{Broker, Builder, StartError};
pub use limits::Limits;
pub use local::{LocalSubscription, Publication, PublishError, Received, SubscribeError};
pub use static_users::{
    PasswordHash, Rules, StaticUsers, StaticUsersBuilder, StaticUsersError, hash_password,
};
pub use stats::{DropCause, Stats};

/// The README's example is a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
