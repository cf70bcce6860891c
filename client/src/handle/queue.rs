//! What the handles of a client and its driver share: the queue of commands in one direction, answers in the other.
//! One lock, held for a few instructions, and taken by the driver once or twice a batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use opifex_packet::{Properties, ReasonCode, Subscription as Asked, TopicFilter};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::handle::inbound::Inbound;
use crate::handle::slots::{Answer, SlotId, Slots};
use crate::{AckToken, Cause, Error, Message};

/// What a handle asks of the driver.
#[derive(Debug)]
pub(crate) enum Command {
    Publish { message: Message, slot: SlotId },
    Other(Box<Other>),
}

/// What is asked for seldom.
#[derive(Debug)]
pub(crate) enum Other {
    Subscribe {
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
        inbound: Arc<Inbound>,
        slot: SlotId,
    },
    Unsubscribe {
        filters: Vec<TopicFilter<'static>>,
        properties: Properties<'static>,
        slot: SlotId,
    },
    Unclaimed {
        inbound: Arc<Inbound>,
        slot: SlotId,
    },
    Request {
        message: Message,
        slot: SlotId,
    },
    Reauthenticate {
        slot: SlotId,
    },
    /// Answered when there is a connection for the first time.
    Connected {
        slot: SlotId,
    },
    Disconnect {
        reason: ReasonCode,
        properties: Properties<'static>,
        patience: Duration,
        slot: SlotId,
    },
}

impl Other {
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Other::Request { message, .. } => message.bytes(),
            Other::Subscribe { subscriptions, properties, .. } => {
                properties.as_bytes().len() + bytes_of(subscriptions.iter().map(|asked| &asked.filter))
            }
            Other::Unsubscribe { filters, .. } => bytes_of(filters.iter()),
            Other::Unclaimed { .. }
            | Other::Reauthenticate { .. }
            | Other::Connected { .. }
            | Other::Disconnect { .. } => 0,
        }
    }
}

/// What filters count for where bytes are limited.
pub(crate) fn bytes_of<'a>(filters: impl Iterator<Item = &'a TopicFilter<'static>>) -> usize {
    filters.map(|filter| filter.as_str().len() + size_of::<Asked<'static>>()).sum()
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Command::Publish { message, .. } => message.bytes(),
            Command::Other(other) => other.bytes(),
        }
    }

    /// Whether it may have to wait for room in the session.
    pub(crate) fn is_publish(&self) -> bool {
        matches!(self, Command::Publish { .. })
    }
}

/// What the driver learns when it takes commands.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Taken {
    /// Somebody left a stream, or made room in one.
    pub(crate) nudged: bool,
    /// There are handles or streams.
    pub(crate) has_users: bool,
}

/// What handles and driver share.
#[derive(Debug)]
pub(crate) struct Shared {
    inner: Mutex<Inner>,
    /// Told when the queue has room again.
    room: Notify,
    /// Of publishes, and again of other commands.
    capacity: usize,
    capacity_bytes: usize,
}

#[derive(Debug)]
struct Inner {
    commands: VecDeque<Command>,
    /// Of publishes.
    bytes: usize,
    /// Commands that are no publishes. They have room of their own, and pass by publishes that wait.
    others: usize,
    other_bytes: usize,
    acks: Vec<AckToken>,
    slots: Slots,
    /// Somebody met a full queue.
    crowded: bool,
    /// The driver sleeps, and is to be woken.
    asleep: bool,
    /// Something is to be looked at that is neither a command nor an ack.
    nudged: bool,
    driver: Option<Waker>,
    /// Handles and subscriptions. Without any, the driver ends.
    users: usize,
    ended: Option<Arc<Cause>>,
}

impl Inner {
    fn forget_sizes(&mut self) {
        (self.bytes, self.others, self.other_bytes) = (0, 0, 0);
    }

