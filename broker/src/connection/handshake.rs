//! From the first byte to CONNACK: CONNECT, authentication, takeover, the session's open. Nothing but CONNECT and AUTH
//! is looked at here, and everything here is freed when the connection goes on.

use std::any::Any;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use hashbrown::HashSet;
use opifex_connection::{Flush, Inbox, Outlet, Read};
use opifex_packet::{
    Auth, Connack, Connect, DecodeOptions, Decoded, Packet, PacketType, Properties, Property, QoS,
    ReasonCode, Role, Version, connect_version, decode,
};
use opifex_storage::{
    Author, Batch, NewWill, Op, OpenSession, OpenedSession, PageLimit, Persistence, Seq, SessionExpiry,
    StoreError,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::acks::PendingAck;
use super::aliases::IncomingAliases;
use super::authenticate::auth_properties;
use super::finish::{Counted, end_session};
use super::store_work::StoreWork;
use super::{Connection, State};
use crate::access::{Action, Credentials, Identity, Peer, Verdict};
use crate::outbox::{DurableQueue, Link, OutgoingAliases};
use crate::registry::Seat;
use crate::router::Grant;
use crate::session::Session;
use crate::shared::{Shared, too_many_levels};
use crate::will;

/// How long a refused client may take to accept the refusal.
const LINGER: Duration = Duration::from_millis(500);

/// Why no connection came about.
enum Refusal {
    /// The transport ended, or said nothing that could be answered.
    Silent,
    /// CONNACK says why.
    Connack { version: Version, reason: ReasonCode },
}

/// The transport before there is a session.
struct Wire<R> {
    reader: R,
    inbox: Inbox,
    outlet: Outlet,
    options: DecodeOptions,
    /// The version that CONNECT agreed on, once it has come.
    agreed: Option<Version>,
}

/// Takes a connection to its CONNACK. `None`: it did not come so far; whoever is there was told why.
pub(crate) async fn handshake<P, R, W>(
    shared: Arc<Shared<P>>,
    reader: R,
    writer: W,
    peer: Peer,
) -> Option<Connection<P, R>>
where
    P: Persistence,
    R: AsyncRead + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let counted = Counted::new(shared.clone());
    if shared.is_stopping() || !shared.access.admit(&peer) {
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
    };
    let stopped = shared.stop.notified();
    let connect = timeout(shared.limits.connect_timeout, accept(&shared, &mut wire, &peer));
    let connect = tokio::select! {
        connect = connect => connect,
        () = stopped => Ok(Err(Refusal::Silent)),
    };
    let refusal = match connect {
        Err(_) => Refusal::Silent,
        Ok(Err(refusal)) => refusal,
        Ok(Ok(accepted)) => match open(&shared, &mut wire, accepted, peer, counted).await {
            Ok(state) => {
                let Wire { reader, inbox, .. } = wire;
                return Some(Connection { reader, inbox, state });
            }
            Err(refusal) => refusal,
        },
    };
    shared.counters.refused.fetch_add(1, Relaxed);
    let _ = timeout(LINGER, wire.refuse(refusal)).await;
    None
}

/// A CONNECT that was let in.
struct Accepted {
    connect: Connect<'static>,
    client_id: Box<str>,
    assigned: bool,
    identity: Identity,
    auth_data: Option<bytes::Bytes>,
}

