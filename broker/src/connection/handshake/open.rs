//! A CONNECT that was let in takes its client's seat, opens the session and is put under it.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::HashSet;
use opifex_packet::{
    Connack, Connect, DecodeOptions, Packet, PacketId, Properties, Property, QoS, ReasonCode, Role, Version,
};
use opifex_storage::{
    Author, Batch, Epoch, ErrorKind, NewWill, Op, OpenSession, OpenedSession, PageLimit, Persistence, Seq,
    SessionExpiry, SessionId, StoreError, SubscriptionRecord,
};

use super::wire::{Refusal, Wire};
use super::{Accepted, Trust};
use crate::access::Peer;
use crate::connection::aliases::IncomingAliases;
use crate::connection::authenticate::auth_properties;
use crate::connection::finish::{Attended, Counted, end_session, goes_on, remove_subscriptions};
use crate::connection::store_work::StoreWork;
use crate::connection::{Connection, State};
use crate::outbox::{Command, DurableQueue, Link, OutgoingAliases};
use crate::reason;
use crate::registry::Seat;
use crate::router::Grant;
use crate::session::Session;
use crate::shared::Shared;
use crate::will;

/// An open session whose connection is still to be put under it.
pub(super) struct Ready<P: Persistence> {
    state: Attended<P>,
    connect: Connect<'static>,
    connack: Connack<'static>,
}