    fn wake(&mut self) -> Option<Waker> {
        std::mem::take(&mut self.asleep).then(|| self.driver.clone()).flatten()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Shared {
    /// A queue with one user.
    pub(crate) fn new(capacity: usize, capacity_bytes: usize) -> Self {
        let inner = Inner {
            commands: VecDeque::new(),
            bytes: 0,
            others: 0,
            other_bytes: 0,
            acks: Vec::new(),
            slots: Slots::default(),
            crowded: false,
            asleep: false,
            nudged: false,
            driver: None,
            users: 1,
            ended: None,
        };
        Shared { inner: Mutex::new(inner), room: Notify::new(), capacity, capacity_bytes }
    }

    // The handles' side.

    /// Puts a publish of so many bytes into the queue, if there is room.
    pub(crate) fn try_push(
        &self,
        bytes: usize,
        command: impl FnOnce(SlotId) -> Command,
    ) -> Result<SlotId, Error> {
        self.try_push_of(true, bytes, command)
    }

    fn try_push_of(
        &self,
        is_publish: bool,
        bytes: usize,
        command: impl FnOnce(SlotId) -> Command,
    ) -> Result<SlotId, Error> {
        let mut inner = self.inner.lock();
        if let Some(cause) = &inner.ended {
            return Err(Error::Ended(Arc::clone(cause)));
        }
        let (count, held) = if is_publish {
            (inner.commands.len() - inner.others, inner.bytes)
        } else {
            (inner.others, inner.other_bytes)
        };
        // One that is larger than all the room goes alone.
        if count >= self.capacity || (count > 0 && held + bytes > self.capacity_bytes) {
            inner.crowded = true;
            return Err(Error::Full);
        }
        let slot = inner.slots.open();
        let command = command(slot);
        debug_assert_eq!(command.is_publish(), is_publish);
        if is_publish {
            inner.bytes += command.bytes();
        } else {
            inner.others += 1;
            inner.other_bytes += command.bytes();
        }
        inner.commands.push_back(command);
        let waker = inner.wake();
        drop(inner);
        wake(waker);
        Ok(slot)
    }

    /// Puts a publish of so many bytes into the queue; waits for room.
    pub(crate) async fn push(
        &self,
        bytes: usize,
        command: impl FnOnce(SlotId) -> Command,
    ) -> Result<SlotId, Error> {
        self.push_of(true, bytes, command).await
    }

    /// Puts another command of so many bytes into the queue. Room for those comes with the driver's next turn.
    pub(crate) async fn push_other(
        &self,
        bytes: usize,
        other: impl FnOnce(SlotId) -> Other,
    ) -> Result<SlotId, Error> {
        self.push_of(false, bytes, |slot| Command::Other(Box::new(other(slot)))).await
    }

    async fn push_of(
        &self,
        is_publish: bool,
        bytes: usize,
        command: impl FnOnce(SlotId) -> Command,
    ) -> Result<SlotId, Error> {
        let mut command = Some(command);
        loop {
            let room = self.room.notified();
            let mut room = std::pin::pin!(room);
            // Before the look at the queue: what is freed behind it counts.
            room.as_mut().enable();
            let pushed =
                self.try_push_of(is_publish, bytes, |slot| command.take().expect("it is taken once")(slot));
            match pushed {
                Err(Error::Full) => room.await,
                other => return other,
            }
        }
    }

    pub(crate) fn poll_slot(&self, slot: SlotId, cx: &Context<'_>) -> Poll<Result<Answer, Error>> {
        self.inner.lock().slots.poll(slot, cx.waker())
    }

    pub(crate) fn leave_slot(&self, slot: SlotId) {
        self.inner.lock().slots.leave(slot);
    }

    pub(crate) fn acknowledge(&self, token: AckToken) {
        let mut inner = self.inner.lock();
        if inner.ended.is_none() {
            inner.acks.push(token);
        }
        let waker = inner.wake();
        drop(inner);
        wake(waker);
    }

    /// Has the driver look around.
    pub(crate) fn nudge(&self) {
        let mut inner = self.inner.lock();
        inner.nudged = true;
        let waker = inner.wake();
        drop(inner);
        wake(waker);
    }

    pub(crate) fn enter(&self) {
        self.inner.lock().users += 1;
    }

    pub(crate) fn go(&self) {
        let mut inner = self.inner.lock();
        inner.users -= 1;
        // A driver that has just looked does not sleep over it.
        inner.nudged |= inner.users == 0;
        let waker = if inner.users == 0 { inner.wake() } else { None };
        drop(inner);
        wake(waker);
    }

    pub(crate) fn ended(&self) -> Option<Arc<Cause>> {
        self.inner.lock().ended.clone()
    }

    // The driver's side.

    /// Takes all commands and acknowledgements; `acks` is empty. Behind publishes that wait in `into`, only commands that
    /// are none.
    pub(crate) fn take(&self, into: &mut VecDeque<Command>, acks: &mut Vec<AckToken>) -> Taken {
        let mut inner = self.inner.lock();
        let nudged = std::mem::take(&mut inner.nudged);
        std::mem::swap(&mut inner.acks, acks);
        if into.is_empty() {
            std::mem::swap(&mut inner.commands, into);
            inner.forget_sizes();
        } else if inner.others > 0 {
            let (publishes, mut others) =
                std::mem::take(&mut inner.commands).into_iter().partition(Command::is_publish);
            inner.commands = publishes;
            (inner.others, inner.other_bytes) = (0, 0);
            into.append(&mut others);
        }
        let crowded = std::mem::take(&mut inner.crowded);
        let taken = Taken { nudged, has_users: inner.users > 0 };
        drop(inner);
        if crowded {
            self.room.notify_waiters();
        }
        taken
    }

    /// Whether the driver may sleep; if so, the next user to leave something wakes it. `has_backlog`: it has no room for
    /// publishes.
    pub(crate) fn sleep(&self, cx: &Context<'_>, has_backlog: bool) -> bool {
        let mut inner = self.inner.lock();
        let commands = if has_backlog { inner.others } else { inner.commands.len() };
        if inner.nudged || !inner.acks.is_empty() || commands > 0 {
            return false;
        }
        match &mut inner.driver {
            Some(driver) => driver.clone_from(cx.waker()),
            None => inner.driver = Some(cx.waker().clone()),
        }
        inner.asleep = true;
        true
    }

    /// Publishes that the driver has not taken: it has no room for them.
    pub(crate) fn publishes(&self) -> usize {
        let inner = self.inner.lock();
        inner.commands.len() - inner.others
    }

    /// Looks at who waits for answers.
    pub(crate) fn with_slots<T>(&self, look: impl FnOnce(&Slots) -> T) -> T {
        look(&self.inner.lock().slots)
    }

    /// Hands over answers, and wakes who waits for them.
    pub(crate) fn answer(&self, answers: &mut Vec<(SlotId, Result<Answer, Error>)>, wakers: &mut Vec<Waker>) {
        if answers.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        wakers.extend(answers.drain(..).filter_map(|(slot, answer)| inner.slots.answer(slot, answer)));
        drop(inner);
        wakers.drain(..).for_each(Waker::wake);
    }

    /// The end: nothing is taken any more. What was in the queue comes back.
    pub(crate) fn end(&self, cause: Arc<Cause>) -> VecDeque<Command> {
        let mut inner = self.inner.lock();
        inner.ended = Some(cause);
        inner.forget_sizes();
        inner.acks = Vec::new();
        let commands = std::mem::take(&mut inner.commands);
        drop(inner);
        self.room.notify_waiters();
        commands
    }
}
