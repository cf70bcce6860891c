//! Rounds of a child that is killed: what it left is opened, asked, written to, closed, and given to the next.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opifex_storage::{Durability, Persistence};

use super::aftermath;
use super::books::Books;
use super::child::{self, Ended, Kill, Orders};
use super::oracle::Oracle;
use super::told::Told;
use crate::{Chance, Directory, Factory, Tier, tier};

/// How many write at once.
const WRITERS: usize = 2;
/// More than a child comes to.
const ENDLESS: usize = 1_000_000;

/// The seed of a run: the one that is given; in the quick tier one that stays, since a check of every change is to say the
/// same each time; else another each time. It is printed.
pub(crate) fn seed() -> u64 {
    const VARIABLE: &str = "OPIFEX_CONFORMANCE_SEED";
    let seed = match std::env::var(VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{VARIABLE} is a number, not `{text}`")),
        Err(_) if tier() == Tier::Quick => 1,
        Err(_) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::from(now.subsec_nanos()) ^ now.as_secs() << 20
        }
    };
    println!("{VARIABLE}={seed}");
    seed
}

/// What came of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) kills: usize,
    /// Steps that children told durable.
    pub(crate) durable: usize,
    /// Steps that were told ordered and not durable.
    pub(crate) open: usize,
    /// How long the last child took to its first line; nothing when there was none.
    first_line: Duration,
}

/// Kills a child so many times while it writes to one place.
///
/// # Errors
/// The first thing that is not as it has to be.
pub(crate) async fn while_it_writes<F: Factory>(
    factory: &Arc<F>,
    who: &str,
    strongest: Durability,
    rounds: u64,
) -> Result<Summary, String> {
    let mut chance = Chance::new(seed());
    let directory = Directory::new();
    let (mut base, mut summary) = (Books::default(), Summary::default());
    for round in 0..rounds {
        let scale = chance.below(8);
        let lines = 1 + chance.below(4 << scale) as usize;
        let kill = Kill::Behind(lines, Duration::from_micros(chance.below(2_000)));
        let orders =
            orders(who, &directory, &mut chance, [Durability::Process, strongest][round as usize % 2]);
        base = one(factory, &orders, kill, &base, &mut summary)
            .await
            .map_err(|what| format!("round {round}, {kill:?}, {:?}: {what}", orders.durability))?;
    }
    Ok(summary)
}

/// Kills a child so many times while it makes a store, each in a place of its own.
///
/// # Errors
/// The first thing that is not as it has to be.
pub(crate) async fn while_it_is_made<F: Factory>(
    factory: &Arc<F>,
    who: &str,
    strongest: Durability,
    rounds: u64,
) -> Result<Summary, String> {
    let mut chance = Chance::new(seed());
    let mut summary = Summary::default();
    let mut first_line = Duration::ZERO;
    for round in 0..rounds {
        let directory = Directory::new();
        let orders =
            orders(who, &directory, &mut chance, [Durability::Process, strongest][round as usize % 2]);
        // The first round measures how long a store's making takes.
        let kill = match round {
            0 => Kill::Behind(1, Duration::ZERO),
            _ => Kill::After(first_line * (20 + chance.below(90) as u32) / 100),
        };
        let base = Books::default();
        one(factory, &orders, kill, &base, &mut summary)
            .await
            .map_err(|what| format!("round {round}, {kill:?}: {what}"))?;
        first_line = first_line.max(summary.first_line);
    }
    Ok(summary)
}

fn orders(who: &str, directory: &Directory, chance: &mut Chance, durability: Durability) -> Orders {
    Orders {
        who: who.to_owned(),
        directory: directory.path().to_owned(),
        seed: chance.roll(),
        durability,
        writers: WRITERS,
        steps: ENDLESS,
        tell: None,
    }
}

async fn one<F: Factory>(
    factory: &Arc<F>,
    orders: &Orders,
    kill: Kill,
    base: &Books,
    summary: &mut Summary,
) -> Result<Books, String> {
    let Ended { lines, was_killed, first_line, .. } = child::run(orders.command()?, kill)?;
    if !was_killed {
        return Err(format!("the child ended by itself behind {} lines", lines.len()));
    }
    let mut told = vec![Told::default(); orders.writers];
    for line in lines {
        told.get_mut(line.writer).ok_or("a writer tells that there is not")?.take(line.news);
    }
    summary.kills += 1;
    summary.first_line = first_line.unwrap_or_default();
    summary.durable += told.iter().map(|told| told.durable.len()).sum::<usize>();
    summary.open += told.iter().map(|told| told.ordered - told.durable.len()).sum::<usize>();

    let place = factory.adopt(&orders.directory).ok_or("the factory adopts no directory")?;
    let store =
        factory.open(&place).await.map_err(|error| format!("it does not open behind a kill: {error}"))?;
    let found = Books::read(&store).await?;
    let mut highest = 0;
    for (writer, told) in told.iter().enumerate() {
        let oracle = Oracle::new(orders.scribe(writer), base, told)?;
        let wrong = oracle.check(&found, &told.durable);
        if let Some(first) = wrong.first() {
            return Err(format!("{} things are wrong, the first: {first}", wrong.len()));
        }
        highest = highest.max(oracle.highest_epoch);
    }
    let now = aftermath::goes_on(&store, &found, highest, orders.durability).await?;
    store.close().await.map_err(|error| format!("it does not close behind a kill: {error}"))?;
    Ok(now)
}