/// CONNECT and what it takes to be let in.
async fn accept<P, R>(shared: &Arc<Shared<P>>, wire: &mut Wire<R>, peer: &Peer) -> Result<Accepted, Refusal>
where
    P: Persistence,
    R: AsyncRead + Unpin,
{
    let connect = match wire.receive().await? {
        Packet::Connect(connect) => connect,
        // [MQTT-3.1.0-1]
        _ => return Err(Refusal::Silent),
    };
    let version = connect.version;
    wire.options.version = version;
    wire.agreed = Some(version);
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
    let (identity, auth_data) = authenticate(shared, wire, peer, &connect).await?;
    let client_id: Box<str> = if assigned { shared.assign_client_id() } else { (*connect.client_id).into() };
    if let Some(will) = &connect.will {
        let action = Action::Publish { topic: will.topic.as_str(), qos: will.qos, retain: will.retain };
        if !shared.access.authorize(&identity, &client_id, action) {
            return refuse(ReasonCode::NotAuthorized);
        }
    }
    Ok(Accepted { connect, client_id, assigned, identity, auth_data })
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

/// Takes the client's seat and opens its session.
async fn open<P, R>(
    shared: &Arc<Shared<P>>,
    wire: &mut Wire<R>,
    accepted: Accepted,
    peer: Peer,
    counted: Counted<P>,
) -> Result<State<P>, Refusal>
where
    P: Persistence,
    R: AsyncRead + Unpin,
{
    let Accepted { connect, client_id, assigned, identity, auth_data } = accepted;
    let version = connect.version;
    let refuse = |reason| Refusal::Connack { version, reason };
    // [MQTT-3.1.4-3] of 5.0: whoever has the client id is told to go, and is gone when the seat is ours.
    let seat = shared.registry.sit(&client_id).await;
    let known = seat.client.session().filter(|session| !session.has_ended());
    if known.is_none() && shared.registry.len() >= shared.limits.max_sessions {
        shared.registry.leave(seat, &client_id);
        return Err(refuse(ReasonCode::QuotaExceeded));
    }
    let asked = match (version.is_v5(), connect.clean_start) {
        (true, _) => shared.session_expiry(connect.properties.session_expiry_interval().unwrap_or(0)),
        (false, true) => SessionExpiry::WITH_CONNECTION,
        (false, false) => shared.session_expiry(u32::MAX),
    };
    let new_will = connect.will.as_ref().map(will::from_connect);
    let stored = known.as_ref().is_some_and(|session| session.stored.is_some());
    let durable = asked != SessionExpiry::WITH_CONNECTION || (stored && !connect.clean_start);
    let opened = if durable {
        open_durable(shared, &connect, &client_id, asked, new_will.clone(), known).await
    } else {
        open_transient(shared, &client_id, known).await
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            tracing::warn!(client_id = &*client_id, %error, "a session could not be opened");
            shared.registry.leave(seat, &client_id);
            return Err(refuse(match error.kind() {
                opifex_storage::ErrorKind::Full => ReasonCode::QuotaExceeded,
                _ => ReasonCode::ServerUnavailable,
            }));
        }
    };
    let will = if opened.author.is_none() { new_will.map(Box::new) } else { None };
    let state = State {
        session: opened.session,
        seat: Some(seat),
        author: opened.author,
        identity: Arc::new(identity),
        options: DecodeOptions {
            version,
            max_packet_size: shared.limits.max_packet_size as usize,
            role: Role::Server,
        },
        auth_method: connect.properties.authentication_method().map(Box::from),
        auth_state: None,
        authenticating: false,
        expiry: asked,
        will,
        aliases: IncomingAliases::default(),
        inbound: opened.inbound,
        acks: std::collections::VecDeque::<PendingAck>::new(),
        unacknowledged: 0,
        acks_made: 0,
        work: StoreWork::at_start(),
        shared: shared.clone(),
        peer,
        _counted: counted,
    };
    let connack = connack(shared, &connect, &state, assigned, opened.present, auth_data);
    attach(shared, wire, &connect, &state, connack);
    Ok(state)
}

/// A session that is ready for its connection.
struct Opened {
    session: Arc<Session>,
    author: Option<(opifex_storage::SessionId, opifex_storage::Epoch)>,
    present: bool,
    inbound: HashSet<opifex_packet::PacketId>,
}

