//! The task behind a client's handles: owns machine, transport and store, and is woken by whatever there is to do.
//!
//! ```text
//!            +--------------------- back-off <-----------------+
//!            v                                                 | worth another attempt
//!   dial --------> connection (one poll function) ----> lost --+----> end
//!     |  failed        commands -> machine -> transport        |
//!     +---------> lost transport -> machine -> streams, slots  | not worth it, asked for, nobody left
//! ```
//! A wake-up takes all commands, reads all that is there, hands on all that has happened, and writes once. Nothing is
//! spawned and no timer is set for a message.

mod asks;
mod commands;
mod ending;
mod events;
mod leaving;
mod link;
mod requests;
mod responses;
mod routes;
mod timer;
mod unclaimed;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hashbrown::HashMap;
use tokio::sync::broadcast;

use crate::connector::BoxedTransport;
use crate::handle::authenticator::Authenticator;
use crate::handle::builder::{BegunStream, Builder};
use crate::handle::queue::{Command, Shared};
use crate::handle::slots::{Answer, SlotId};
use crate::handle::status::Status;
use crate::machine::{Machine, after, earlier};
use crate::store::SessionStore;
use crate::{AckToken, Cause, Connector, Error, Reconnect, Token};

use asks::Asks;
use leaving::Leaving;
use link::{Link, Step};
use responses::Responses;
use routes::{Fill, Routes};
use timer::{Timer, now};

/// Rounds of one poll before other tasks have their turn.
const ROUNDS: usize = 16;
/// Bytes in the transport's buffer, beyond which nothing is read that would have to be answered.
const MAX_UNWRITTEN: usize = 4 * 1024 * 1024;
/// How long a client that nobody holds any more, or that says good-bye, goes on writing, and a transport closes.
const FAREWELL: Duration = Duration::from_secs(5);

/// Who waits for the end of a message.
#[derive(Copy, Clone, Debug)]
enum Waits {
    Publisher(SlotId),
    Requester(u64),
}

pub(crate) struct Driver {
    shared: Arc<Shared>,
    machine: Machine<Box<dyn SessionStore + Send>>,
    connector: Box<dyn Connector>,
    authenticator: Option<Box<dyn Authenticator>>,
    reconnect: Reconnect,
    statuses: broadcast::Sender<Status>,
    response_timeout: Duration,
    write_timeout: Duration,
    unclaimed_timeout: Duration,

    /// Commands that the machine has no room for yet.
    backlog: VecDeque<Command>,
    acks: Vec<AckToken>,
    answers: Vec<(SlotId, Result<Answer, Error>)>,
    wakers: Vec<Waker>,
    deliveries: HashMap<Token, Waits>,
    /// QoS 0 messages that the machine has and the transport has not.
    unwritten: Vec<SlotId>,
    asks: Asks,
    routes: Routes,
    /// Streams are full, and more is read for the sake of an answer.
    reads_on: bool,
    responses: Option<Responses>,
    reauthenticating: Option<SlotId>,
    connected: Option<SlotId>,
    /// Whether there was a connection at all.
    was_connected: bool,
    /// Connections in a row that were of no use, or none.
    attempt: u32,
    /// When the server accepted the last one.
    accepted: Option<Instant>,
    leaving: Option<Leaving>,
    cause: Option<Cause>,
    timer: Timer,
    /// What there is to write has waited for a turn.
    put_off: bool,
}

impl Driver {
    pub(crate) fn new(
        mut builder: Builder,
        connector: Box<dyn Connector>,
        shared: Arc<Shared>,
        statuses: broadcast::Sender<Status>,
    ) -> Result<Self, Error> {
        let mut options = builder.options.clone();
        // The driver acknowledges when a message is taken from its stream.
        options.manual_acks = true;
        let response_timeout = options.response_timeout;
        let mut routes = Routes::new(Arc::clone(&shared), builder.unread_bytes);
        for BegunStream { subscriptions, properties, inbound } in builder.begun.streams.drain(..) {
            routes.add(subscriptions, properties, inbound, 0, now());
        }
        if let Some(inbound) = builder.begun.unclaimed.take() {
            routes.set_rest(inbound, now());
        }
        Ok(Driver {
            shared,
            machine: Machine::new(options, builder.store)?,
            connector,
            authenticator: builder.authenticator,
            reconnect: builder.reconnect,
            statuses,
            response_timeout,
            write_timeout: builder.write_timeout,
            unclaimed_timeout: builder.unclaimed_timeout,
            backlog: VecDeque::new(),
            acks: Vec::new(),
            answers: Vec::new(),
            wakers: Vec::new(),
            deliveries: HashMap::new(),
            unwritten: Vec::new(),
            asks: Asks::default(),
            routes,
            reads_on: false,
            responses: None,
            reauthenticating: None,
            connected: None,
            was_connected: false,
            attempt: 0,
            accepted: None,
            leaving: None,
            cause: None,
            timer: Timer::new(),
            put_off: false,
        })
    }

