//! Broken stores: retained messages and the filters that find them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opifex_packet::{TopicFilter, TopicName};
use opifex_storage::{
    Expectation, GuardedRecord, Message, Op, Outcome, Page, PageLimit, RecordVersion, Result, Retained,
};

use crate::broken::{Behaviour, honest};
use crate::engine::{EVERYTHING, Engine};
use crate::mutant::mutants;

fn filter(text: String) -> TopicFilter<'static> {
    TopicFilter::new(text).expect("what is made of a filter is one")
}

/// A store that takes other filters for those that it is asked for.
fn asking(instead: fn(&str) -> Option<String>) -> Behaviour {
    honest().retained(move |engine, (filters, cursor, limit)| {
        let changed = filters.into_iter().map(|asked| instead(asked.as_str()).map_or(asked, filter));
        engine.retained(&changed.collect::<Vec<_>>(), cursor, limit)
    })
}

fn one_page(items: Vec<Retained>) -> Result<Page<Retained>> {
    Ok(Page { examined: items.len(), items, ..Page::new() })
}

/// What is retained of topics like this.
fn kept_where(engine: &Engine, matches: impl Fn(&str) -> bool) -> Vec<Retained> {
    engine.kept().into_iter().filter(|kept| matches(kept.message.topic.as_str())).collect()
}

/// A topic as SQL's LIKE would see it: `_` is any character.
fn is_like(pattern: &str, text: &str) -> bool {
    let same = pattern.chars().zip(text.chars()).all(|(p, t)| p == t || p == '_');
    same && pattern.chars().count() == text.chars().count()
}