/// Opens a session in the store, and finds or makes the one in memory.
async fn open_durable<P: Persistence>(
    shared: &Arc<Shared<P>>,
    connect: &Connect<'_>,
    client_id: &str,
    expiry: SessionExpiry,
    will: Option<NewWill>,
    known: Option<Arc<Session>>,
) -> Result<Opened, StoreError> {
    let open = OpenSession {
        client_id: client_id.into(),
        clean_start: connect.clean_start,
        expiry,
        will,
        durability: shared.durability,
        now: shared.now(),
    };
    let opened: OpenedSession = shared.store.open_session(open).await?;
    if opened.will_due || opened.ended.is_some() {
        shared.due.notify_one();
    }
    let id = opened.session.id;
    let session = match known {
        Some(session) if session.stored == Some(id) => session,
        other => {
            if let Some(former) = other {
                end_session(shared, &former);
            }
            // One that another process or node has left is read from its beginning.
            let queue = match opened.present {
                true => DurableQueue::recovered(opened.session.next_seq),
                false => DurableQueue::fresh(opened.session.next_seq),
            };
            let session = Session::durable(client_id.into(), id, queue);
            shared.registry.install(client_id, session.clone());
            for subscription in &opened.subscriptions {
                let grant =
                    Grant { options: subscription.options, identifier: subscription.identifier.unwrap_or(0) };
                shared.router.subscribe(&session, &subscription.filter, grant);
                session.subscriptions.lock().insert(subscription.filter.as_str().into());
            }
            session
        }
    };
    if session.outbox.lock().needs_reservation() {
        reserve_ids(shared, &session, id).await?;
    }
    Ok(Opened {
        session,
        author: Some((id, opened.session.epoch)),
        present: opened.present,
        inbound: opened.inbound.into_iter().collect(),
    })
}

/// Before a session of an earlier process sends anything, the packet ids that it has in flight are set aside. They
/// belong to entries at the front of its queue: entries are sent in order.
async fn reserve_ids<P: Persistence>(
    shared: &Arc<Shared<P>>,
    session: &Session,
    id: opifex_storage::SessionId,
) -> Result<(), StoreError> {
    let mut after = Seq::ZERO;
    let mut seen = 0;
    while seen < usize::from(u16::MAX) {
        let page = shared.store.queue(id, after, PageLimit::items(256)).await?;
        let Some(last) = page.items.last() else { break };
        after = last.seq;
        seen += page.items.len();
        let in_flight = session.outbox.lock().reserve_ids(&page);
        if !page.more || (!in_flight && seen > usize::from(shared.limits.max_inflight)) {
            break;
        }
    }
    session.outbox.lock().reserved();
    Ok(())
}

/// A session of this connection alone; a stored one ends, durably, before CONNACK.
async fn open_transient<P: Persistence>(
    shared: &Arc<Shared<P>>,
    client_id: &str,
    known: Option<Arc<Session>>,
) -> Result<Opened, StoreError> {
    if let Some(former) = known {
        if let Some(id) = former.stored {
            let batch = Batch::new(Author::Broker, shared.durability, shared.now()).with(Op::EndSession(id));
            shared.store.submit(batch).await?.durable().await?;
            shared.due.notify_one();
        }
        end_session(shared, &former);
    }
    let session = Session::transient(client_id.into());
    shared.registry.install(client_id, session.clone());
    Ok(Opened { session, author: None, present: false, inbound: HashSet::new() })
}

/// What CONNACK says beyond "yes" (5.0).
fn connack<P: Persistence>(
    shared: &Shared<P>,
    connect: &Connect<'_>,
    state: &State<P>,
    assigned: bool,
    present: bool,
    auth_data: Option<bytes::Bytes>,
) -> Connack<'static> {
    let mut properties = Properties::new();
    if state.options.version.is_v5() {
        let limits = &shared.limits;
        properties = auth_properties(connect.properties.authentication_method(), auth_data.as_deref());
        let granted = match state.expiry {
            SessionExpiry::Secs(secs) => secs,
            SessionExpiry::Never => u32::MAX,
        };
        if granted != connect.properties.session_expiry_interval().unwrap_or(0) {
            properties.push(Property::SessionExpiryInterval(granted));
        }
        properties.push(Property::ReceiveMaximum(limits.receive_maximum));
        match limits.max_qos {
            QoS::AtMostOnce => properties.push(Property::MaximumQoS(0)),
            QoS::AtLeastOnce => properties.push(Property::MaximumQoS(1)),
            QoS::ExactlyOnce => {}
        }
        if !limits.retain_available {
            properties.push(Property::RetainAvailable(false));
        }
        properties.push(Property::MaximumPacketSize(limits.max_packet_size));
        if assigned {
            properties.push(Property::AssignedClientIdentifier(&state.session.client_id));
        }
        properties.push(Property::TopicAliasMaximum(limits.topic_alias_maximum));
        if !limits.wildcard_subscriptions {
            properties.push(Property::WildcardSubscriptionAvailable(false));
        }
        if !limits.shared_subscriptions {
            properties.push(Property::SharedSubscriptionAvailable(false));
        }
        let keep_alive = keep_alive_secs(connect, limits.max_keep_alive_secs);
        if keep_alive != connect.keep_alive_secs {
            properties.push(Property::ServerKeepAlive(keep_alive));
        }
    }
    Connack { session_present: present, reason: ReasonCode::Success, properties }
}