    pub(crate) async fn run(mut self) {
        loop {
            if let Some(stream) = self.dial().await {
                let mut link = Link::new(stream, self.machine.decode_options(), self.write_timeout);
                if self.open() {
                    poll_fn(|cx| self.poll_connection(cx, &mut link)).await;
                }
                self.lost(link);
            }
            let cause = self.cause.take().unwrap_or(Cause::Lost);
            if !self.goes_on(cause).await {
                return;
            }
        }
    }

    /// A transport, or `None` with the cause.
    async fn dial(&mut self) -> Option<BoxedTransport> {
        let mut attempt = self.connector.connect();
        let deadline = after(now(), self.response_timeout);
        let opened = poll_fn(|cx| {
            if let Poll::Ready(opened) = attempt.as_mut().poll(cx) {
                return Poll::Ready(Some(opened));
            }
            self.poll_offline(cx, deadline).map(|over| {
                let what = "the server did not answer in time; is it there, is the way to it open?";
                over.then(|| Err(io::Error::new(io::ErrorKind::TimedOut, what)))
            })
        });
        match opened.await {
            Some(Ok(stream)) => return Some(stream),
            Some(Err(error)) => self.cause = Some(Cause::Transport(error)),
            None => self.cause = Some(Cause::Asked),
        }
        None
    }

    /// Begins the protocol; false with the cause.
    fn open(&mut self) -> bool {
        if let Some(authenticator) = &mut self.authenticator {
            match authenticator.begin() {
                Ok(data) => self.machine.set_authentication_data(&data),
                Err(error) => {
                    self.cause = Some(Cause::Authentication(error));
                    return false;
                }
            }
        }
        self.machine.connect(now()).is_ok()
    }

