//! Wills: which of them have to be published, which must not be, and not before when.

use std::collections::HashMap;

use super::CLOCK_SLACK;
use crate::event::{Client, Ending, MessageId, Millis, Violation, Will};

#[derive(Default)]
pub(super) struct Wills {
    fates: HashMap<MessageId, (Will, Fate)>,
    /// The will of the last connection whose CONNACK came.
    current: HashMap<Client, MessageId>,
    /// The will of a CONNECT that is not answered.
    asked: HashMap<Client, MessageId>,
    listening_since: Millis,
    /// The broker was killed, and is not back.
    down: bool,
}

/// What is known of a will.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// Its connection stands.
    Armed,
    /// The connection has ended, the delay runs: it may come from `from` on, and is due by `by` if nobody comes back.
    Delayed { from: Millis, by: Due },
    /// It has to come, not before `from`.
    Due { from: Millis, by: Due },
    /// The client said DISCONNECT; whether that was heard is not known once the broker was killed.
    Renounced { killed_since: bool },
    /// It must not come.
    Cancelled,
    /// It may come, not before then.
    Unknown { from: Millis },
    /// It came.
    Published,
}

/// By when the clock of a will has run out, whatever happened.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Due {
    /// The broker was killed when the connection ended, or may have been before it wrote that down.
    Unknown,
    /// The broker lived when the connection was cut.
    Soon(Millis),
    /// The broker started after that: it has written down that the connection is gone.
    Certain(Millis),
}

impl Wills {
    pub(super) fn killed(&mut self) {
        self.down = true;
        for (_, fate) in self.fates.values_mut() {
            if let Fate::Renounced { killed_since } = fate {
                *killed_since = true;
            }
        }
    }

    /// A connection that ended before has ended for the broker, too, and durably.
    pub(super) fn listening(&mut self, now: Millis) {
        (self.listening_since, self.down) = (now, false);
        for (will, fate) in self.fates.values_mut() {
            if let Fate::Delayed { by, .. } | Fate::Due { by, .. } = fate
                && !matches!(by, Due::Certain(_))
            {
                *by = Due::Certain(now + Millis::from(will.delay_secs) * 1_000);
            }
        }
    }

    pub(super) fn connecting(&mut self, client: Client, will: Will, now: Millis) {
        self.unanswered(client);
        self.asked.insert(client, will.message);
        self.fates.insert(will.message, (will, Fate::Unknown { from: now }));
    }

    /// A CONNECT was not answered: whether it took the session over, and cancelled the will before it, is not known.
    fn unanswered(&mut self, client: Client) {
        if self.asked.remove(&client).is_some()
            && let Some((_, fate)) = self.current.get(&client).and_then(|message| self.fates.get_mut(message))
            && let Fate::Delayed { from, .. } = *fate
        {
            *fate = Fate::Unknown { from };
        }
    }

    /// Answers what has become due by that.
    pub(super) fn connected(
        &mut self,
        client: Client,
        present: bool,
        connecting_at: Millis,
        now: Millis,
    ) -> Option<MessageId> {
        let asked = self.asked.remove(&client)?;
        let before = self.current.insert(client, asked);
        if let Some((_, fate)) = self.fates.get_mut(&asked)
            && matches!(fate, Fate::Unknown { .. })
        {
            *fate = Fate::Armed;
        }
        let before = before?;
        let (_, fate) = self.fates.get_mut(&before)?;
        match *fate {
            Fate::Delayed { from, .. } if present && now + CLOCK_SLACK < from => *fate = Fate::Cancelled,
            Fate::Delayed { from, by: Due::Certain(by) } if connecting_at > by + CLOCK_SLACK => {
                *fate = Fate::Due { from, by: Due::Certain(by) };
                return Some(before);
            }
            Fate::Delayed { from, .. } => *fate = Fate::Unknown { from },
            Fate::Renounced { killed_since: false } => *fate = Fate::Cancelled,
            Fate::Renounced { killed_since: true } => *fate = Fate::Unknown { from: 0 },
            _ => {}
        }
        None
    }

    /// Answers what has become due by that.
    pub(super) fn ended(
        &mut self,
        client: Client,
        how: Ending,
        since: Millis,
        now: Millis,
    ) -> Option<MessageId> {
        if self.asked.contains_key(&client) {
            self.unanswered(client);
            return None;
        }
        let message = *self.current.get(&client)?;
        let (will, fate) = self.fates.get_mut(&message)?;
        if *fate != Fate::Armed {
            return None;
        }
        let delay = Millis::from(will.delay_secs) * 1_000;
        // The broker that lives sees that the connection is gone; the one that was killed sees it when it is back.
        let by = if how == Ending::Cut { Due::Soon(now + delay + 1_000) } else { Due::Unknown };
        *fate = match how {
            // Who says it to a broker that was just killed does not know that.
            Ending::Goodbye => Fate::Renounced { killed_since: self.down },
            Ending::Cut | Ending::Lost if delay == 0 => Fate::Due { from: since, by },
            Ending::Cut | Ending::Lost => Fate::Delayed { from: since + delay, by },
        };
        matches!(fate, Fate::Due { .. }).then_some(message)
    }

    pub(super) fn arrived(&mut self, message: MessageId, now: Millis) -> Option<Violation> {
        let (_, fate) = self.fates.get_mut(&message)?;
        let wrong = match *fate {
            Fate::Armed => Some("its connection stands".to_owned()),
            Fate::Cancelled => Some("its session was taken up in time, or it was renounced".to_owned()),
            Fate::Renounced { killed_since: false } => Some("its client said DISCONNECT".to_owned()),
            Fate::Delayed { from, .. } | Fate::Due { from, .. } | Fate::Unknown { from }
                if now + CLOCK_SLACK < from =>
            {
                Some(format!("it is due in {} ms", from - now))
            }
            _ => None,
        };
        *fate = Fate::Published;
        wrong.map(|why| Violation {
            promise: 4,
            what: format!("the will {message:?} is published, but {why}"),
        })
    }

    /// Wills whose delay has passed while their clients stayed away, for long enough: they have to come.
    pub(super) fn overdue(&mut self, now: Millis, patience: Millis) -> Vec<MessageId> {
        let mut overdue = Vec::new();
        for (client, message) in &self.current {
            if self.asked.contains_key(client) || !self.is_late(*message, now, patience) {
                continue;
            }
            if let Some((_, fate)) = self.fates.get_mut(message)
                && let Fate::Delayed { from, by } = *fate
            {
                *fate = Fate::Due { from, by };
                overdue.push(*message);
            }
        }
        overdue
    }

    /// Whether it should have come by now.
    pub(super) fn is_late(&self, message: MessageId, now: Millis, patience: Millis) -> bool {
        match self.fates.get(&message) {
            Some((_, Fate::Due { by, .. } | Fate::Delayed { by, .. })) => match by {
                Due::Unknown => false,
                Due::Soon(by) | Due::Certain(by) => now > self.listening_since.max(*by) + patience,
            },
            // It came to somebody; it has to come to all.
            Some((_, Fate::Published)) => true,
            _ => false,
        }
    }

    /// Whether nothing is expected of it any more.
    pub(super) fn is_over(&self, message: MessageId) -> bool {
        matches!(self.fates.get(&message), Some((_, Fate::Published)))
    }
}