/// The keep-alive that holds: the client's, or ours where it is 5.0 and asks for more than we grant.
fn keep_alive_secs(connect: &Connect<'_>, cap: u16) -> u16 {
    let asked = connect.keep_alive_secs;
    if cap != 0 && connect.version.is_v5() && (asked == 0 || asked > cap) { cap } else { asked }
}

/// Puts the connection under the session: from here on others send to it. CONNACK is the first packet out
/// ([MQTT-3.2.0-1]).
fn attach<P: Persistence, R>(
    shared: &Shared<P>,
    wire: &mut Wire<R>,
    connect: &Connect<'_>,
    state: &State<P>,
    connack: Connack<'static>,
) {
    let properties = &connect.properties;
    let limits = &shared.limits;
    let outlet = std::mem::replace(&mut wire.outlet, Outlet::new(Box::new(tokio::io::empty())));
    let mut link = Link {
        outlet,
        version: connect.version,
        max_packet_size: properties.maximum_packet_size().unwrap_or(u32::MAX),
        window: properties.receive_maximum().unwrap_or(u16::MAX).min(limits.max_inflight),
        outstanding: 0,
        aliases: OutgoingAliases::new(
            properties.topic_alias_maximum().unwrap_or(0).min(limits.max_outgoing_topic_aliases),
        ),
        touched: false,
        command: None,
        identity: state.identity.clone(),
    };
    link.append(&Packet::Connack(connack));
    let session = &state.session;
    // [MQTT-3.1.2-22]: one and a half times the keep-alive.
    let keep_alive = u32::from(keep_alive_secs(connect, limits.max_keep_alive_secs));
    session.silence_limit_secs.store((keep_alive * 3).div_ceil(2), Relaxed);
    session.store_wait_since_secs.store(0, Relaxed);
    session.last_seen_secs.store(shared.clock.tick_secs_at(shared.now()), Relaxed);
    let mut outbox = session.outbox.lock();
    outbox.link = Some(link);
    session.set_version(Some(connect.version));
    // Somebody else took the seat's queue while we were on our way: the session is theirs.
    let contested = state.seat.as_ref().is_some_and(|seat: &Seat| seat.client.is_contested());
    if let (true, Some(link)) = (contested, &mut outbox.link) {
        link.command(crate::outbox::Command::TakenOver);
    }
    if let (true, Some(link)) = (shared.is_stopping(), &mut outbox.link) {
        link.command(crate::outbox::Command::Shutdown);
    }
}

