//! What a tree answers, compared with a list of subscriptions and the packet crate's matching.

use opifex_packet::{TopicFilter, TopicName, filter_matches};
use proptest::prelude::*;

use super::TopicTree;
use super::path_hash::PathHasher;

fn filter(text: &str) -> TopicFilter<'_> {
    TopicFilter::new(text).unwrap()
}

fn tree_of(filters: &[&str]) -> TopicTree<u64, String> {
    let mut tree = TopicTree::new();
    for (key, text) in (0..).zip(filters) {
        assert_eq!(tree.insert(&filter(text), key, text.to_string()), None);
    }
    tree
}

/// The values found, sorted.
fn found<'t, V: Ord>(tree: &'t TopicTree<u64, V>, topic: &str) -> Vec<&'t V> {
    let mut found = Vec::new();
    tree.matches(&TopicName::new(topic).unwrap(), |_, value| found.push(value));
    found.sort();
    found
}

fn assert_nothing_is_left(tree: &TopicTree<u64, impl Sized>) {
    assert_eq!((tree.len(), tree.filters.len(), tree.table.len()), (0, 0, 0));
}

#[test]
fn a_filter_without_wildcards_matches_its_own_spelling_only() {
    let tree = tree_of(&["a/b", "a/b/c", "a", "A/b", "/a/b", "a/b/"]);
    assert_eq!(found(&tree, "a/b"), ["a/b"]);
    assert_eq!(found(&tree, "a/b/"), ["a/b/"]);
    assert_eq!(found(&tree, "/a/b"), ["/a/b"]);
    assert!(found(&tree, "b").is_empty());
}

#[test]
fn a_plus_matches_one_level_wherever_it_stands() {
    let tree = tree_of(&["+", "+/b", "a/+", "a/+/c", "+/+", "a/+/+/d", "+/+/c"]);
    assert_eq!(found(&tree, "a"), ["+"]);
    assert_eq!(found(&tree, "a/b"), ["+/+", "+/b", "a/+"]);
    assert_eq!(found(&tree, "a/b/c"), ["+/+/c", "a/+/c"]);
    assert_eq!(found(&tree, "a/b/c/d"), ["a/+/+/d"]);
    assert!(found(&tree, "x/y/z").is_empty());
}

#[test]
fn a_hash_matches_its_parent_level_and_everything_below() {
    let tree = tree_of(&["#", "a/#", "a/b/#", "a/+/#", "b/#"]);
    assert_eq!(found(&tree, "a"), ["#", "a/#"]);
    assert_eq!(found(&tree, "a/b"), ["#", "a/#", "a/+/#", "a/b/#"]);
    assert_eq!(found(&tree, "a/b/c/d"), ["#", "a/#", "a/+/#", "a/b/#"]);
    assert_eq!(found(&tree, "a/x"), ["#", "a/#", "a/+/#"]);
    assert_eq!(found(&tree, "ab"), ["#"]);
}

#[test]
fn a_leading_wildcard_does_not_match_a_dollar_topic() {
    let tree = tree_of(&["#", "+/a", "+/#", "$SYS/#", "$SYS/+", "$SYS/a", "b/+"]);
    assert_eq!(found(&tree, "$SYS/a"), ["$SYS/#", "$SYS/+", "$SYS/a"]);
    assert_eq!(found(&tree, "$SYS"), ["$SYS/#"]);
    assert!(found(&tree, "$").is_empty());
    assert_eq!(found(&tree, "b/$SYS"), ["#", "+/#", "b/+"]);
}

#[test]
fn an_empty_level_is_a_level() {
    let tree = tree_of(&["/", "+/+", "/+", "+/", "//", "+//+", "/#", "a//b", "+"]);
    assert_eq!(found(&tree, "/"), ["+/", "+/+", "/", "/#", "/+"]);
    assert_eq!(found(&tree, "//"), ["+//+", "/#", "//"]);
    assert_eq!(found(&tree, "a//b"), ["+//+", "a//b"]);
    assert_eq!(found(&tree, "a/"), ["+/", "+/+"]);
}

#[test]
fn a_topic_of_65536_levels_is_matched_on_a_small_stack() {
    let deepest = "/".repeat(65_535);
    let plus_at_the_end = format!("{}+", "/".repeat(65_534));
    let multi_at_the_end = format!("{}#", "/".repeat(65_534));
    let x_levels = "x/".repeat(32_767);
    let plus_levels = "+/".repeat(32_767);
    let check = move || {
        let tree = tree_of(&[&deepest, &plus_at_the_end, &multi_at_the_end, "/#", "+/+/#"]);
        assert_eq!(found(&tree, &deepest), ["+/+/#", "/#", &multi_at_the_end, &deepest]);
        assert_eq!(found(&tree, &deepest[1..]), ["+/+/#", "/#", &multi_at_the_end, &plus_at_the_end]);
        let tree = tree_of(&[&plus_levels, &x_levels, "+/#", "x/x/x/x/x/x/x/x/x/x/x/x/#", "x/+/x"]);
        assert_eq!(found(&tree, &x_levels).len(), 4);
    };
    std::thread::Builder::new().stack_size(64 * 1024).spawn(check).unwrap().join().unwrap();
}

