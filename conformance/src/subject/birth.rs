//! How a case comes by its store. What is wrong with a factory is said here, to those who wrote it, and not as whatever
//! a case stumbles over later.

use std::future::poll_fn;
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::task::Context;

use opifex_storage::{PageLimit, Persistence, RecordKind, Result};

use crate::Factory;
use crate::verdict::message_of;

/// A new place.
pub(super) fn place<F: Factory>(factory: &F) -> F::Place {
    panic::catch_unwind(AssertUnwindSafe(|| factory.place())).unwrap_or_else(|panic| {
        panic!(
            "the factory `{}` made no place for a store: {}. `Factory::place` is called for each store of each case, from \
             many threads, and makes a new place each time; one that exists already is somebody else's",
            factory.name(),
            message_of(&*panic)
        )
    })
}

/// The store of a new place, which must be empty.
pub(super) async fn open<F: Factory>(factory: &F, place: &F::Place) -> F::Store {
    let name = factory.name();
    let store = opened(factory, place).await.unwrap_or_else(|error| {
        panic!(
            "the factory `{name}` cannot open the store of a place that it has just made: {error} ({:?}). \
             `Factory::open` has to create what is missing; and if somebody else has the store open, \
             `Factory::place` gave the same place twice",
            error.kind()
        )
    });
    for kind in RecordKind::ALL {
        let page = store.scan(kind, None, PageLimit::items(1)).await;
        let page = page
            .unwrap_or_else(|error| panic!("the new store of `{name}` cannot be read ({kind:?}): {error}"));
        if let Some(record) = page.items.first() {
            panic!(
                "the place that the factory `{name}` made is not empty, its store holds {record:.200?}: each call of \
                 `Factory::place` has to make a new and empty place, which nobody else uses while its guard lives"
            );
        }
    }
    store
}

/// The store of a place that it was closed in.
pub(super) async fn open_again<F: Factory>(factory: &F, place: &F::Place) -> F::Store {
    opened(factory, place).await.unwrap_or_else(|error| {
        panic!(
            "the factory `{}` cannot open a place again whose store was closed and dropped: {error} ({:?}). If something \
             is still locked, `close` or the store's drop has to wait until it is free",
            factory.name(),
            error.kind()
        )
    })
}

/// What the factory answers; it must answer something.
async fn opened<F: Factory>(factory: &F, place: &F::Place) -> Result<F::Store> {
    let mut open = pin!(factory.open(place));
    let poll = |cx: &mut Context<'_>| {
        panic::catch_unwind(AssertUnwindSafe(|| open.as_mut().poll(cx))).unwrap_or_else(|panic| {
            panic!(
                "the factory `{}` panicked while it opened a store: {}. `Factory::open` answers what goes wrong as an \
                 error; and a backend that needs a runtime around its futures gets it from `Factory::block_on`",
                factory.name(),
                message_of(&*panic)
            )
        })
    };
    poll_fn(poll).await
}
