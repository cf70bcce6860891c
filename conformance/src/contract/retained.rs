//! Retained messages: one a topic, found by filters, at a cost of what is found.

use std::sync::Arc;

use opifex_storage::{Expectation, Guard, GuardedRecord, Op, Outcome, PageLimit, Persistence};

use crate::script::{filter, id, message, target, topic};
use crate::{Factory, Subject, Tier};

/// Retains an empty message on each topic.
async fn retain_topics<F: Factory>(s: &Subject<F>, topics: &[&str]) {
    s.retain_all(topics.iter().map(|topic| message(topic, ""))).await;
}

/// What comes back is the message and the version that the outcome said.
pub async fn a_retained_message_is_read_by_its_topic<F: Factory>(s: Subject<F>) {
    let version = s.retain(message("a/b", "x")).await;
    s.retain(message("a/c", "y")).await;
    let (found, _) = s.retained(&["a/b"]).await;
    assert_eq!(found.len(), 1);
    assert_eq!(*found[0].message, message("a/b", "x"));
    assert_eq!(found[0].version, version);
    assert!(s.retained(&["a"]).await.0.is_empty());
}

/// The last one counts.
pub async fn a_topic_has_one_retained_message<F: Factory>(s: Subject<F>) {
    let first = s.retain(message("a", "1")).await;
    let second = s.retain(message("a", "2")).await;
    assert_ne!(first, second);
    let (found, _) = s.retained(&["#"]).await;
    assert_eq!(found.len(), 1);
    assert_eq!(&found[0].message.payload[..], b"2");
    assert_eq!(found[0].version, second);
}

/// Removing answers whether there was one.
pub async fn unretaining_removes_once<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a", "a/b"]).await;
    assert_eq!(s.one(s.by_broker(), Op::Unretain(topic("a"))).await, Outcome::Done);
    assert_eq!(s.one(s.by_broker(), Op::Unretain(topic("a"))).await, Outcome::Absent);
    assert_eq!(s.topics(&["#"]).await, ["a/b"]);
}

/// A version that came again would let a stale guard through.
pub async fn a_topic_that_comes_back_has_a_version_that_it_never_had<F: Factory>(s: Subject<F>) {
    let first = s.retain(message("a", "x")).await;
    s.one(s.by_broker(), Op::Unretain(topic("a"))).await;
    let second = s.retain(message("a", "x")).await;
    assert_ne!(first, second);
    let mut batch = s.by_broker().with(Op::Unretain(topic("a")));
    let record = GuardedRecord::Retained(topic("a"));
    batch.guards.push(Guard { record, expect: Expectation::AtVersion(first) });
    s.refuse(batch, opifex_storage::ErrorKind::Conflict).await;
}

/// One level, whatever is in it, and no more.
pub async fn a_plus_stands_for_one_level<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a", "a/b", "a/b/c", "a/", "a//c", "a/x/c", "b/x/c", "/c", "a/b/d"]).await;
    assert_eq!(s.topics(&["a/+"]).await, ["a/", "a/b"]);
    assert_eq!(s.topics(&["a/+/c"]).await, ["a//c", "a/b/c", "a/x/c"]);
    assert_eq!(s.topics(&["+"]).await, ["a"]);
    assert_eq!(s.topics(&["+/+"]).await, ["/c", "a/", "a/b"]);
    assert_eq!(s.topics(&["+/x/+"]).await, ["a/x/c", "b/x/c"]);
}

/// The parent level, too ([MQTT-4.7.1-2]).
pub async fn a_hash_stands_for_its_parent_and_all_below<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a", "a/b", "a/b/c", "a/", "ab", "a0/b", "b", "/a"]).await;
    assert_eq!(s.topics(&["a/#"]).await, ["a", "a/", "a/b", "a/b/c"]);
    assert_eq!(s.topics(&["a/b/#"]).await, ["a/b", "a/b/c"]);
    assert_eq!(s.topics(&["+/b/#"]).await, ["a/b", "a/b/c", "a0/b"]);
    assert_eq!(s.topics(&["/#"]).await, ["/a"]);
    assert_eq!(s.topics(&["#"]).await.len(), 8);
}

/// [MQTT-4.7.2-1]
pub async fn a_leading_wildcard_does_not_find_dollar_topics<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["$SYS/a", "$x", "a", "a/$b", "!/a", "~/a"]).await;
    assert_eq!(s.topics(&["#"]).await, ["!/a", "a", "a/$b", "~/a"]);
    assert_eq!(s.topics(&["+/a"]).await, ["!/a", "~/a"]);
    assert_eq!(s.topics(&["+/#"]).await, ["!/a", "a", "a/$b", "~/a"]);
    assert_eq!(s.topics(&["+"]).await, ["a"]);
    assert_eq!(s.topics(&["$SYS/#"]).await, ["$SYS/a"]);
    assert_eq!(s.topics(&["$x"]).await, ["$x"]);
    assert_eq!(s.topics(&["a/+"]).await, ["a/$b"]);
}

