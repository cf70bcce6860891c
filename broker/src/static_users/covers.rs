//! Whether one topic filter stands for every topic that another stands for.

/// Whether every topic that `asked` matches is matched by `allowed`. Both are taken to be valid and not shared.
pub(super) fn covers(allowed: &str, asked: &str) -> bool {
    // [MQTT-4.7.2-1] a leading wildcard does not stand for `$...`
    if asked.starts_with('$') && allowed.starts_with(['+', '#']) {
        return false;
    }
    let mut asked_levels = asked.split('/');
    let mut allowed_levels = allowed.split('/');
    while let Some(level) = allowed_levels.next() {
        // `#` stands for any number of levels, none included: whatever `asked` goes on with is in it.
        if level == "#" {
            return true;
        }
        match asked_levels.next() {
            // `a/#` stands for `a` too, which `a/+/#` does not. But no topic is empty: of `#` and `/#` each topic has
            // a level where the `#` is, and there `+/#` is the same.
            Some("#") => return matches!(asked, "#" | "/#") && level == "+" && allowed_levels.eq(["#"]),
            Some(asked_level) if level == "+" || level == asked_level => {}
            Some(_) | None => return false,
        }
    }
    asked_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use opifex_packet::{TopicFilter, TopicName, filter_matches};

    use super::covers;

    /// Every text of up to `depth` levels.
    fn texts(levels: &[&str], depth: usize) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let mut longest = vec![String::new()];
        for deep in 0..depth {
            let join = |head: &String, level: &&str| {
                if deep == 0 { (*level).to_owned() } else { format!("{head}/{level}") }
            };
            longest =
                longest.iter().flat_map(|head| levels.iter().map(move |level| join(head, level))).collect();
            all.extend(longest.iter().cloned());
        }
        all
    }

    /// A short filter and every topic that could tell it from another short one.
    #[test]
    fn covers_says_exactly_what_matching_every_topic_says() {
        let topics = texts(&["", "a", "b", "c", "$s", "$t"], 4);
        let topics: Vec<&String> =
            topics.iter().filter(|topic| TopicName::new(topic.as_str()).is_ok()).collect();
        let filters = texts(&["", "a", "b", "$s", "+", "#"], 3);
        let filters: Vec<(&String, Vec<bool>)> = filters
            .iter()
            .filter(|filter| TopicFilter::new(filter.as_str()).is_ok())
            .map(|filter| (filter, topics.iter().map(|topic| filter_matches(filter, topic)).collect()))
            .collect();
        assert!(filters.len() > 150 && topics.len() > 1_500);
        for (allowed, by_allowed) in &filters {
            for (asked, by_asked) in &filters {
                let expected = by_asked.iter().zip(by_allowed).all(|(asked, allowed)| *allowed || !*asked);
                assert_eq!(covers(allowed, asked), expected, "whether {allowed} covers {asked}");
            }
        }
    }
}