#[test]
fn branches_that_wait_deeper_than_the_near_stack_are_all_taken() {
    let mut tree = TopicTree::new();
    let depth = 14;
    for shape in 0..1_u32 << depth {
        let levels: Vec<_> = (0..depth).map(|at| if shape >> at & 1 == 1 { "+" } else { "x" }).collect();
        tree.insert(&filter(&levels.join("/")), 7, shape);
    }
    assert_eq!(found(&tree, &["x"; 14].join("/")).len(), 1 << depth);
    assert_eq!(found(&tree, &["y"; 14].join("/")), [&((1 << depth) - 1)]);
}

#[test]
fn a_walk_goes_only_where_a_filter_does() {
    let mut tree = TopicTree::new();
    for number in 0..1_000_u64 {
        tree.insert(&filter(&format!("a/+/c{number}")), number, ());
        tree.insert(&filter(&format!("b{number}/+/c")), number, ());
    }
    let levels = super::TopicLevels::new(&tree.hasher, "a/x/c7");
    let mut candidates = 0;
    super::walk::walk(&tree.hasher, &tree.table, &levels, |_| candidates += 1);
    assert_eq!(candidates, 1);
}

#[test]
fn a_second_subscription_of_one_key_to_one_filter_replaces_the_first() {
    let mut tree = TopicTree::new();
    for text in ["a/b", "a/+"] {
        assert_eq!(tree.insert(&filter(text), 1, "first"), None);
        assert_eq!(tree.insert(&filter(text), 1, "second"), Some("first"));
        assert_eq!(tree.insert(&filter(text), 2, "other"), None);
        assert_eq!(tree.insert(&filter(text), 2, "another"), Some("other"));
        assert_eq!(tree.get(&filter(text), &1), Some(&"second"));
        assert_eq!(tree.get(&filter(text), &3), None);
    }
    assert_eq!(tree.len(), 4);
    assert_eq!(found(&tree, "a/b"), [&"another", &"another", &"second", &"second"]);
}

#[test]
fn what_a_subscription_carries_can_be_changed_in_place() {
    let mut tree = tree_of(&["a/+"]);
    tree.get_mut(&filter("a/+"), &0).unwrap().push('!');
    assert_eq!(found(&tree, "a/b"), ["a/+!"]);
    assert_eq!(tree.get_mut(&filter("a/+"), &1), None);
    assert_eq!(tree.get_mut(&filter("a/b"), &0), None);
}

#[test]
fn removing_every_subscription_leaves_nothing_behind() {
    let texts = ["a", "a/b", "a/+", "a/+/c", "#", "a/#", "+/+/#", "/", "$SYS/#", "a/b/c/d/e/f/g/h/i/j/+"];
    let mut tree = tree_of(&texts);
    for (key, text) in (0..).zip(texts) {
        tree.insert(&filter(text), key + 100, "second".to_string());
    }
    assert_eq!(tree.remove(&filter("a"), &5), None);
    assert_eq!(tree.remove(&filter("b"), &0), None);
    for (key, text) in (0..).zip(texts) {
        assert_eq!(tree.remove(&filter(text), &key).as_deref(), Some(text));
        assert_eq!(tree.remove(&filter(text), &key), None);
        assert_eq!(tree.remove(&filter(text), &(key + 100)).as_deref(), Some("second"));
    }
    assert_nothing_is_left(&tree);
}

#[test]
fn the_version_grows_with_every_change_and_with_nothing_else() {
    let mut tree = TopicTree::new();
    let mut last = tree.version();
    let mut has_changed = |version: u64| std::mem::replace(&mut last, version) < version;
    tree.insert(&filter("a/+"), 1_u64, 1);
    assert!(has_changed(tree.version()));
    tree.insert(&filter("a/+"), 1, 2);
    assert!(has_changed(tree.version()));
    assert_eq!(tree.remove(&filter("a/+"), &2), None);
    assert_eq!(tree.get(&filter("a/+"), &1), Some(&2));
    assert_eq!(found(&tree, "a/b"), [&2]);
    assert!(!has_changed(tree.version()));
    *tree.get_mut(&filter("a/+"), &1).unwrap() = 3;
    assert!(has_changed(tree.version()));
    tree.remove(&filter("a/+"), &1);
    assert!(has_changed(tree.version()));
}

