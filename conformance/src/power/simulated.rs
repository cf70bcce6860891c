//! Power losses of a store over a [`Recording`]: a history in this process, and what is left at each sync of it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use opifex_storage::Persistence;

use super::Recording;
use super::replay::{Outcome, Plan, wrong_with};
use crate::Factory;
use crate::crash::books::Books;
use crate::crash::child::{Orders, write_all};
use crate::crash::oracle::Oracle;
use crate::crash::told::{Line, Tell, Told};

struct Placed<'a> {
    recording: &'a Recording,
    lines: Mutex<Vec<(usize, Line)>>,
}

impl Tell for Placed<'_> {
    fn tell(&self, line: &Line) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((self.recording.place(), line.clone()));
    }
}

/// Writes to a store in an empty place, whose recording is given.
///
/// # Errors
/// The first thing that is not as it has to be.
pub(crate) async fn at_every_sync<F: Factory>(
    factory: &Arc<F>,
    store: &F::Store,
    recording: &Recording,
    orders: &Orders,
    plan: Plan,
) -> Result<Outcome, String> {
    let tell = Placed { recording, lines: Mutex::default() };
    let base = Books::read(store).await?;
    write_all(&**factory, store, orders, &base, &tell)?;
    let lines = tell.lines.into_inner().unwrap_or_else(PoisonError::into_inner);

    let mut told = vec![Told::default(); orders.writers];
    for (_, line) in &lines {
        told.get_mut(line.writer).ok_or("a writer tells that there is not")?.take(line.news);
    }
    let oracles: Result<Vec<_>, _> = told
        .iter()
        .enumerate()
        .map(|(writer, told)| Oracle::new(orders.scribe(writer), &base, told))
        .collect();
    let oracles = oracles?;

    let mut outcome = Outcome::default();
    let losses = recording.power_losses();
    // One is at the very end.
    outcome.sync_points = losses.len() - 1;
    let stride = plan.stride(outcome.sync_points);
    for (point, loss) in losses.iter().enumerate() {
        if !point.is_multiple_of(stride) && point + 1 != losses.len() {
            continue;
        }
        outcome.checked_points += 1;
        outcome.pending += loss.pending();
        // A line is told when its place is known: what happened at that place had not happened then.
        let before = lines.iter().filter(|(place, _)| *place <= loss.place);
        let mut durable = vec![Told::default(); orders.writers];
        before.for_each(|(_, line)| durable[line.writer].take(line.news));
        let durable: Vec<BTreeSet<usize>> = durable.into_iter().map(|told| told.durable).collect();
        for writes in 0..=loss.pending() {
            outcome.images += 1;
            let place =
                factory.place_with(loss.left_with(writes)).ok_or("`Factory::place_with` makes no place")?;
            let store = factory.open(&place).await;
            let store =
                store.map_err(|error| format!("power loss {point}: the store does not open: {error}"))?;
            let goes_on = outcome.images.is_multiple_of(4).then_some(orders.durability);
            wrong_with(&store, &oracles, &durable, goes_on).await.map_err(|what| {
                format!("power loss {point}, {writes} writes of {}: {what}", loss.pending())
            })?;
            store.close().await.map_err(|error| format!("power loss {point}: it does not close: {error}"))?;
        }
    }
    Ok(outcome)
}
