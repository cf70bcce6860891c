//! The backends that every conversation runs on, and the macros that make one test of each conversation on each.
//!
//! A conversation does not know where it runs: the store that it asks for is one of the backend that its test chose.
//! One that is written and not listed in its file's macro is dead code, which the lints refuse.

use std::cell::Cell;
use std::future::Future;

/// Where a conversation runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Sqlite,
    Sled,
}

thread_local! {
    static CURRENT: Cell<Option<Backend>> = const { Cell::new(None) };
}

impl Backend {
    /// The one that this test's thread has chosen.
    pub(crate) fn current() -> Backend {
        CURRENT.get().expect("a conversation is started by `talk` or `run`")
    }

    /// Runs a conversation with time paused.
    pub(crate) fn talk<F: Future<Output = ()>>(self, conversation: impl FnOnce() -> F) {
        self.run(|| {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            runtime.unwrap().block_on(conversation());
        });
    }

    /// Runs a conversation that brings runtimes of its own.
    pub(crate) fn run(self, conversation: impl FnOnce()) {
        CURRENT.set(Some(self));
        conversation();
    }
}

/// One test of each of these conversations on each backend.
macro_rules! conversations {
    ($($name:ident),+ $(,)?) => {
        $crate::backend::on_every_backend! { talk: $($name),+ }
    };
}

/// The same for those that outlive their broker.
macro_rules! restarts {
    ($($name:ident),+ $(,)?) => {
        $crate::backend::on_every_backend! { run: $($name),+ }
    };
}

macro_rules! on_every_backend {
    ($how:ident: $($name:ident),+) => {
        $crate::backend::on_backend! { memory Memory $how: $($name),+ }
        $crate::backend::on_backend! { sqlite Sqlite $how: $($name),+ }
        $crate::backend::on_backend! { sled Sled $how: $($name),+ }
    };
}

macro_rules! on_backend {
    ($module:ident $backend:ident $how:ident: $($name:ident),+) => {
        mod $module {
            $(
                #[test]
                fn $name() {
                    $crate::backend::Backend::$backend.$how(super::$name);
                }
            )+
        }
    };
}

pub(crate) use {conversations, on_backend, on_every_backend, restarts};