/// Takes the client's seat and opens its session.
pub(super) async fn open<P: Persistence>(
    shared: Arc<Shared<P>>,
    accepted: Accepted,
    peer: Peer,
    counted: Counted<P>,
) -> Result<Ready<P>, Refusal> {
    let shared = &shared;
    let Accepted { connect, client_id, assigned, identity, auth_data, trust } = accepted;
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
    let connack = connack(shared, &connect, asked, assigned.then_some(&*client_id), auth_data.as_deref());
    let max_packet_size = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
    let Some(connack) = within(connack, version, max_packet_size) else {
        shared.registry.leave(seat, &client_id);
        return Err(refuse(ReasonCode::PacketTooLarge));
    };
    let new_will = connect.will.as_ref().map(will::from_connect);
    let stored = known.as_ref().is_some_and(|session| session.stored.is_some());
    let durable = asked != SessionExpiry::WITH_CONNECTION || (stored && !connect.clean_start);
    let opened = if durable {
        open_durable(shared, &connect, &client_id, asked, new_will.clone(), known).await
    } else {
        open_transient(shared, &client_id, trust, known).await
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            shared.trouble.note(&error);
            tracing::info!(client_id = &*client_id, %error, "a session could not be opened");
            shared.registry.leave(seat, &client_id);
            return Err(refuse(match error.kind() {
                ErrorKind::Full => ReasonCode::QuotaExceeded,
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
        max_packet_size,
        reasons: reason::wanted(&shared.limits, &connect.properties),
        auth_method: connect.properties.authentication_method().map(Box::from),
        auth_state: None,
        authenticating: false,
        expiry: asked,
        will,
        aliases: IncomingAliases::default(),
        inbound: opened.inbound,
        acks: Default::default(),
        unacknowledged: 0,
        acks_made: 0,
        work: StoreWork::at_start(),
        shared: shared.clone(),
        peer,
        _counted: counted,
    };
    let connack = Connack { session_present: opened.present, ..connack };
    Ok(Ready { state: Attended::new(state), connect, connack })
}

/// A session that is ready for its connection.
struct Opened {
    session: Arc<Session>,
    author: Option<(SessionId, Epoch)>,
    present: bool,
    inbound: HashSet<PacketId>,
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
    // Before the open: what fails from here on is not in what it reads.
    let distrusted = known.as_ref().is_some_and(|session| session.take_distrust());
    let opened: OpenedSession = match shared.store.open_session(open).await {
        Ok(opened) => opened,
        Err(error) => {
            known.filter(|_| distrusted).inspect(|session| session.distrust());
            return Err(error);
        }
    };
    shared.damage.note(&opened.damaged);
    if opened.will_due || opened.ended.is_some() {
        shared.due.notify_one();
    }
    let id = opened.session.id;
    let session = match known {
        Some(session) if session.stored == Some(id) => {
            if distrusted {
                session.outbox.lock().reload(DurableQueue::recovered(opened.session.next_seq));
                reload_subscriptions(shared, &session, &opened.subscriptions);
            }
            session
        }
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
            reload_subscriptions(shared, &session, &opened.subscriptions);
            session
        }
    };
    let needs_reservation = session.outbox.lock().needs_reservation();
    if needs_reservation && let Err(error) = reserve_ids(shared, &session, id).await {
        // The store has it online, with a will: neither is so.
        session.distrust();
        let ops = std::iter::once(Op::TakeWill).chain(goes_on(id, expiry)).collect();
        shared.unrecorded.add(id, opened.session.epoch, ops);
        shared.due.notify_one();
        return Err(error);
    }
    Ok(Opened {
        session,
        author: Some((id, opened.session.epoch)),
        present: opened.present,
        inbound: opened.inbound.into_iter().collect(),
    })
}

/// Makes routing know what the store knows, and nothing else.
fn reload_subscriptions<P: Persistence>(
    shared: &Shared<P>,
    session: &Arc<Session>,
    stored: &[SubscriptionRecord],
) {
    let mut former = std::mem::take(&mut *session.subscriptions.lock());
    for subscription in stored {
        let grant = Grant { options: subscription.options, identifier: subscription.identifier.unwrap_or(0) };
        shared.router.subscribe(session, &subscription.filter, grant);
        former.remove(subscription.filter.as_str());
        session.subscriptions.lock().insert(subscription.filter.as_str());
    }
    remove_subscriptions(shared, session, &former);
}

/// Before a session of an earlier process sends anything, the packet ids that it has in flight are set aside. They
/// belong to entries at the front of its queue: entries are sent in order.
async fn reserve_ids<P: Persistence>(
    shared: &Arc<Shared<P>>,
    session: &Session,
    id: SessionId,
) -> Result<(), StoreError> {
    let mut after = Seq::ZERO;
    let mut seen = 0;
    while seen < usize::from(u16::MAX) {
        let page = shared.store.queue(id, after, PageLimit::items(256)).await?;
        shared.damage.note(&page.damaged);
        after = page.final_up_to;
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
    trust: Trust,
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
    let session = Session::transient(client_id.into(), trust == Trust::Process);
    shared.registry.install(client_id, session.clone());
    Ok(Opened { session, author: None, present: false, inbound: HashSet::new() })
}

/// CONNACK with what it says beyond "yes" (5.0): all but whether the session was there.
fn connack<P: Persistence>(
    shared: &Shared<P>,
    connect: &Connect<'_>,
    expiry: SessionExpiry,
    assigned: Option<&str>,
    auth_data: Option<&[u8]>,
) -> Connack<'static> {
    let mut properties = Properties::new();
    if connect.version.is_v5() {
        let limits = &shared.limits;
        properties = auth_properties(connect.properties.authentication_method(), auth_data);
        let granted = match expiry {
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
        if let Some(client_id) = assigned {
            properties.push(Property::AssignedClientIdentifier(client_id));
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
    Connack { session_present: false, reason: ReasonCode::Success, properties }
}

/// The keep-alive that holds: the client's, or ours where it is 5.0 and asks for more than we grant.
fn keep_alive_secs(connect: &Connect<'_>, cap: u16) -> u16 {
    let asked = connect.keep_alive_secs;
    if cap != 0 && connect.version.is_v5() && (asked == 0 || asked > cap) { cap } else { asked }
}

/// A CONNACK that the client can take ([MQTT-3.1.2-24] of 5.0). That we take topic aliases may stay unsaid; whoever is
/// not told one of the others goes wrong sooner or later, and is refused.
fn within(connack: Connack<'static>, version: Version, max_packet_size: u32) -> Option<Connack<'static>> {
    let fits = |connack: &Connack<'static>| {
        Packet::Connack(connack.clone()).encoded_len(version) <= max_packet_size as usize
    };
    if fits(&connack) {
        return Some(connack);
    }
    let needed = |property: &Property<'_>| !matches!(property, Property::TopicAliasMaximum(_));
    let shorter = Connack { properties: connack.properties.retain(needed), ..connack };
    fits(&shorter).then_some(shorter)
}

impl<P: Persistence> Ready<P> {
    /// Puts the connection under the session: from here on others send to it. CONNACK is the first packet out
    /// ([MQTT-3.2.0-1]).
    pub(super) fn attach<R>(self, shared: &Shared<P>, wire: Wire<R>) -> Connection<P, R> {
        let Ready { state, connect, connack } = self;
        let properties = &connect.properties;
        let limits = &shared.limits;
        let Wire { reader, inbox, outlet, .. } = wire;
        let mut link = Link {
            outlet,
            version: connect.version,
            max_packet_size: state.max_packet_size,
            reasons: state.reasons,
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
        let keep_alive = u32::from(keep_alive_secs(&connect, limits.max_keep_alive_secs));
        session.silence_limit_secs.store((keep_alive * 3).div_ceil(2), Relaxed);
        session.store_wait_since_secs.store(0, Relaxed);
        session.last_seen_secs.store(shared.clock.tick_secs_at(shared.now()), Relaxed);
        let mut outbox = session.outbox.lock();
        outbox.link = Some(link);
        session.set_version(Some(connect.version));
        // Somebody else took the seat's queue while we were on our way: the session is theirs.
        let contested = state.seat.as_ref().is_some_and(|seat: &Seat| seat.client.is_contested());
        if let (true, Some(link)) = (contested, &mut outbox.link) {
            link.command(Command::TakenOver);
        }
        if let (true, Some(link)) = (shared.is_stopping(), &mut outbox.link) {
            link.command(Command::Shutdown);
        }
        if let (true, Some(link)) = (session.is_distrusted(), &mut outbox.link) {
            link.command(Command::StoreFailed);
        }
        drop(outbox);
        Connection { reader, inbox, state }
    }
}
