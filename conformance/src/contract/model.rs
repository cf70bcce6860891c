//! Random histories, held against a reference model of the whole contract: see `crate::model`.

use std::time::Duration;

use crate::model::run::{Plan, histories};
use crate::{Factory, Subject, Tier};

/// Whatever happens in whichever order, every answer and everything readable is what the model says.
///
/// The quick tier runs the same histories each time. A longer one begins where the clock says, and goes on for
/// minutes.
pub async fn any_history_ends_as_the_model_says<F: Factory>(s: Subject<F>) {
    let long = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let first_seed = Tier::of(0, 1) * long().map_or(0, |since| since.as_micros() as u64);
    let plan = Plan {
        first_seed,
        // As many whatever the machine: what the quick tier finds, it finds each time.
        at_least: Tier::of(20, 100),
        for_at_least: Tier::of(Duration::ZERO, Duration::from_secs(300)),
        steps: Tier::of(40, 120),
    };
    let count = histories(&s, plan);
    println!("{count} histories");
}