    /// One connection, until it is over.
    fn poll_connection(&mut self, cx: &mut Context<'_>, link: &mut Link) -> Poll<()> {
        for _ in 0..ROUNDS {
            let now = now();
            self.take_commands(now);
            let mut over = None;
            let (mut progress, mut more, mut again) = (false, false, false);
            let reads = self.reads(link);
            if reads {
                match link.poll_read(cx, &mut self.machine, now) {
                    Step::Nothing => {}
                    Step::All => progress = true,
                    Step::More => more = true,
                    Step::Over(error) => over = Some(error),
                }
            } else if self.routes.fill() == Fill::TooMuch && self.waits_for_server() {
                // Its answer may never be read; the time for it runs. Whether it lives is not known.
                self.machine.arrived(now);
            } else {
                self.machine.not_reading(now);
            }
            // The timer stands at the first moment that brings anything, or before it.
            let due = self.timer.is_due(now);
            if due {
                self.machine.tick(now);
            }
            self.take_events(now);
            if due {
                again |= self.expire(now);
            }
            self.leave_when_done(now, Some(link));
            if over.is_none() && self.puts_off() {
                self.answer();
                break;
            }
            match self.write(cx, link, now) {
                Step::Nothing => {}
                Step::All | Step::More => progress = true,
                Step::Over(error) => over = over.or(Some(error)),
            }
            // The store may have failed.
            self.take_events(now);
            self.answer();
            // What was read or written may have made room for what waits here. Nothing else does: there is no second look
            // for a message that came, and was handed on, and acknowledged.
            again |= progress && (!reads || self.has_waiting());

            if let Some(error) = over {
                self.cause = self.cause.take().or(error.map(Cause::Transport));
                return Poll::Ready(());
            }
            if self.machine.is_idle() {
                return Poll::Ready(());
            }
            // A server that does not close its side is not waited for.
            if self.machine.is_closing() && link.is_drained() && link.poll_close(cx, now) {
                return Poll::Ready(());
            }
            let farewell = self.leaving.as_ref().and_then(|leaving| leaving.farewell);
            if farewell.is_some_and(|farewell| farewell <= now) {
                return Poll::Ready(());
            }
            if more {
                // Those who take the messages have their turn while what they take is still in the processor's cache.
                break;
            }
            if again || !self.shared.sleep(cx, !self.backlog.is_empty()) {
                continue;
            }
            let deadline = self.deadline_with(link);
            if !self.timer.poll(cx, deadline, now) {
                return Poll::Pending;
            }
        }
        // A client that never sleeps has its deadlines, too.
        let deadline = self.deadline_with(link);
        self.timer.poll(cx, deadline, now());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether what there is to write waits for the next turn: who was just woken to take messages acknowledges them in
    /// between, and one write has it all. Never twice in a row.
    fn puts_off(&mut self) -> bool {
        let acks_follow = std::mem::take(&mut self.routes.acks_follow);
        self.put_off =
            acks_follow && !self.put_off && self.machine.is_connected() && self.machine.has_output();
        self.put_off
    }

    /// Whether commands wait for room, or calls for a packet id.
    fn has_waiting(&self) -> bool {
        !self.backlog.is_empty() || !self.asks.waiting.is_empty()
    }

    fn write(&mut self, cx: &mut Context<'_>, link: &mut Link, now: Instant) -> Step {
        let (machine, unwritten, answers) = (&mut self.machine, &mut self.unwritten, &mut self.answers);
        link.poll_write(
            cx,
            now,
            |bytes, slots| {
                let more = machine.poll_transmit(now, bytes);
                // Without bytes they have not left: the store could not be written, and the connection ends.
                if more {
                    slots.append(unwritten);
                }
                more
            },
            |slot| answers.push((slot, Ok(Answer::Done))),
        )
    }

    /// Whether more is to be read. A full stream makes the server wait, unless the client itself waits for the server.
    fn reads(&mut self, link: &Link) -> bool {
        if !self.machine.wants_input() || link.unwritten() > MAX_UNWRITTEN {
            return false;
        }
        self.reads_on = false;
        // CONNACK is read in any case, and so is the end of a connection.
        if !self.machine.is_connected() {
            return true;
        }
        match self.routes.fill() {
            Fill::Room => true,
            Fill::Full => {
                self.reads_on = self.waits_for_server();
                self.reads_on
            }
            Fill::TooMuch => false,
        }
    }

    fn waits_for_server(&mut self) -> bool {
        if !self.deliveries.is_empty() || !self.asks.is_empty() || self.leaving.is_some() {
            return true;
        }
        // A service that never answers is not waited for longer than its callers do.
        self.forget_given_up_requests();
        self.responses.as_ref().is_some_and(|responses| !responses.is_empty())
    }

    /// The time without a connection. Ready with true at the deadline, with false when the client is to end.
    fn poll_offline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<bool> {
        loop {
            let now = now();
            self.take_commands(now);
            self.take_events(now);
            self.expire(now);
            // What was accepted is stored.
            self.machine.poll_transmit(now, &mut Vec::new());
            self.answer();
            if self.leave_when_done(now, None) {
                return Poll::Ready(false);
            }
            if deadline <= now {
                return Poll::Ready(true);
            }
            if !self.shared.sleep(cx, !self.backlog.is_empty()) {
                continue;
            }
            let earliest = self.deadline().map_or(deadline, |other| other.min(deadline));
            if !self.timer.poll(cx, Some(earliest), now) {
                return Poll::Pending;
            }
        }
    }

    /// When something else than the machine and the link has to be looked at.
    fn deadline(&self) -> Option<Instant> {
        let leaving = self.leaving.as_ref().and_then(Leaving::deadline);
        let patience = self.machine.is_connected().then_some(self.unclaimed_timeout);
        let unclaimed = self.routes.unclaimed.deadline(patience);
        earlier(earlier(self.asks.deadline(), unclaimed), leaving)
    }

    /// When anything has to be looked at.
    fn deadline_with(&self, link: &Link) -> Option<Instant> {
        let farewell = self.leaving.as_ref().and_then(|leaving| leaving.farewell);
        let connection = earlier(self.machine.deadline(), link.deadline());
        earlier(earlier(self.deadline(), connection), farewell)
    }
}
