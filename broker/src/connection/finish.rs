//! The end of a connection: what is said to the client, what is written down, what becomes of session and will. It
//! runs to its end whatever happened to the connection.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use opifex_packet::{Disconnect, ReasonCode, Role, Version};
use opifex_storage::{ErrorKind, Op, Persistence, SessionExpiry, SessionId};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::{End, State};
use crate::filters::Filters;
use crate::ordered::{Ordered, all_durable};
use crate::outbox::{Command, Link};
use crate::pending::Orphan;
use crate::router::Publisher;
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::Tally;
use crate::submission::{Group, submit};
use crate::will;

/// How long a client may take to accept the last bytes.
const LINGER: Duration = Duration::from_millis(500);

/// Counts a connection for as long as it lives, its end included.
pub(crate) struct Counted<P: Persistence>(Arc<Shared<P>>);

impl<P: Persistence> Counted<P> {
    pub(crate) fn new(shared: Arc<Shared<P>>) -> Counted<P> {
        shared.counters.connections.fetch_add(1, Relaxed);
        shared.counters.connections_total.fetch_add(1, Relaxed);
        Counted(shared)
    }
}

impl<P: Persistence> Drop for Counted<P> {
    fn drop(&mut self) {
        self.0.counters.connections.fetch_sub(1, Relaxed);
        self.0.ended.notify_waiters();
    }
}

/// A connection's state that does not get lost: dropped with whatever held it, it ends as if the transport had failed.
pub(super) struct Attended<P: Persistence>(Option<Box<State<P>>>);

impl<P: Persistence> Attended<P> {
    pub(super) fn new(state: State<P>) -> Attended<P> {
        Attended(Some(Box::new(state)))
    }

    /// Ends the connection, in a task of its own: whoever waits for that may stop waiting.
    pub(super) async fn finish(mut self, end: End) {
        if let Some(state) = self.0.take() {
            let _ = tokio::spawn(finish(*state, end)).await;
        }
    }
}

impl<P: Persistence> Deref for Attended<P> {
    type Target = State<P>;

    fn deref(&self) -> &State<P> {
        self.0.as_ref().expect("taken only when it ends")
    }
}

impl<P: Persistence> DerefMut for Attended<P> {
    fn deref_mut(&mut self) -> &mut State<P> {
        self.0.as_mut().expect("taken only when it ends")
    }
}

impl<P: Persistence> Drop for Attended<P> {
    fn drop(&mut self) {
        if let (Some(state), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(finish(*state, End::Abandoned));
        }
    }
}

/// Ends the connection.
async fn finish<P: Persistence>(mut state: State<P>, end: End) {
    let shared = state.shared.clone();
    let session = state.session.clone();
    log_end(&session, &end);
    if end.is_violation() {
        shared.counters.protocol_errors.fetch_add(1, Relaxed);
    }
    if matches!(end, End::Command(Command::Shutdown)) {
        state.settle_acks().await;
    }
    let (submitting, groups) = state.work.take_rest();
    let mut ordered = state.work.take_ordered();
    let (rest, (mut link, orphans)) = {
        let mut outbox = session.outbox.lock();
        session.set_version(None);
        (outbox.take_owner_work(), outbox.detach())
    };
    // Who waited too long for the store does not wait for it any longer.
    if matches!(end, End::Command(Command::StoreTimeout))
        && let Some(link) = link.take()
    {
        say_goodbye(link, state.options.version, &end).await;
    }
    // From submit to the last flush a batch runs to its end.
    if let Some(submitting) = submitting {
        let done = submitting.await;
        ordered.extend(done.ordered);
        if done.error.is_some() {
            session.distrust();
        }
    }
    ordered.extend(state.last_ops(&end, groups, rest.map(|work| work.ops).unwrap_or_default()).await);
    if state.author.is_some() {
        settle(&shared, &session, std::mem::take(&mut ordered)).await;
        if session.is_distrusted() {
            state.undo_unsubscriptions();
            // It may be on record already: then it is the same once more.
            if let Some((id, epoch)) = state.author {
                shared.unrecorded.add(id, epoch, state.last_words(&end));
            }
        }
    }
    if let Some(link) = link {
        say_goodbye(link, state.options.version, &end).await;
    }
    if state.author.is_none() {
        end_session(&shared, &session);
        ordered.extend(hand_on(&shared, orphans).await);
        if let Some(will) = state.will.take()
            && !matches!(end, End::Disconnect { with_will: false })
        {
            let (message, retain) = will::to_publish(&will, shared.now());
            let publisher = Publisher { session: Some(&session) };
            let mut tally = Tally::default();
            let group = shared.route(message, retain, publisher, &mut tally);
            shared.counters.add(&tally);
            ordered.extend(submit(shared.clone(), shared.author(), vec![group]).await.ordered);
        }
    } else if state.expiry == SessionExpiry::WITH_CONNECTION
        && !matches!(end, End::Command(Command::TakenOver))
    {
        end_session(&shared, &session);
    }
    if state.author.is_some() {
        shared.due.notify_one();
    }
    if let Some(seat) = state.seat.take() {
        shared.registry.leave(seat, &session.client_id);
    }
    // Who comes next for a session that owns no record does not wait for it.
    settle(&shared, &session, ordered).await;
}