mutants! {
    /// of a filter's first level, the beginning is compared
    "RET-01" an_exact_filter_finds_what_lies_below: asking(|text| {
        (!text.contains(['+', '#'])).then(|| format!("{text}/#"))
    });

    /// every message of a topic is kept, and the first is found
    "RET-02" the_first_retained_message_stays: honest().skips(|engine, _, op| match op {
        Op::Retain(message) => {
            let kept = engine.kept_on(&message.topic);
            kept.map(|kept| Outcome::Retained(kept.version))
        }
        _ => None,
    });

    /// unretaining is answered as done whatever there was
    "RET-03" unretaining_always_finds_something: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Unretain(_)) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// versions are counted for each topic, from the beginning when it comes back
    "RET-04" a_topics_versions_begin_anew: {
        let counts = Arc::new(Mutex::new(HashMap::<TopicName<'static>, (u64, RecordVersion)>::new()));
        let also = Arc::clone(&counts);
        honest()
            .outcomes(move |_, batch, outcomes| {
                let mut counts = counts.lock().expect("nobody panics with it");
                for (op, outcome) in batch.ops.iter().zip(outcomes) {
                    match (op, outcome) {
                        (Op::Retain(message), Outcome::Retained(version)) => {
                            let (count, real) = counts.entry(message.topic.clone()).or_default();
                            (*count, *real) = (*count + 1, *version);
                            *version = RecordVersion(*count);
                        }
                        (Op::Unretain(topic), _) => {
                            counts.remove(topic);
                        }
                        _ => {}
                    }
                }
            })
            .batches(move |_, batch| {
                let counts = also.lock().expect("nobody panics with it");
                for guard in &mut batch.guards {
                    if let (GuardedRecord::Retained(topic), Expectation::AtVersion(version)) =
                        (&guard.record, &mut guard.expect)
                        && let Some((count, real)) = counts.get(topic)
                        && version.0 == *count
                    {
                        *version = *real;
                    }
                }
            })
    };

    /// `+` stands for any number of levels
    "RET-05" a_plus_stands_for_many_levels: asking(|text| text.strip_suffix('+').map(|rest| format!("{rest}#")));

    /// `#` does not stand for its parent
    "RET-06" a_hash_does_not_stand_for_its_parent: honest().retained(|engine, (filters, cursor, limit)| {
        let mut page = engine.retained(&filters, cursor, limit)?;
        page.items.retain(|kept| {
            filters.iter().any(|filter| match filter.as_str().strip_suffix("/#") {
                Some(parent) => kept.message.topic.as_str() != parent && filter.matches(&kept.message.topic),
                None => filter.matches(&kept.message.topic),
            })
        });
        Ok(page)
    });

    /// `a/#` is the range of keys that begin with `a`
    "RET-06" a_hash_finds_what_begins_with_its_parent: honest().retained(|engine, (filters, cursor, limit)| {
        let prefix = match &filters[..] {
            [only] => only.as_str().strip_suffix("/#").filter(|prefix| !prefix.is_empty() && !prefix.contains('+')),
            _ => None,
        };
        match prefix {
            Some(prefix) => one_page(kept_where(engine, |topic| topic.starts_with(prefix))),
            None => engine.retained(&filters, cursor, limit),
        }
    });

    /// a leading wildcard finds topics that begin with `$`
    "RET-07" dollar_topics_leak: honest().retained(|engine, (filters, cursor, limit)| {
        let everything = filters.iter().any(|filter| filter.as_str() == "#");
        let first = cursor.is_none();
        let mut page = engine.retained(&filters, cursor, limit)?;
        if everything && first {
            page.items.extend(kept_where(engine, |topic| topic.starts_with('$')));
        }
        Ok(page)
    });

    /// no wildcard finds a level that begins with `$`, wherever it stands
    "RET-07" every_dollar_is_hidden: honest().retained(|engine, (filters, cursor, limit)| {
        let mut page = engine.retained(&filters, cursor, limit)?;
        let wild = filters.iter().any(|filter| filter.as_str().contains(['+', '#']));
        page.items.retain(|kept| !wild || !kept.message.topic.as_str().contains("/$"));
        Ok(page)
    });

    /// empty levels are left out
    "RET-08" empty_levels_are_left_out: honest().messages(|message| {
        let levels: Vec<_> = message.topic.as_str().split('/').filter(|level| !level.is_empty()).collect();
        let topic = if levels.is_empty() { "/".to_owned() } else { levels.join("/") };
        message.topic = TopicName::new(topic).expect("levels of a topic make a topic");
    });

    /// a filter goes into the pattern of a LIKE
    "RET-09" a_filter_is_a_pattern: honest().retained(|engine, (filters, cursor, limit)| match &filters[..] {
        [only] if !only.as_str().contains(['+', '#']) => {
            one_page(kept_where(engine, |topic| is_like(only.as_str(), topic)))
        }
        _ => engine.retained(&filters, cursor, limit),
    });

    /// what two filters find comes twice
    "RET-10" overlapping_filters_find_twice: honest().retained(|engine, (filters, cursor, limit)| {
        if filters.len() < 3 {
            return engine.retained(&filters, cursor, limit);
        }
        let one = |filter| engine.retained(std::slice::from_ref(filter), None, EVERYTHING).map(|page| page.items);
        let pages = filters.iter().map(one).collect::<Result<Vec<_>>>()?;
        one_page(pages.into_iter().flatten().collect())
    });

    /// no filter stands for all
    "RET-11" no_filter_finds_everything: honest().retained(|engine, (filters, cursor, limit)| {
        match filters.is_empty() {
            true => one_page(engine.kept()),
            false => engine.retained(&filters, cursor, limit),
        }
    });

    /// unretaining takes the message out of queues
    "RET-12" unretaining_empties_queues: honest().outcomes(|engine, batch, _| {
        for op in &batch.ops {
            let Op::Unretain(topic) = op else { continue };
            for session in engine.sessions() {
                let same = engine.entries(session.id).into_iter();
                let same = same.filter(|entry| entry.message.as_ref().is_some_and(|message| message.topic == *topic));
                engine.write(session.id, batch.now, same.map(|entry| Op::Settle(entry.seq)));
            }
        }
    });

    /// retained messages go with the session that published them
    "RET-13" retained_messages_hang_on_their_publisher: {
        let published = Mutex::new(Vec::new());
        honest().outcomes(move |engine, batch, _| {
            let mut published = published.lock().expect("nobody panics with it");
            for op in &batch.ops {
                match op {
                    Op::Retain(message) => published.push((batch.author.session(), message.topic.clone())),
                    Op::EndSession(id) => {
                        let own = published.iter().filter(|(author, _)| *author == Some(*id));
                        engine.administer(batch.now, own.map(|(_, topic)| Op::Unretain(topic.clone())));
                    }
                    _ => {}
                }
            }
        })
    };

    /// of a filter with several wildcards the first is one
    "RET-14" a_second_wildcard_is_text: honest().retained(|engine, (filters, cursor, limit)| {
        let has_one = |text: &str| text.split('/').filter(|level| *level == "+").count() < 2;
        let mut page = engine.retained(&filters, cursor, limit)?;
        page.items.retain(|kept| {
            filters.iter().any(|filter| has_one(filter.as_str()) && filter.matches(&kept.message.topic))
        });
        Ok(page)
    });

    /// an exact filter is looked for among all
    "RET-16" every_read_looks_at_everything: {
        let count = Arc::new(Mutex::new(0));
        let also = Arc::clone(&count);
        honest()
            .outcomes(move |_, batch, _| {
                let retains = batch.ops.iter().filter(|op| matches!(op, Op::Retain(_))).count();
                *count.lock().expect("nobody panics with it") += retains;
            })
            .retained(move |engine, (filters, cursor, limit)| {
                let mut page = engine.retained(&filters, cursor, limit)?;
                page.examined = *also.lock().expect("nobody panics with it");
                Ok(page)
            })
    };

    /// a wildcard walks all that lies below the level before it
    "RET-17" a_plus_walks_what_lies_below: {
        honest().retained(move |engine, (filters, cursor, limit)| {
            let below: Vec<_> = filters
                .iter()
                .map(|asked| match asked.as_str().split_once('+') {
                    Some((before, _)) => filter(format!("{before}#")),
                    None => asked.clone(),
                })
                .collect();
            let limit = PageLimit { bytes: usize::MAX, ..limit };
            let mut page = engine.retained(&below, cursor, limit)?;
            page.items.retain(|kept| filters.iter().any(|filter| filter.matches(&kept.message.topic)));
            Ok(page)
        })
    };

    /// a page goes on until it is full, whatever it looks at
    "RET-21" no_page_ends_before_it_is_full: honest().retained(|engine, (filters, cursor, limit)| {
        let mut page = engine.retained(&filters, cursor, limit)?;
        while page.items.len() < limit.items && page.next.is_some() {
            let more = engine.retained(&filters, page.next, limit)?;
            page.items.extend(more.items);
            page.examined += more.examined;
            page.next = more.next;
        }
        Ok(page)
    });

    /// a retain whose message stands there already is not written, and keeps its version
    "GUA-06" an_equal_message_keeps_its_version: honest().skips(|engine, _, op| match op {
        Op::Retain(message) => {
            let kept = engine.kept_on(&message.topic).filter(|kept| kept.message == *message);
            kept.map(|kept| Outcome::Retained(kept.version))
        }
        _ => None,
    });

    /// an empty payload unretains, as it does on the wire
    "FID-06" an_empty_payload_unretains: honest().outcomes(|engine, batch, _| {
        let empty = |message: &Arc<Message>| message.payload.is_empty();
        let topics = batch.ops.iter().filter_map(|op| match op {
            Op::Retain(message) if empty(message) => Some(Op::Unretain(message.topic.clone())),
            _ => None,
        });
        engine.administer(batch.now, topics);
    });
}