/// An empty level is a level like any other.
pub async fn empty_levels_are_levels<F: Factory>(s: Subject<F>) {
    let topics = ["/", "//", "a", "a/", "a//", "/a", "/a/", "a//b"];
    retain_topics(&s, &topics).await;
    for topic in topics {
        assert_eq!(s.topics(&[topic]).await, [topic], "exactly {topic:?}");
    }
    assert_eq!(s.topics(&["+/+"]).await, ["/", "/a", "a/"]);
    assert_eq!(s.topics(&["+/+/+"]).await, ["//", "/a/", "a//", "a//b"]);
    assert_eq!(s.topics(&["//#"]).await, ["/", "//"]);
}

/// A topic is text to the store: what its engine may take for a pattern is not one.
pub async fn what_other_languages_take_for_patterns_is_plain_text<F: Factory>(s: Subject<F>) {
    let topics = ["a%b", "a_b", "a*b", "a?b", "a.b", "a\\b", "a'b", "a\"b", "axb", "[a]b", "a b", "a;b"];
    retain_topics(&s, &topics).await;
    for topic in topics {
        assert_eq!(s.topics(&[topic]).await, [topic], "exactly {topic:?}");
    }
    assert_eq!(s.topics(&["+"]).await.len(), topics.len());
    assert_eq!(s.one(s.by_broker(), Op::Unretain(topic("a_b"))).await, Outcome::Done);
    assert_eq!(s.topics(&["+"]).await.len(), topics.len() - 1);
}

/// Several filters of one SUBSCRIBE overlap.
pub async fn overlapping_filters_find_each_message_once<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a/b", "a/c", "b/c", "b/d", "c"]).await;
    let filters = ["a/#", "+/c", "a/b", "a/+", "zzz", "b/c"];
    assert_eq!(s.topics(&filters).await, ["a/b", "a/c", "b/c"]);
    let mut backwards = filters;
    backwards.reverse();
    assert_eq!(s.topics(&backwards).await, ["a/b", "a/c", "b/c"]);
    assert_eq!(s.topics(&["c", "c", "#", "c"]).await, ["a/b", "a/c", "b/c", "b/d", "c"]);
}

/// Nothing asked, nothing answered.
pub async fn no_filter_finds_nothing<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a"]).await;
    assert!(s.topics(&[]).await.is_empty());
    assert!(s.topics(&["b", "a/+"]).await.is_empty());
}

/// Retained and queued share a body, and neither takes the other's.
pub async fn unretaining_leaves_what_is_queued<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let body = Arc::new(message("a", "x"));
    let batch = s.by_broker().with(Op::Retain(Arc::clone(&body)));
    s.submit(batch.with(Op::Enqueue { message: body, targets: vec![target(id(&c))] })).await;
    s.one(s.by_broker(), Op::Unretain(topic("a"))).await;
    assert_eq!(s.payloads(id(&c)).await, ["x"]);
}

/// They hang on no session.
pub async fn retained_messages_outlive_their_publishers_session<F: Factory>(mut s: Subject<F>) {
    let c = s.connect("c").await;
    s.one(s.by(&c), Op::Retain(Arc::new(message("a", "x")))).await;
    s.one(s.by(&c), Op::EndSession(id(&c))).await;
    let before = s.retained(&["a"]).await.0;
    s.reopen().await;
    assert_eq!(s.retained(&["a"]).await.0, before);
    assert_eq!(before.len(), 1);
}

/// Topics and filters out of few levels, compared with matching one by one.
pub async fn filters_find_exactly_what_they_match<F: Factory>(s: Subject<F>) {
    let levels = ["", "a", "ab", "b", "$a", "a\u{1}", "é"];
    let mut topics = Vec::new();
    for first in levels {
        topics.push(first.to_owned());
        for second in levels {
            topics.push(format!("{first}/{second}"));
            topics.extend(["", "a", "b"].map(|third| format!("{first}/{second}/{third}")));
        }
    }
    topics.retain(|topic| !topic.is_empty());
    // Every third is missing, so that there are parents without children and children without parents.
    let topics: Vec<_> = topics.into_iter().enumerate().filter(|(n, _)| n % 3 != 0).map(|(_, t)| t).collect();
    s.retain_all(topics.iter().map(|topic| message(topic, ""))).await;

    let levels = ["", "a", "ab", "b", "$a", "a\u{1}", "+"];
    let mut filters: Vec<String> = vec!["#".into(), "+".into()];
    for first in levels {
        for second in levels {
            filters.push(format!("{first}/{second}"));
            filters.extend(["#", "+", "", "b", "+/#", "a/#"].map(|rest| format!("{first}/{second}/{rest}")));
        }
    }
    for text in filters {
        let wanted = filter(&text);
        let mut expected: Vec<_> =
            topics.iter().filter(|name| wanted.matches(&topic(name))).cloned().collect();
        expected.sort();
        assert_eq!(s.topics(&[&text]).await, expected, "{text:?}");
    }
}

