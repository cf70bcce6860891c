//! Brokers that are wrong on purpose: each breaks one rule, and a case that shows the rule has to fail. They are the broker
//! with somebody in between who passes every packet on, but for one lie.

use std::collections::BTreeSet;
use std::sync::Arc;

use opifex_conformance::statements::Options;
use opifex_packet::{Packet, Property};

use crate::backend::Backend;
use crate::house::House;

mod altering;
mod authenticating;
pub(crate) mod between;
mod connecting;
mod enduring;
mod explaining;
mod flow;
mod forgetting;
mod mishearing;
mod ordering;
mod sharing;
mod websocket;

use between::Between;

/// Which way a packet goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the case to the broker.
    In,
    /// From the broker to the case.
    Out,
}

/// What becomes of a packet: what goes on in its place. A lie lives as long as its connection.
pub(crate) type Lie = Box<dyn FnMut(Way, Packet<'static>) -> Vec<Packet<'static>> + Send>;

/// A broker that breaks one rule.
pub(crate) struct Wrong {
    /// The statements that it breaks, in either version.
    pub(crate) breaks: &'static [&'static str],
    /// Cases that have to fail; together they show each of the statements.
    pub(crate) caught_by: &'static [&'static str],
    /// Statements whose cases cannot get so far without those that it breaks. Every case that fails shows one of either.
    pub(crate) drags_along: &'static [&'static str],
    /// A new lie for a new connection.
    pub(crate) lie: fn() -> Lie,
}

/// A lie that only needs to see a packet to know what to make of it.
pub(crate) fn each(lie: impl FnMut(Way, &mut Packet<'static>) + Send + 'static) -> Lie {
    let mut lie = lie;
    Box::new(move |way, mut packet| {
        lie(way, &mut packet);
        vec![packet]
    })
}

/// Passes over the properties of CONNECT that this is true of.
pub(crate) fn connect_without(unheard: fn(&Property<'_>) -> bool) -> Lie {
    each(move |way, packet| {
        if let (Way::In, Packet::Connect(connect)) = (way, packet) {
            connect.properties = connect.properties.retain(|property| !unheard(property));
        }
    })
}

/// Runs every case against the wrong broker in this setting.
fn is_caught(what: &str, house: House, wrong: &'static Wrong) {
    Backend::Memory.talk(|| async {
        let between = |target| Arc::new(Between::new(target, wrong.lie)) as _;
        let report = house.run_through(Options::default(), between).await;
        let failed: BTreeSet<_> = report.failures().map(|case| case.id.as_str()).collect();
        if std::env::var_os("OPIFEX_SHOW_FAILING").is_some() {
            for case in report.failures() {
                println!("FAILING {what} {} {:?}", case.id, case.statements);
            }
        }
        for case in wrong.caught_by {
            assert!(failed.contains(case), "{what}: {case} does not notice; {failed:?} do");
        }
        let shown: BTreeSet<_> = report
            .failures()
            .filter(|case| wrong.caught_by.contains(&case.id.as_str()))
            .flat_map(|case| case.statements)
            .collect();
        for statement in wrong.breaks {
            assert!(shown.contains(statement), "{what}: none of the cases that catch it shows {statement}");
        }
        let known: Vec<_> = wrong.breaks.iter().chain(wrong.drags_along).collect();
        let related = |statements: &[&str]| statements.iter().any(|id| known.contains(&id));
        let unrelated: String = report
            .failures()
            .filter(|case| !related(case.statements))
            .map(|case| report.failure(case))
            .collect();
        assert!(unrelated.is_empty(), "{what}: cases about something else fail:\n{unrelated}");
    });
}

/// One test of each wrong broker of a file; `in House::Guarded;` before them: in another setting than the plain one.
macro_rules! wrong_brokers {
    ($($name:ident: $wrong:expr;)+) => {
        $crate::wrong::wrong_brokers! { in $crate::house::House::Plain; $($name: $wrong;)+ }
    };
    (in $house:expr; $($name:ident: $wrong:expr;)+) => {
        $(
            #[test]
            fn $name() {
                static WRONG: $crate::wrong::Wrong = $wrong;
                $crate::wrong::is_caught(stringify!($name), $house, &WRONG);
            }
        )+
    };
}

pub(crate) use wrong_brokers;

#[test]
fn somebody_in_between_who_does_not_lie_is_not_noticed() {
    Backend::Memory.talk(|| async {
        let between = |target| Arc::new(Between::new(target, || each(|_, _| {}))) as _;
        let report = House::Plain.run_through(Options::default(), between).await;
        let failures: String = report.failures().map(|case| report.failure(case)).collect();
        assert!(failures.is_empty(), "{failures}");
    });
}
