//! From the first byte to CONNACK: CONNECT, authentication, takeover, the session's open. Nothing but CONNECT and AUTH
//! is looked at here, and everything here is freed when the connection goes on.

mod open;
mod wire;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opifex_connection::{Inbox, Outlet};
use opifex_packet::{Auth, Connect, DecodeOptions, Packet, ReasonCode, Role, Version};
use opifex_storage::Persistence;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::Connection;
use super::authenticate::auth_properties;
use super::finish::Counted;
use crate::access::{Action, Credentials, Identity, Peer, Verdict};
use crate::reason;
use crate::shared::{Shared, too_many_levels};
use open::open;
use wire::{Refusal, Wire};

/// How long a refused client may take to accept the refusal.
const LINGER: Duration = Duration::from_millis(500);

/// Takes a connection to its CONNACK. `None`: it did not come so far; whoever is there was told why.
pub(crate) async fn handshake<P, R, W>(
    shared: Arc<Shared<P>>,
    reader: R,
    writer: W,
    peer: Peer,
    trust: Trust,
) -> Option<Connection<P, R>>
where
    P: Persistence,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let counted = Counted::new(shared.clone());
    if shared.is_stopping() || !(trust == Trust::Process || shared.access.admit(&peer)) {
        shared.counters.refused.fetch_add(1, Relaxed);
        return None;
    }
    let max_packet_size = shared.limits.max_connect_packet_size as usize;
    let mut wire = Wire {
        reader,
        inbox: Inbox::new(),
        outlet: Outlet::new(Box::new(writer)),
        options: DecodeOptions { version: Version::V5_0, max_packet_size, role: Role::Server },
        agreed: None,
        client_max_packet_size: u32::MAX,
        reasons: shared.limits.reason_strings,
    };
    let stopped = shared.stop.notified();
    let connect = timeout(shared.limits.connect_timeout, async {
        let first = wire.receive().await?;
        // Boxed, so that those who never say anything cost little.
        Box::pin(accept(&shared, &mut wire, &peer, trust, first)).await
    });
    let connect = tokio::select! {
        connect = connect => connect,
        () = stopped => Ok(Err(Refusal::Silent)),
    };
    let refusal = match connect {
        Err(_) => Refusal::Silent,
        Ok(Err(refusal)) => refusal,
        // A task of its own: what the store opens is seen to its end also when this future is dropped.
        Ok(Ok(accepted)) => match tokio::spawn(open(shared.clone(), *accepted, peer, counted)).await {
            Ok(Ok(ready)) => return Some(ready.attach(&shared, wire)),
            Ok(Err(refusal)) => refusal,
            Err(_) => Refusal::Silent,
        },
    };
    shared.counters.refused.fetch_add(1, Relaxed);
    let _ = timeout(LINGER, wire.refuse(refusal)).await;
    None
}

/// Whether access control is asked.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// A connection from outside: it is.
    Nobody,
    /// The process itself, which may do everything.
    Process,
}

/// A CONNECT that was let in.
struct Accepted {
    connect: Connect<'static>,
    client_id: Box<str>,
    assigned: bool,
    identity: Identity,
    auth_data: Option<bytes::Bytes>,
    trust: Trust,
}

/// Whether the first packet is a CONNECT, and what it takes to be let in.
async fn accept<P, R>(
    shared: &Arc<Shared<P>>,
    wire: &mut Wire<R>,
    peer: &Peer,
    trust: Trust,
    first: Packet<'static>,
) -> Result<Box<Accepted>, Refusal>
where
    P: Persistence,
    R: AsyncRead + Unpin,
{
    let connect = match first {
        Packet::Connect(connect) => *connect,
        // [MQTT-3.1.0-1]
        _ => return Err(Refusal::Silent),
    };
    let version = connect.version;
    wire.options.version = version;
    wire.agreed = Some(version);
    wire.client_max_packet_size = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
    wire.reasons = reason::wanted(&shared.limits, &connect.properties);
    let refuse = |reason| Err(Refusal::Connack { version, reason });
    if shared.counters.connections.load(Relaxed) > shared.limits.max_connections as u64 {
        return refuse(ReasonCode::QuotaExceeded);
    }
    // [MQTT-3.1.3-8] of 3.1.1: without a client id the session cannot be found again. 3.1 has no empty ids at all.
    let assigned = connect.client_id.is_empty();
    if assigned && (version == Version::V3_1 || (version == Version::V3_1_1 && !connect.clean_start)) {
        return refuse(ReasonCode::ClientIdentifierNotValid);
    }
    if connect.client_id.len() > shared.limits.max_client_id_bytes {
        return refuse(ReasonCode::ClientIdentifierNotValid);
    }
    if let Some(will) = &connect.will {
        // [MQTT-3.2.2-12], [MQTT-3.2.2-13] of 5.0
        if will.qos > shared.limits.max_qos {
            return refuse(ReasonCode::QoSNotSupported);
        }
        if will.retain && !shared.limits.retain_available {
            return refuse(ReasonCode::RetainNotSupported);
        }
        if too_many_levels(will.topic.as_str(), &shared.limits) {
            return refuse(ReasonCode::TopicNameInvalid);
        }
    }
    let (identity, auth_data) = match trust {
        Trust::Nobody => authenticate(shared, wire, peer, &connect).await?,
        Trust::Process => (Identity::default(), None),
    };
    let client_id: Box<str> = if assigned { shared.assign_client_id() } else { (*connect.client_id).into() };
    if let Some(will) = &connect.will {
        let action = Action::Publish { topic: will.topic.as_str(), qos: will.qos, retain: will.retain };
        if !shared.access.authorize(&identity, &client_id, action) {
            return refuse(ReasonCode::NotAuthorized);
        }
    }
    Ok(Box::new(Accepted { connect, client_id, assigned, identity, auth_data, trust }))
}

/// Asks access control, over as many AUTH packets as it wants.
async fn authenticate<P, R>(
    shared: &Arc<Shared<P>>,
    wire: &mut Wire<R>,
    peer: &Peer,
    connect: &Connect<'static>,
) -> Result<(Identity, Option<bytes::Bytes>), Refusal>
where
    P: Persistence,
    R: AsyncRead + Unpin,
{
    let method = connect.properties.authentication_method();
    let mut data: Option<Vec<u8>> = connect.properties.authentication_data().map(Vec::from);
    let mut remembered: Option<Box<dyn Any + Send>> = None;
    loop {
        let credentials = Credentials {
            peer,
            client_id: &connect.client_id,
            user_name: connect.user_name.as_deref(),
            password: connect.password.as_deref(),
            method,
            data: data.as_deref(),
            state: remembered.take(),
            reauthenticates: None,
        };
        match shared.access.authenticate(credentials).await {
            Verdict::Accept { identity, data } => return Ok((identity, data)),
            Verdict::Refuse(reason) => return Err(Refusal::Connack { version: connect.version, reason }),
            // Only a client that named a method can go on ([MQTT-4.12.0-6]).
            Verdict::Continue { .. } if method.is_none() => {
                let reason = ReasonCode::BadAuthenticationMethod;
                return Err(Refusal::Connack { version: connect.version, reason });
            }
            Verdict::Continue { data: challenge, state } => {
                remembered = Some(state);
                let properties = auth_properties(method, challenge.as_deref());
                wire.send(&Packet::Auth(Auth { reason: ReasonCode::ContinueAuthentication, properties }))
                    .await?;
                data = wire.auth_answer(method).await?;
            }
        }
    }
}