impl<R: AsyncRead + Unpin> Wire<R> {
    /// The next packet, owned.
    async fn receive(&mut self) -> Result<Packet<'static>, Refusal> {
        loop {
            let (options, agreed) = (self.options, self.agreed);
            let waiting = self.inbox.take_waiting(|bytes| take_one(bytes, &options, agreed));
            let taken = match waiting {
                Some(Ok(None)) | None => {
                    let (inbox, reader) = (&mut self.inbox, &mut self.reader);
                    let read =
                        poll_fn(|cx| inbox.poll_read(cx, reader, |bytes| take_one(bytes, &options, agreed)))
                            .await;
                    match read {
                        Ok(Read::Taken { value, .. }) => value,
                        Ok(Read::Closed { .. }) | Err(_) => return Err(Refusal::Silent),
                    }
                }
                Some(taken) => taken,
            };
            if let Some(packet) = taken? {
                return Ok(packet);
            }
        }
    }

    /// The client's answer in an AUTH exchange: the data that it brings. What is no answer is refused by CONNACK: before
    /// it there is no DISCONNECT ([MQTT-3.14.0-1]).
    async fn auth_answer(&mut self, method: Option<&str>) -> Result<Option<Vec<u8>>, Refusal> {
        match self.receive().await? {
            Packet::Auth(auth)
                // [MQTT-4.12.0-5]
                if auth.reason == ReasonCode::ContinueAuthentication
                    && auth.properties.authentication_method() == method =>
            {
                Ok(auth.properties.authentication_data().map(Vec::from))
            }
            Packet::Disconnect(_) => Err(Refusal::Silent),
            _ => Err(Refusal::Connack { version: self.options.version, reason: ReasonCode::ProtocolError }),
        }
    }

    async fn send(&mut self, packet: &Packet<'_>) -> Result<(), Refusal> {
        let version = self.options.version;
        self.outlet.append_with(|buffer| packet.encode(version, buffer));
        poll_fn(|cx| match self.outlet.flush_as_owner(cx) {
            Flush::Drained => Poll::Ready(Ok(())),
            Flush::Blocked => Poll::Pending,
            Flush::Failed(_) => Poll::Ready(Err(Refusal::Silent)),
        })
        .await
    }

    /// Says why, and closes.
    async fn refuse(&mut self, refusal: Refusal) {
        let packet = match refusal {
            Refusal::Silent => None,
            Refusal::Connack { version, reason } => {
                self.options.version = version;
                let said = version.is_v5() || reason.connect_return_code().is_some();
                let reason = if said { reason } else { ReasonCode::ServerUnavailable };
                Some(Packet::Connack(Connack {
                    session_present: false,
                    reason,
                    properties: Properties::new(),
                }))
            }
        };
        if let Some(packet) = packet
            && self.send(&packet).await.is_err()
        {
            return;
        }
        let _ = poll_fn(|cx| self.outlet.poll_shutdown(cx)).await;
    }
}

/// Takes the first packet, if it is whole.
fn take_one(
    bytes: &[u8],
    options: &DecodeOptions,
    agreed: Option<Version>,
) -> (usize, Result<Option<Packet<'static>>, Refusal>) {
    // [MQTT-3.1.0-1]: of anything but CONNECT the first byte is enough.
    if let (None, Some(&first_byte)) = (agreed, bytes.first())
        && PacketType::of(first_byte) != Some(PacketType::Connect)
    {
        return (bytes.len(), Err(Refusal::Silent));
    }
    match decode(bytes, options) {
        Ok(Decoded::Packet { packet, len }) => (len, Ok(Some(packet.into_owned()))),
        Ok(Decoded::Incomplete { .. }) => (0, Ok(None)),
        Err(error) => {
            tracing::debug!(%error, "malformed packet before CONNECT was accepted");
            let refusal = match (error.is_unsupported_version(), agreed.or_else(|| connect_version(bytes))) {
                // [MQTT-3.1.2-2]: a higher level than ours is told in the form of 5.0, a lower one in that of 3.x.
                (Some(level), _) => Refusal::Connack {
                    version: if level > Version::V5_0.level() { Version::V5_0 } else { Version::V3_1_1 },
                    reason: ReasonCode::UnsupportedProtocolVersion,
                },
                // [MQTT-3.1.4-1]: 3.x closes without a word, 5.0 may say why.
                (None, Some(Version::V5_0)) => {
                    Refusal::Connack { version: Version::V5_0, reason: error.reason() }
                }
                (None, _) => Refusal::Silent,
            };
            (bytes.len(), Err(refusal))
        }
    }
}
