//! The direct question to a record: did an acknowledgement leave before what it speaks of was synced?

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use opifex_packet::Packet;

use crate::shim::{Call, Event, Object, Phase};
use crate::token::Token;
use crate::trace::Passed;

/// What the answer was about.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Acknowledgements that were looked at.
    pub(crate) looked_at: usize,
    /// What left too early.
    pub(crate) early: Vec<String>,
}

/// Looks at each acknowledgement of something that bears a token: PUBACK and PUBREC of a message, SUBACK of a filter,
/// the first CONNACK of a client. Its token must have been written, by a call that returned before a sync of that file
/// began, and that sync must have ended before the acknowledgement left.
pub(crate) fn check(events: &[Event], packets: &[Passed]) -> Verdict {
    let durable = durable_at(events);
    let mut verdict = Verdict::default();
    for (token, left, what) in acknowledgements(packets) {
        verdict.looked_at += 1;
        match durable.get(&token) {
            Some(synced) if *synced < left => {}
            Some(synced) => {
                verdict.early.push(format!("{what} of {token:?} left at {left}, the sync ended at {synced}"))
            }
            None => {
                verdict.early.push(format!("{what} of {token:?} left at {left}, and it was never synced"))
            }
        }
    }
    verdict
}

/// When each token was durable for the first time.
fn durable_at(events: &[Event]) -> HashMap<Token, usize> {
    let mut paths: HashMap<Object, &PathBuf> = HashMap::new();
    let mut writing: HashMap<(usize, u64), Vec<Token>> = HashMap::new();
    let mut syncing: HashMap<(usize, u64), usize> = HashMap::new();
    // By file: what was written and when, and is not synced.
    let mut written: HashMap<&PathBuf, Vec<(usize, Token)>> = HashMap::new();
    let mut durable = HashMap::new();
    for (at, event) in events.iter().enumerate() {
        let id = (event.object.run, event.id);
        match (&event.call, event.phase) {
            (Call::Open { path, .. }, _) => drop(paths.insert(event.object, path)),
            (Call::Write { bytes, .. }, Phase::Begin) => {
                drop(writing.insert(id, Token::all(bytes).collect()))
            }
            (Call::Write { .. }, Phase::End { result }) => {
                let tokens = writing.remove(&id).unwrap_or_default();
                let fresh = tokens.into_iter().filter(|token| result > 0 && !durable.contains_key(token));
                written.entry(paths[&event.object]).or_default().extend(fresh.map(|token| (at, token)));
            }
            (Call::Sync, Phase::Begin) => drop(syncing.insert(id, at)),
            (Call::Sync, Phase::End { result: 0 }) => {
                let begun = syncing.remove(&id).expect("it has begun");
                let Some(waiting) = written.get_mut(paths[&event.object]) else { continue };
                waiting.retain(|(written, token)| {
                    let covered = *written < begun;
                    if covered {
                        durable.entry(*token).or_insert(at);
                    }
                    !covered
                });
            }
            // What a sync has failed on, a later one may pass over in silence: the system holds those pages for clean.
            (Call::Sync, Phase::End { .. }) => {
                let begun = syncing.remove(&id).expect("it has begun");
                if let Some(waiting) = written.get_mut(paths[&event.object]) {
                    waiting.retain(|(written, _)| *written >= begun);
                }
            }
            _ => {}
        }
    }
    durable
}

/// What was acknowledged, when, and by what.
fn acknowledgements(packets: &[Passed]) -> Vec<(Token, usize, &'static str)> {
    let mut asked: BTreeMap<(&str, u16), Vec<Token>> = BTreeMap::new();
    let mut found = Vec::new();
    for passed in packets {
        let (client, at) = (passed.client.as_str(), passed.at);
        let mut answer = |id: u16, what| {
            let tokens = asked.remove(&(client, id)).unwrap_or_default();
            found.extend(tokens.into_iter().map(|token| (token, at, what)));
        };
        match (&passed.packet, passed.left) {
            (Packet::Publish(publish), false) => {
                let Some(id) = publish.delivery.packet_id() else { continue };
                asked.insert((client, id.get()), Token::of(&publish.payload).into_iter().collect());
            }
            (Packet::Subscribe(subscribe), false) => {
                let filters = subscribe.subscriptions.iter().map(|one| one.filter.as_str());
                let tokens = filters.flat_map(|filter| Token::all(filter.as_bytes())).collect();
                asked.insert((client, subscribe.packet_id.get()), tokens);
            }
            (Packet::Puback(puback), true) => answer(puback.packet_id.get(), "PUBACK"),
            (Packet::Pubrec(pubrec), true) => answer(pubrec.packet_id.get(), "PUBREC"),
            (Packet::Suback(suback), true) => answer(suback.packet_id.get(), "SUBACK"),
            (Packet::Connack(connack), true) if !connack.session_present => {
                found.extend(Token::all(client.as_bytes()).map(|token| (token, at, "CONNACK")));
            }
            _ => {}
        }
    }
    found
}