/// A page ends with its limit, and the next goes on behind it.
pub async fn pages_of_one_find_everything<F: Factory>(s: Subject<F>) {
    retain_topics(&s, &["a/1/x", "a/2/x", "a/2/y", "a/3/x", "b/1", "c"]).await;
    let filters = [filter("a/+/x"), filter("a/2/#"), filter("c")];
    let (mut found, mut cursor) = (Vec::new(), None);
    for _ in 0..100 {
        let page = s.store().retained(&filters, cursor, PageLimit::items(1)).await.expect("it can be read");
        assert!(page.items.len() <= 1);
        found.extend(page.items.iter().map(|item| item.message.topic.as_str().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(cursor, None, "the walk ends");
    found.sort();
    assert_eq!(found, ["a/1/x", "a/2/x", "a/2/y", "a/3/x", "c"]);
}

/// What a read may look at: some times what it finds and the distinct values at its wildcard levels.
fn allowed(matches: usize, values: usize) -> usize {
    4 * (matches + values) + 100
}

/// How many there are where a case says many.
fn count() -> usize {
    Tier::of(5_000, 100_000)
}

/// `a/<100>/<others>`, and `c` below each of the hundred.
async fn many<F: Factory>(s: &Subject<F>) {
    let others = (0..count()).map(|n| {
        // Half of the others lie before `c`, half behind it.
        let side = if n / 100 % 2 == 0 { 'b' } else { 'n' };
        message(&format!("a/v{}/{side}{}", n % 100, n / 100), "")
    });
    s.retain_all(others).await;
    s.retain_all((0..100).map(|n| message(&format!("a/v{n}/c"), ""))).await;
}

/// One look-up, however many there are.
pub async fn an_exact_filter_among_many_costs_one_look_up<F: Factory>(s: Subject<F>) {
    many(&s).await;
    let (found, examined) = s.retained(&["a/v7/n41"]).await;
    assert_eq!(found.len(), 1);
    assert!((1..=allowed(1, 0)).contains(&examined), "looked at {examined}");
}

/// The distinct values at the wildcard's level, not what lies below them.
pub async fn a_plus_among_many_costs_the_values_at_its_level<F: Factory>(s: Subject<F>) {
    many(&s).await;
    let (found, examined) = s.retained(&["a/+/c"]).await;
    assert_eq!(found.len(), 100);
    assert!((100..=allowed(100, 100)).contains(&examined), "looked at {examined}");
}

/// Two wildcard levels: the values at the first, and below each those at the second.
pub async fn two_pluses_among_many_cost_the_values_at_both_levels<F: Factory>(s: Subject<F>) {
    // Half of the others lie before what is sought, half behind it.
    let others = (0..count()).map(|n| {
        let side = if n / 200 % 2 == 0 { "x" } else { "z" };
        message(&format!("r{}/s{}/{side}/n{}", n % 10, n / 10 % 20, n / 200), "")
    });
    s.retain_all(others).await;
    s.retain_all((0..10).map(|n| message(&format!("r{n}/s3/y"), ""))).await;
    let (found, examined) = s.retained(&["+/+/y"]).await;
    assert_eq!(found.len(), 10);
    assert!((10..=allowed(10, 10 + 200)).contains(&examined), "looked at {examined}");
}

/// What lies below, and no neighbour.
pub async fn a_hash_among_many_costs_what_lies_below_it<F: Factory>(s: Subject<F>) {
    many(&s).await;
    let (found, examined) = s.retained(&["a/v7/#"]).await;
    let below = count() / 100 + 1;
    assert_eq!(found.len(), below);
    assert!((below..=allowed(below, 0)).contains(&examined), "looked at {examined}");
}

/// Finding nothing is cheap when nothing has the filter's first levels.
pub async fn a_wildcard_among_many_that_finds_nothing_costs_nothing<F: Factory>(s: Subject<F>) {
    many(&s).await;
    for text in ["b/+/c", "a/v1000/#", "a/v7/c/+", "+/v7/d"] {
        let (found, examined) = s.retained(&[text]).await;
        assert!(found.is_empty(), "{text}");
        assert!(examined <= allowed(0, 1), "{text} looked at {examined}");
    }
}

/// A walk that finds little among much is cut into pages all the same: no page looks at everything.
pub async fn no_page_looks_at_everything<F: Factory>(s: Subject<F>) {
    let others = (0..Tier::of(6_000, 50_000)).map(|n| message(&format!("a/v{n}/x"), ""));
    s.retain_all(others).await;
    retain_topics(&s, &["a/v9/c"]).await;
    // Several filters, so that a few messages are much to look at.
    let filters = ["a/+/c", "a/+/d", "a/+/e", "+/+/d"].map(filter);
    let (mut found, mut cursor) = (0, None);
    loop {
        let page = s.store().retained(&filters, cursor, PageLimit::items(10)).await.expect("it can be read");
        assert!(page.examined <= 20_000, "one page looked at {}", page.examined);
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, 1);
}
