//! What may be left of a history that ended at any moment, and what must be.
//!
//! The contract orders batches that touch a session or a topic in common, so the history is looked at as *streams*: the
//! states that one session or one topic went through. A batch is a place in each stream that it touches. What is left
//! is right when there is a cut: for each stream a state that is the one found, so that each batch lies before the cut
//! in all its streams or in none. Cuts can be joined, so there is a greatest, which is found by lowering; every batch
//! that was durable must lie before it.

use std::collections::{BTreeMap, BTreeSet};

use super::books::{Body, Books, Session};
use super::history::{History, Step, Stream};
use super::scribe::{Scribe, digest};
use super::told::Told;

/// One state of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Session(Option<Box<Session>>),
    Topic(Option<Body>),
}

/// The history of one writer, up to where it may have come.
pub(crate) struct Oracle {
    name: String,
    /// Each step with its place in each stream that it touches.
    steps: Vec<(Step, Vec<(Stream, usize)>)>,
    /// The states of each stream, and which step brought each but the first.
    streams: BTreeMap<Stream, (Vec<State>, Vec<usize>)>,
    /// Every epoch that is known is at most this.
    pub(crate) highest_epoch: u64,
}

impl Oracle {
    /// The history that the scribe made, as far as it told, and one step more.
    ///
    /// # Errors
    /// When the scribe has begun with other books.
    pub(crate) fn new(scribe: Scribe, base: &Books, told: &Told) -> Result<Oracle, String> {
        let name = Scribe::name(scribe.writer);
        let part = base.part(&name);
        if told.base.is_some_and(|told| told != digest(&part)) {
            return Err("what was closed in order is not what was found when it was opened again".to_owned());
        }
        let highest = part.sessions.values().map(|session| session.epoch).max().unwrap_or_default();
        let mut streams = BTreeMap::new();
        for (client, session) in &part.sessions {
            let state = State::Session(Some(Box::new(session.clone())));
            streams.insert(Stream::Session(client.clone()), (vec![state], Vec::new()));
        }
        for (topic, body) in &part.retained {
            streams.insert(Stream::Topic(topic.clone()), (vec![State::Topic(Some(*body))], Vec::new()));
        }
        let mut oracle = Oracle { name: name.clone(), steps: Vec::new(), streams, highest_epoch: highest };
        if told.base.is_none() {
            return Ok(oracle);
        }
        let mut history = History::new(&name, scribe.seed, part);
        for n in 0..(told.ordered + 1).min(scribe.steps) {
            let step = history.next();
            let opened = told.opened.get(&n).copied();
            oracle.highest_epoch = opened.map_or(0, |(_, epoch)| epoch).max(oracle.highest_epoch);
            let mut places = Vec::new();
            for stream in history.apply(&step, opened) {
                let state = state_of(history.books(), &stream);
                let absent = || (vec![absent(&stream)], Vec::new());
                let (states, by) = oracle.streams.entry(stream.clone()).or_insert_with(absent);
                places.push((stream, by.len()));
                states.push(state);
                by.push(n);
            }
            oracle.steps.push((step, places));
        }
        Ok(oracle)
    }

    /// What is wrong with what was found, when these steps were durable. It is about this writer's part alone.
    pub(crate) fn check(&self, found: &Books, durable: &BTreeSet<usize>) -> Vec<String> {
        let found = found.part(&self.name);
        let mut wrong = Vec::new();
        for stream in streams_in(&found).filter(|stream| !self.streams.contains_key(stream)) {
            wrong.push(format!("{stream:?} is there, and nobody made it: {:?}", state_of(&found, &stream)));
        }
        // The states of each stream that are the one found; the last is where its cut begins.
        let mut possible = Cut::new();
        for (stream, (states, by)) in &self.streams {
            let is = state_of(&found, stream);
            let same = (0..states.len()).filter(|at| self.is_state(&states[*at], &is));
            let same: Vec<usize> = same.collect();
            if same.is_empty() {
                let (last, step) = (states.last(), by.last());
                wrong.push(format!(
                    "{stream:?} was never as it is now: {is:?}; the last of its {} states, by step {step:?}: {last:?}",
                    states.len()
                ));
            }
            possible.insert(stream, same);
        }
        if !wrong.is_empty() {
            return wrong;
        }
        if let Err(half) = self.lower(&mut possible) {
            return vec![half];
        }
        let lost = durable.iter().filter(|step| !self.is_before(**step, &possible));
        lost.map(|step| format!("step {step} was durable and is lost: {:?}", self.steps[*step].0)).collect()
    }

    /// Whether a state is the one found. Nobody was told the numbers of the open that was under way at the end.
    fn is_state(&self, state: &State, found: &State) -> bool {
        let (State::Session(Some(known)), State::Session(Some(is))) = (state, found) else {
            return state == found;
        };
        let mut known = known.clone();
        if known.epoch == 0 && is.epoch > self.highest_epoch {
            known.epoch = is.epoch;
            if known.id == 0 {
                known.id = is.epoch;
            }
        }
        known == *is
    }

    /// Whether a step lies before the cut: in one of its streams is in all.
    fn is_before(&self, step: usize, cut: &Cut<'_>) -> bool {
        self.steps.get(step).is_none_or(|(_, places)| places.iter().all(|place| is_before(place, cut)))
    }

    /// Lowers the cut until no batch is on both sides of it.
    fn lower(&self, cut: &mut Cut<'_>) -> Result<(), String> {
        let mut has_changed = true;
        while std::mem::take(&mut has_changed) {
            for (n, (step, places)) in self.steps.iter().enumerate().rev() {
                if self.is_before(n, cut) {
                    continue;
                }
                for place in places {
                    while is_before(place, cut) {
                        has_changed = true;
                        let states = cut.get_mut(&place.0).expect("each stream has a cut");
                        states.pop();
                        if states.is_empty() {
                            let stream = &place.0;
                            return Err(format!(
                                "step {n} is there in part: in {stream:?}, and not in all: {step:?}"
                            ));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The states of each stream that are still possible; the last is the cut.
type Cut<'a> = BTreeMap<&'a Stream, Vec<usize>>;

/// Whether the cut of this stream lies behind the place.
fn is_before((stream, place): &(Stream, usize), cut: &Cut<'_>) -> bool {
    *place < *cut[stream].last().expect("no stream is without a state")
}

fn streams_in(books: &Books) -> impl Iterator<Item = Stream> {
    let sessions = books.sessions.keys().cloned().map(Stream::Session);
    sessions.chain(books.retained.keys().cloned().map(Stream::Topic))
}

fn state_of(books: &Books, stream: &Stream) -> State {
    match stream {
        Stream::Session(client) => State::Session(books.sessions.get(client).cloned().map(Box::new)),
        Stream::Topic(topic) => State::Topic(books.retained.get(topic).copied()),
    }
}

fn absent(stream: &Stream) -> State {
    match stream {
        Stream::Session(_) => State::Session(None),
        Stream::Topic(_) => State::Topic(None),
    }
}

#[cfg(test)]
mod tests;
