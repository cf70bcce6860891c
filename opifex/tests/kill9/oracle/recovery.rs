//! What a start has to say that it recovers: how much the store holds for certain, and how much it may hold. In between
//! lies what was on its way when the broker was killed.

use std::fmt;

use crate::event::Recovered;

/// At least and at most so many of each.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recoverable {
    pub(super) least: Recovered,
    pub(super) most: Recovered,
}

impl Recoverable {
    pub(super) fn add(&mut self, least: Recovered, most: Recovered) {
        self.least = self.least + least;
        self.most = self.most + most;
    }

    /// What is wrong with what was said.
    pub(super) fn check(&self, said: Option<Recovered>) -> Result<(), String> {
        let Some(said) = said else { return Err("a start does not say what it recovers".to_owned()) };
        let (least, most) = (self.least, self.most);
        let parts = [
            ("sessions", least.sessions..=most.sessions, said.sessions),
            ("interrupted", least.interrupted..=most.interrupted, said.interrupted),
            ("subscriptions", least.subscriptions..=most.subscriptions, said.subscriptions),
            ("queued", least.queued..=most.queued, said.queued),
        ];
        let wrong = parts.iter().filter(|(_, range, said)| !range.contains(said));
        let wrong: Vec<&str> = wrong.map(|(name, ..)| *name).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{}: recovered {said}, {self}", wrong.join(", "))) }
    }
}

impl fmt::Display for Recoverable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "should be at least {} and at most {}", self.least, self.most)
    }
}
