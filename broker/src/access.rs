//! Who may connect, publish, subscribe and receive: a trait, and the implementation that allows everything.

use std::any::Any;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{QoS, ReasonCode};

/// Where a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A network address.
    Network(SocketAddr),
    /// This machine or this process: a Unix socket, a pipe in memory.
    Local,
}

/// What a client says of itself when it connects, or answers in an AUTH exchange.
#[derive(Debug)]
pub struct Credentials<'a> {
    /// Where it connects from.
    pub peer: &'a Peer,
    /// Its client id; empty when the broker is to assign one.
    pub client_id: &'a str,
    /// User name of CONNECT.
    pub user_name: Option<&'a str>,
    /// Password of CONNECT.
    pub password: Option<&'a [u8]>,
    /// Authentication method (5.0).
    pub method: Option<&'a str>,
    /// Authentication data of CONNECT or of the last AUTH (5.0).
    pub data: Option<&'a [u8]>,
    /// What the last [`Verdict::Continue`] of this exchange left to be remembered.
    pub state: Option<Box<dyn Any + Send>>,
    /// The identity of a connected client that re-authenticates (5.0).
    pub reauthenticates: Option<&'a Identity>,
}

/// What an access control answers to [`Credentials`].
#[derive(Debug)]
pub enum Verdict {
    /// Let it in under this identity; `data` goes into CONNACK or AUTH (5.0).
    Accept {
        /// Who it is.
        identity: Identity,
        /// Authentication data for the client.
        data: Option<Bytes>,
    },
    /// Ask the client to go on (5.0, AUTH 0x18).
    Continue {
        /// Authentication data for the client.
        data: Option<Bytes>,
        /// Comes back with the client's answer.
        state: Box<dyn Any + Send>,
    },
    /// Refuse it, with a reason code of CONNACK.
    Refuse(ReasonCode),
}

/// Who a connection was found to be.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Identity {
    /// The user; `None`: anonymous.
    pub user: Option<Arc<str>>,
}

/// What somebody wants to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Publish to a topic; also asked for a will, when CONNECT brings it.
    Publish {
        /// The topic.
        topic: &'a str,
        /// The message's QoS.
        qos: QoS,
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe to a filter (with `$share/...` where it is shared).
    Subscribe {
        /// The filter.
        filter: &'a str,
    },
    /// Receive a message of a topic: asked for each delivery, if [`AccessControl::checks_receive`].
    Receive {
        /// The topic.
        topic: &'a str,
    },
}

/// A boxed future of a verdict.
pub type VerdictFuture<'a> = Pin<Box<dyn Future<Output = Verdict> + Send + 'a>>;

/// Decides who may connect and what they may do.
pub trait AccessControl: Send + Sync + 'static {
    /// Whether to read so much as a byte of a connection from there.
    fn admit(&self, peer: &Peer) -> bool;

    /// Whether to let a client in. May take its time (look up, hash on another thread): the connect time-out runs.
    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> VerdictFuture<'a>;

    /// Whether a client may do this. Called on the hot path: it must not block.
    fn authorize(&self, identity: &Identity, client_id: &str, action: Action<'_>) -> bool;

    /// Whether [`Action::Receive`] is to be asked: it costs a call per delivery.
    fn checks_receive(&self) -> bool;
}

/// Lets everybody in and allows everything. Refuses authentication methods: it knows none.
#[derive(Copy, Clone, Debug, Default)]
pub struct AllowAll;

impl AccessControl for AllowAll {
    fn admit(&self, _peer: &Peer) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> VerdictFuture<'a> {
        let verdict = match credentials.method {
            Some(_) => Verdict::Refuse(ReasonCode::BadAuthenticationMethod),
            None => Verdict::Accept {
                identity: Identity { user: credentials.user_name.map(Arc::from) },
                data: None,
            },
        };
        Box::pin(std::future::ready(verdict))
    }

    fn authorize(&self, _identity: &Identity, _client_id: &str, _action: Action<'_>) -> bool {
        true
    }

    fn checks_receive(&self) -> bool {
        false
    }
}
