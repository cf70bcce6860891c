//! Random histories, held against a reference model of the whole contract: see `crate::model`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::model::run::{Plan, Seeds, histories};
use crate::{Factory, Subject, Tier, tier};

/// Whatever happens in whichever order, every answer and everything readable is what the model says.
///
/// The quick tier runs the same histories each time. A longer one begins where the clock says, and goes on for
/// minutes.
pub async fn any_history_ends_as_the_model_says<F: Factory>(s: Subject<F>) {
    let long = || Plan {
        seeds: Seeds::From(
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64),
        ),
        at_least: 100,
        for_at_least: Duration::from_secs(300),
        steps: 200,
        compare_every: 1,
    };
    let count = histories(&s, if tier() == Tier::Quick { Plan::QUICK } else { long() });
    println!("{count} histories");
}