/// Sees what was ordered to its durability.
async fn settle<P: Persistence>(shared: &Shared<P>, session: &Session, ordered: Vec<Ordered>) {
    if let Err(error) = all_durable(ordered).await {
        session.distrust();
        shared.trouble.note(&error);
        let client_id = &*session.client_id;
        tracing::info!(client_id, %error, "what a connection did last is not on record");
    }
}

impl<P: Persistence> State<P> {
    /// At shutdown: waits for what is under way and sends the acknowledgements that it allows, within a time-out.
    async fn settle_acks(&mut self) {
        let limit = self.shared.limits.shutdown_timeout / 2;
        let wait = poll_fn(|cx| match self.poll_store(cx) {
            Ok(true) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(false) if self.acks.is_empty() => Poll::Ready(()),
            Ok(false) => Poll::Pending,
            Err(_) => Poll::Ready(()),
        });
        let _ = timeout(limit, wait).await;
    }

    /// The store may have the subscriptions whose removal it has not confirmed: until the session is read anew, too much
    /// is queued for it rather than too little.
    fn undo_unsubscriptions(&mut self) {
        for (filter, granted) in self.work.take_unsubscribed() {
            self.shared.router.subscribe(&self.session, &filter, granted);
            self.session.subscriptions.lock().insert(filter.as_str());
        }
    }

    /// How a durable session goes on.
    fn last_words(&self, end: &End) -> Vec<Op> {
        // Who takes the session over decides what becomes of it and of its will.
        if matches!(end, End::Command(Command::TakenOver)) {
            return Vec::new();
        }
        let will = matches!(end, End::Disconnect { with_will: false }).then_some(Op::TakeWill);
        let on = self.author.map(|(id, _)| goes_on(id, self.expiry)).unwrap_or_default();
        will.into_iter().chain(on).collect()
    }

    /// The last batch of a durable session's connection: what was not written yet, and how the session goes on.
    async fn last_ops(&mut self, end: &End, groups: Vec<Group>, rest: Vec<Op>) -> Vec<Ordered> {
        let mut groups = groups;
        if self.author.is_none() {
            return match groups.is_empty() {
                true => Vec::new(),
                false => submit(self.shared.clone(), self.author(), groups).await.ordered,
            };
        }
        let mut ops = rest;
        ops.extend(self.last_words(end));
        groups.push(Group::of_ops(ops));
        let done = submit(self.shared.clone(), self.author(), groups).await;
        if let Some(error) = done.error {
            self.session.distrust();
            if error.kind() != ErrorKind::Fenced {
                let client_id = &*self.session.client_id;
                self.shared.trouble.note(&error);
                tracing::info!(client_id, %error, "a connection's end is not on record");
            }
        }
        done.ordered
    }
}

/// What a session that loses its connection does: it goes offline, or ends.
pub(crate) fn goes_on(id: SessionId, expiry: SessionExpiry) -> Vec<Op> {
    match expiry {
        SessionExpiry::WITH_CONNECTION => vec![Op::EndSession(id)],
        _ => vec![Op::SetExpiry(expiry), Op::GoOffline],
    }
}

