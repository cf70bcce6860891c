//! What a factory that is wrong hears: which of its methods it was, what it did, and what is asked of it.

#[path = "memory/factory.rs"]
mod memory;

use std::sync::LazyLock;

use memory::Memory;
use opifex_conformance::{Directory, Factory, Verdict, Waiver, judge_by_id};
use opifex_storage::{ErrorKind, Result, StoreError};
use opifex_storage_memory::MemoryStore;

/// What a case that opens its place twice says of a factory.
fn says(factory: impl Factory) -> String {
    let judgement = judge_by_id(factory, "SES-17");
    assert_eq!(judgement.verdict, Verdict::Failed);
    judgement.reason.expect("a failure has a reason")
}

#[track_caller]
fn holds(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "{word:?} is missing in {said:?}");
    }
}

struct Opens<F>(F);

impl<F: Fn(&MemoryStore) -> Result<MemoryStore> + Send + Sync + 'static> Factory for Opens<F> {
    type Store = MemoryStore;
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
        (self.0)(place)
    }
}

#[test]
fn a_place_that_cannot_be_made() {
    struct Taken(Directory);

    impl Factory for Taken {
        type Store = MemoryStore;
        type Place = ();

        fn place(&self) {
            std::fs::create_dir(self.0.path()).expect("a directory for the store");
        }

        async fn open(&self, _place: &()) -> Result<MemoryStore> {
            Ok(MemoryStore::new())
        }
    }

    let said = says(Taken(Directory::new()));
    holds(&said, &["the factory `Taken` made no place", "a directory for the store", "AlreadyExists"]);
    holds(&said, &["makes a new place each time"]);
}

#[test]
fn a_store_that_cannot_be_opened() {
    let said = says(Opens(|_: &MemoryStore| {
        Err(StoreError::not_applied(ErrorKind::Fatal, "the licence has expired"))
    }));
    holds(&said, &["the factory `Opens` cannot open", "the licence has expired (Fatal)", "`Factory::open`"]);
}

#[test]
fn a_place_that_somebody_has_used() {
    struct Same;
    static USED: LazyLock<MemoryStore> = LazyLock::new(MemoryStore::new);

    impl Factory for Same {
        type Store = MemoryStore;
        type Place = MemoryStore;

        fn place(&self) -> MemoryStore {
            USED.clone()
        }

        async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
            Ok(place.reopen())
        }
    }

    assert_eq!(judge_by_id(Same, "SES-01").verdict, Verdict::Passed, "the first one cannot know");
    let said = says(Same);
    holds(&said, &["`Same` made is not empty", "Session", "has to make a new and empty place"]);
}

#[test]
fn a_store_that_is_closed_when_it_is_new() {
    let said = says(Opens(|place: &MemoryStore| {
        let store = place.reopen();
        opifex_conformance::block_on(opifex_storage::Persistence::close(&store))?;
        Ok(store)
    }));
    holds(&said, &["the new store of `Opens` cannot be read", "closed"]);
}

#[test]
fn a_place_that_opens_once() {
    let opened = std::sync::atomic::AtomicBool::new(false);
    let said = says(Opens(move |place: &MemoryStore| {
        if opened.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return Err(StoreError::not_applied(ErrorKind::Retry, "the file is locked"));
        }
        Ok(place.reopen())
    }));
    holds(&said, &["cannot open a place again", "the file is locked (Retry)", "until it is free"]);
}

#[test]
fn a_store_whose_opening_panics() {
    let said = says(Opens(|_: &MemoryStore| panic!("there is no reactor running")));
    holds(&said, &["the factory `Opens` panicked while it opened a store", "there is no reactor running"]);
    holds(&said, &["answers what goes wrong as an error", "`Factory::block_on`"]);
}

#[test]
fn a_waiver_of_a_case_that_there_is_not() {
    let waivers = &[Waiver { id: "SES-170", reason: "mistyped" }];
    let mistyped = Memory { waivers, ..Memory::default() };
    holds(&says(mistyped), &["the factory waives \"SES-170\"", "there is no case of that id"]);
}
