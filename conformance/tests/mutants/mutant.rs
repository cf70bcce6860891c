//! One broken store in the table, and running a case on it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use opifex_conformance::{Factory, Judgement, Verdict, judge_by_id};
use opifex_storage::Result;

use crate::broken::{Behaviour, Broken, honest};
use crate::engine::Engine;

/// How long a case may take before it counts as hanging. A mutant that hangs costs this once; a busy machine must not.
const DEADLINE: Duration = Duration::from_secs(60);

/// A store that is broken on purpose.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    /// What it does wrong.
    pub(crate) breaks: &'static str,
    /// The case that is there to notice.
    pub(crate) case: &'static str,
    pub(crate) make: fn() -> Behaviour,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Passed,
    Failed(String),
    Hung,
}

/// Writes a part of the table: what each breaks as its documentation, the case that must notice, its name, how it
/// behaves. Each is a test of its name.
macro_rules! mutants {
    ($($(#[doc = $breaks:literal])+ $case:literal $name:ident: $behaviour:expr;)+) => {
        $($(#[doc = $breaks])+ fn $name() -> $crate::broken::Behaviour { $behaviour })+

        pub(crate) const TABLE: &[$crate::mutant::Mutant] = &[$($crate::mutant::Mutant {
            name: stringify!($name),
            breaks: concat!($($breaks),+),
            case: $case,
            make: $name,
        }),+];

        mod is_caught_when {
            $(#[test] fn $name() { $crate::mutant::is_caught(super::TABLE, stringify!($name)); })+
        }
    };
}
pub(crate) use mutants;

/// The named case fails on the mutant, and passes on a store that is whole.
pub(crate) fn is_caught(table: &[Mutant], name: &str) {
    let mutant = table.iter().find(|mutant| mutant.name == name).expect("it is in its table");
    assert_eq!(judge(honest, mutant.case), Found::Passed, "{} is about a whole store", mutant.case);
    println!("What fails below is meant to:");
    let found = judge(mutant.make, mutant.case);
    assert_ne!(found, Found::Passed, "{} does not notice: {}", mutant.case, mutant.breaks);
}

/// Runs a case on stores that behave so. One that hangs is left behind.
pub(crate) fn judge(make: fn() -> Behaviour, id: &'static str) -> Found {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(judge_by_id(Subject { make }, id)));
    match receiver.recv_timeout(DEADLINE) {
        Ok(Judgement { verdict: Verdict::Failed, reason, .. }) => Found::Failed(reason.unwrap_or_default()),
        Ok(_) => Found::Passed,
        Err(mpsc::RecvTimeoutError::Timeout) => Found::Hung,
        Err(mpsc::RecvTimeoutError::Disconnected) => Found::Failed(format!("{id} could not be run")),
    }
}

/// Makes stores that behave as a mutant does.
struct Subject {
    make: fn() -> Behaviour,
}

/// What its stores hold, whether somebody has one open or not.
struct Place {
    engine: Arc<Engine>,
    behaviour: Arc<Behaviour>,
    is_new: AtomicBool,
}

impl Factory for Subject {
    type Store = Broken;
    type Place = Place;

    fn place(&self) -> Place {
        let behaviour = (self.make)();
        let engine = Arc::new(Engine::new(behaviour.limits.clone()));
        Place { engine, behaviour: Arc::new(behaviour), is_new: AtomicBool::new(true) }
    }

    async fn open(&self, place: &Place) -> Result<Broken> {
        place.engine.reopen();
        if !place.is_new.swap(false, Ordering::Relaxed) {
            (place.behaviour.reopen)(&place.engine, ());
        }
        Ok(Broken::open(Arc::clone(&place.engine), Arc::clone(&place.behaviour)))
    }
}
