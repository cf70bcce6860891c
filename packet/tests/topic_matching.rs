//! Topic matching beside a model: every filter and every topic of up to four levels over a few
//! levels that matter.

use opifex_packet::*;

/// The rules of chapter 4.7 over lists of levels, one step after the other.
fn model(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) => true,
        ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => model(filter, topic),
        ([one, filter @ ..], [other, topic @ ..]) if one == other => model(filter, topic),
        _ => false,
    }
}

fn all(levels: &[&'static str], most: usize) -> Vec<String> {
    let mut all: Vec<String> = levels.iter().map(|level| (*level).to_owned()).collect();
    let mut last = all.clone();
    for _ in 1..most {
        last = last
            .iter()
            .flat_map(|front| levels.iter().map(move |level| format!("{front}/{level}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

#[test]
fn matching_agrees_with_the_model() {
    let topics: Vec<_> =
        all(&["", "a", "b", "$a"], 4).into_iter().filter_map(|topic| TopicName::new(topic).ok()).collect();
    let filters: Vec<_> = all(&["", "a", "$a", "+", "#"], 4)
        .into_iter()
        .filter_map(|filter| TopicFilter::new(filter).ok())
        .collect();
    let mut matches = 0;
    for filter in &filters {
        let filter_levels: Vec<_> = filter.levels().collect();
        for topic in &topics {
            let topic_levels: Vec<_> = topic.levels().collect();
            // [MQTT-4.7.2-1]
            let hidden = topic.is_dollar() && ["+", "#"].contains(&filter_levels[0]);
            let expected = !hidden && model(&filter_levels, &topic_levels);
            assert_eq!(filter.matches(topic), expected, "{filter} on {topic}");
            assert_eq!(filter_matches(filter.as_str(), topic.as_str()), expected);
            matches += usize::from(expected);
        }
    }
    assert!(matches > 1000 && matches < filters.len() * topics.len() / 4, "{matches}");
}

#[test]
fn a_filter_without_wildcards_matches_its_own_topic_and_no_other() {
    let topics = all(&["", "a", "A", "é", "e\u{301}"], 3);
    for filter in topics.iter().filter_map(|filter| TopicFilter::new(filter.as_str()).ok()) {
        for topic in topics.iter().filter_map(|topic| TopicName::new(topic.as_str()).ok()) {
            // [MQTT-4.7.3-4]: nothing is normalised.
            assert_eq!(filter.matches(&topic), filter.as_str() == topic.as_str());
        }
    }
}
