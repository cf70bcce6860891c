//! Topic names, topic filters and matching beside `mqttbytes-core-next`, which has no packets but the
//! rules of chapter 4.7. Where it is known to differ, the rule is written down.

use mqttbytes_core as peer;
use opifex_packet::strategies::{topic_filter, topic_name};
use opifex_packet::{TopicFilter, TopicName};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const CASES: u32 = 4_000;

fn runner() -> TestRunner {
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[4; 32]))
}

/// Texts of the few characters that rules are about.
fn levels() -> impl Strategy<Value = String> {
    "[ab+#/$]{0,6}"
}

#[test]
fn a_topic_name_is_valid_to_both() {
    let outcome = runner().run(&levels(), |text| {
        // [MQTT-4.7.3-1]: the peer takes the empty name, which a topic alias stands for.
        let theirs = peer::valid_topic(&text) && !text.is_empty();
        prop_assert_eq!(TopicName::new(text.as_str()).is_ok(), theirs);
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_topic_filter_is_valid_to_both() {
    let outcome = runner().run(&levels(), |text| {
        // [MQTT-4.7.1-1] [MQTT-4.7.1-2]: the peer looks for more than one character in a last level
        // that holds a wildcard, and for + elsewhere as a level of its own: as we do.
        prop_assert_eq!(TopicFilter::new(text.as_str()).is_ok(), peer::valid_filter(&text));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_filter_matches_the_same_topics_to_both() {
    let texts = (levels(), levels()).prop_filter_map("valid", |(filter, topic)| {
        Some((TopicFilter::new(filter).ok()?, TopicName::new(topic).ok()?))
    });
    let pairs = prop_oneof![texts, (topic_filter(false), topic_name())];
    let (mut runner, matched) = (runner(), std::cell::Cell::new(0));
    let outcome = runner.run(&pairs, |(filter, topic)| {
        // [MQTT-4.7.2-1]: only a filter that begins with a wildcard leaves topics with $ alone; to
        // the peer nothing matches them.
        if !topic.is_dollar() {
            let ours = filter.matches(&topic);
            prop_assert_eq!(ours, peer::matches(topic.as_str(), filter.as_str()));
            matched.set(matched.get() + u32::from(ours));
        }
        Ok(())
    });
    outcome.unwrap();
    assert!((CASES / 50..CASES / 2).contains(&matched.get()), "{} of {CASES} matched", matched.get());
    assert!(
        !peer::matches("$a", "$a") && TopicFilter::new("$a").unwrap().matches(&TopicName::new("$a").unwrap())
    );
}
