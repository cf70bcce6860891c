//! The oracle on what a right store held at several moments of a history, and on what no store may hold.

use std::sync::Mutex;

use opifex_storage::Durability;
use opifex_storage_memory::{MemoryOptions, MemoryStore};

use super::*;
use crate::block_on;
use crate::crash::aftermath;
use crate::crash::told::{Line, Tell};

const WHOLE: usize = 60;

struct Kept(Mutex<Told>);

impl Tell for Kept {
    fn tell(&self, line: &Line) {
        self.0.lock().expect("nobody panics with it").take(line.news);
    }
}

/// What a store holds behind so many steps of the history, and what was told of it.
fn after(steps: usize) -> (Scribe, Books, Told, MemoryStore) {
    let store = MemoryStore::with_options(MemoryOptions::default());
    let scribe = Scribe { writer: 0, seed: 7, durability: Durability::Memory, steps };
    let told = Kept(Mutex::default());
    block_on(scribe.write(&store, &Books::default(), &told)).expect("a right store takes it");
    let found = block_on(Books::read(&store)).expect("a right store is read");
    (scribe, found, told.0.into_inner().expect("nobody panicked"), store)
}

fn oracle() -> (Oracle, Told) {
    let (scribe, _, told, _) = after(WHOLE);
    (Oracle::new(scribe, &Books::default(), &told).expect("the books are those it began with"), told)
}

#[test]
fn any_prefix_of_a_history_may_be_left_of_what_is_not_durable() {
    let (oracle, _) = oracle();
    for steps in 0..=WHOLE {
        assert_eq!(oracle.check(&after(steps).1, &BTreeSet::new()), [""; 0], "{steps}");
    }
}

#[test]
fn what_was_durable_has_to_be_there() {
    let (oracle, told) = oracle();
    assert_eq!(told.durable.len() + purges(&oracle), WHOLE);
    assert_eq!(oracle.check(&after(WHOLE).1, &told.durable), [""; 0]);
    let wrong = oracle.check(&after(WHOLE / 2).1, &told.durable);
    assert!(wrong.iter().all(|wrong| wrong.contains("was durable and is lost")), "{wrong:?}");
    assert!(wrong.len() > WHOLE / 4, "{wrong:?}");
}

fn purges(oracle: &Oracle) -> usize {
    oracle.steps.iter().filter(|(step, _)| *step == Step::Purge).count()
}

#[test]
fn a_batch_is_not_left_in_part() {
    let (oracle, _) = oracle();
    let found = |in_part: &Books| oracle.check(in_part, &BTreeSet::new());
    // A step that changes a session and a topic; the session is as it was before.
    let changes_both = |(at, places): (usize, &[(Stream, usize)])| {
        let [(Stream::Session(client), _), (Stream::Topic(topic), _)] = places else { return None };
        let (before, behind) = (after(at).1, after(at + 1).1);
        let is_retained = behind.retained.contains_key(topic);
        let changes = before.sessions.get(client) != behind.sessions.get(client) && is_retained;
        changes.then(|| (client.clone(), before, behind))
    };
    let mut places = oracle.steps.iter().map(|(_, places)| &places[..]).enumerate();
    let (client, before, mut behind) = places.find_map(changes_both).expect("there is such a step");
    assert_eq!(found(&behind), [""; 0]);
    match before.sessions.get(&client) {
        Some(session) => drop(behind.sessions.insert(client.clone(), session.clone())),
        None => drop(behind.sessions.remove(&client)),
    }
    let wrong = found(&behind);
    assert!(wrong.iter().any(|wrong| wrong.contains("is there in part")), "{wrong:?}");
}

#[test]
fn a_state_that_never_was_is_found() {
    let (oracle, told) = oracle();
    let right = after(WHOLE).1;
    let client = right.sessions.iter().find(|(_, session)| session.queue.len() > 1).expect("there is one").0;
    let with = |change: fn(&mut Session)| {
        let mut found = right.clone();
        change(found.sessions.get_mut(client).expect("it is there"));
        oracle.check(&found, &told.durable)
    };
    let changes: [fn(&mut Session); 4] = [
        |session| {
            session.queue.pop_first();
        },
        |session| session.next_seq += 1,
        |session| session.epoch -= 1,
        |session| {
            let (mut values, keys): (Vec<_>, Vec<_>) =
                (session.queue.values().cloned().collect(), session.queue.keys().copied().collect());
            values.rotate_left(1);
            session.queue = keys.into_iter().zip(values).collect();
        },
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let wrong = with(change);
        assert!(wrong.iter().any(|wrong| wrong.contains("was never as it is now")), "{at}: {wrong:?}");
    }
    let mut found = right.clone();
    found.retained.insert("w0/nobody".to_owned(), Body { n: 1, len: 50 });
    assert!(oracle.check(&found, &told.durable)[0].contains("nobody made it"));
}

#[test]
fn a_number_that_was_given_before_is_found_behind_a_crash() {
    let goes_on = |books: &Books, highest| {
        let (_, _, _, store) = after(WHOLE);
        block_on(aftermath::goes_on(&store, books, highest, Durability::Memory))
    };
    let right = after(WHOLE).1;
    assert!(goes_on(&right, 0).is_ok());
    assert!(goes_on(&right, 1_000).unwrap_err().contains("was given before"));
    let mut other = right.clone();
    other.sessions.values_mut().for_each(|session| session.next_seq += 1);
    assert!(goes_on(&other, 0).unwrap_err().contains("the next number is"));
}