#[test]
fn a_crowd_on_one_filter_comes_and_goes() {
    let mut tree = TopicTree::new();
    for key in 0..1_000 {
        tree.insert(&filter("news/#"), key, key);
    }
    assert_eq!(tree.len(), 1_000);
    assert_eq!(found(&tree, "news").len(), 1_000);
    for key in (0..1_000).rev() {
        assert_eq!(tree.remove(&filter("news/#"), &key), Some(key));
        assert_eq!(found(&tree, "news").len(), key as usize);
    }
    assert_nothing_is_left(&tree);
}

#[derive(Clone, Debug)]
enum Step {
    Insert(String, u64, u32),
    Remove(String, u64),
    /// Of what is there: the nth.
    RemoveNth(prop::sample::Index),
    Match(String),
}

/// Few different levels, so that filters and topics meet; some with bytes beyond ASCII or long
/// enough for the heap.
fn level() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => prop::sample::select(vec!["a", "b", "c"]),
        1 => prop::sample::select(vec!["", "$a", "ä", "a level that is longer than thirty bytes"]),
    ]
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..12)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has a byte or more", |topic| !topic.is_empty())
}

fn any_filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 1 => Just("+")];
    (prop::collection::vec(level, 0..12), prop::bool::weighted(0.25))
        .prop_map(|(mut levels, multi)| {
            if multi {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has a byte or more", |filter| !filter.is_empty())
}

/// Half of them short: there the trees are dense.
fn short(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (text, any::<bool>()).prop_map(|(text, cut)| {
        let end = text.match_indices('/').nth(2).map_or(text.len(), |(at, _)| at);
        if cut && end > 0 { text[..end].to_string() } else { text }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (short(any_filter()), 0..3_u64, any::<u32>()).prop_map(|(f, k, v)| Step::Insert(f, k, v)),
        1 => (short(any_filter()), 0..3_u64).prop_map(|(f, k)| Step::Remove(f, k)),
        2 => any::<prop::sample::Index>().prop_map(Step::RemoveNth),
        4 => short(topic()).prop_map(Step::Match),
    ]
}

fn check_against_a_list(mut tree: TopicTree<u64, u32>, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut list: Vec<(String, u64, u32)> = Vec::new();
    for step in steps {
        match step {
            Step::Insert(text, key, value) => {
                let old = list.iter_mut().find(|entry| entry.0 == text && entry.1 == key);
                let old = match old {
                    Some(entry) => Some(std::mem::replace(&mut entry.2, value)),
                    None => {
                        list.push((text.clone(), key, value));
                        None
                    }
                };
                prop_assert_eq!(tree.insert(&filter(&text), key, value), old);
                prop_assert_eq!(tree.get(&filter(&text), &key), Some(&value));
            }
            Step::Remove(text, key) => {
                let at = list.iter().position(|entry| entry.0 == text && entry.1 == key);
                let old = at.map(|at| list.swap_remove(at).2);
                prop_assert_eq!(tree.remove(&filter(&text), &key), old);
            }
            Step::RemoveNth(nth) if !list.is_empty() => {
                let (text, key, value) = list.swap_remove(nth.index(list.len()));
                prop_assert_eq!(tree.remove(&filter(&text), &key), Some(value));
                prop_assert_eq!(tree.get(&filter(&text), &key), None);
            }
            Step::RemoveNth(_) => {}
            Step::Match(topic) => {
                let mut expected: Vec<_> = list
                    .iter()
                    .filter(|(text, _, _)| filter_matches(text, &topic))
                    .map(|(_, key, value)| (*key, *value))
                    .collect();
                let mut found = Vec::new();
                tree.matches(&TopicName::new(&*topic).unwrap(), |key, value| found.push((*key, *value)));
                expected.sort_unstable();
                found.sort_unstable();
                prop_assert_eq!(found, expected, "of {}", topic);
            }
        }
        prop_assert_eq!(tree.len(), list.len());
    }
    for (text, key, value) in list {
        prop_assert_eq!(tree.remove(&filter(&text), &key), Some(value));
    }
    assert_nothing_is_left(&tree);
    Ok(())
}

proptest! {
    #[test]
    fn a_tree_answers_as_a_list_does(steps in prop::collection::vec(step(), 0..200)) {
        check_against_a_list(TopicTree::new(), steps)?;
    }

    #[test]
    fn a_tree_answers_as_a_list_does_when_hashes_collide(
        steps in prop::collection::vec(step(), 0..100),
        kept_bits in prop::sample::select(vec![0, 1 << 40, 3 << 40, 0xf << 40]),
    ) {
        check_against_a_list(TopicTree::with_hasher(PathHasher::with_collisions(kept_bits)), steps)?;
    }
}