/// Removes a session that is over from routing and registry.
pub(crate) fn end_session<P: Persistence>(shared: &Shared<P>, session: &Arc<Session>) {
    session.set_ended();
    let filters = std::mem::take(&mut *session.subscriptions.lock());
    remove_subscriptions(shared, session, &filters);
    shared.registry.remove(session);
}

/// Takes a session's filters out of routing.
pub(crate) fn remove_subscriptions<P: Persistence>(
    shared: &Shared<P>,
    session: &Arc<Session>,
    filters: &Filters,
) {
    for filter in filters.iter() {
        if let Ok(filter) = opifex_packet::TopicFilter::without_share_rules(filter) {
            shared.router.unsubscribe(session, &filter);
        }
    }
}

/// Messages of shared subscriptions go to another member.
async fn hand_on<P: Persistence>(shared: &Arc<Shared<P>>, orphans: Vec<Orphan>) -> Vec<Ordered> {
    let mut tally = Tally::default();
    let groups: Vec<Group> = orphans
        .iter()
        .filter_map(|orphan| shared.choose_again(&orphan.message, &orphan.share, &mut tally))
        .collect();
    shared.counters.add(&tally);
    match groups.is_empty() {
        true => Vec::new(),
        false => submit(shared.clone(), shared.author(), groups).await.ordered,
    }
}

/// Sends DISCONNECT where the version and the reason call for it, and closes the write half.
async fn say_goodbye(mut link: Link, version: Version, end: &End) {
    let said = match end {
        End::Violation(violation) => Some((violation.reason, violation.message)),
        End::Command(command) => Some((command.reason(), command.words())),
        End::Store(reason) => Some((*reason, "the store failed")),
        End::Disconnect { .. } | End::Closed(_) | End::Abandoned => None,
    };
    // Only 5.0 has a DISCONNECT from the server.
    if let (Version::V5_0, Some((reason, words))) = (version, said) {
        link.append_explained(Disconnect::new(in_disconnect(reason)).into(), words);
    }
    // A transport whose rules were broken may have something to say of that.
    if matches!(end, End::Closed(Some(_)) | End::Abandoned) && !end.is_violation() {
        return;
    }
    let close = poll_fn(|cx| link.outlet.poll_shutdown(cx));
    let _ = timeout(LINGER, close).await;
}

/// What DISCONNECT can say of it: some reasons only CONNACK has.
fn in_disconnect(reason: ReasonCode) -> ReasonCode {
    match reason {
        _ if Disconnect::can_say(reason, Role::Client) => reason,
        // Of a second CONNECT.
        ReasonCode::UnsupportedProtocolVersion | ReasonCode::ClientIdentifierNotValid => {
            ReasonCode::ProtocolError
        }
        // Of a re-authentication that was refused.
        ReasonCode::BadUserNameOrPassword | ReasonCode::BadAuthenticationMethod | ReasonCode::Banned => {
            ReasonCode::NotAuthorized
        }
        ReasonCode::ServerUnavailable => ReasonCode::ServerBusy,
        _ => ReasonCode::UnspecifiedError,
    }
}

fn log_end(session: &Session, end: &End) {
    let client_id = &*session.client_id;
    match end {
        End::Violation(violation) => {
            tracing::info!(client_id, reason = %violation.reason, "disconnected for {}", violation.message);
        }
        End::Store(reason) => tracing::info!(client_id, %reason, "disconnected: the store failed"),
        End::Command(Command::KeepAliveTimeout) => {
            tracing::info!(client_id, "disconnected: keep alive time-out")
        }
        End::Closed(Some(error)) if end.is_violation() => {
            tracing::info!(client_id, "disconnected for breaking a rule of its transport: {error}");
        }
        End::Closed(Some(error)) => tracing::debug!(client_id, %error, "connection lost"),
        End::Disconnect { .. } | End::Closed(None) | End::Command(_) | End::Abandoned => {
            tracing::debug!(client_id, ?end, "disconnected");
        }
    }
}
