//! Power loss, at every moment: what was durable is there, when only what was synced is certain.

use std::path::PathBuf;
use std::sync::Arc;

use opifex_storage::{Durability, ErrorKind, Op};

use crate::crash::child::{self, Orders};
use crate::crash::kill::seed;
use crate::power::replay::{self, Failure, Plan};
use crate::power::simulated;
use crate::script::message;
use crate::{Directory, Factory, Subject, Tier};

const CAPABILITY: &str = "durability disk";

/// `POW-01`: the quick tier takes some syncs of a short history, the long one every sync of a long one, and says in the
/// report how many there were. What is left each time: what was synced alone; all that was written, too, with its last write
/// torn; random parts of what was not synced; in the long tier all that was written, as well.
pub async fn what_is_durable_survives_power_loss_at_every_sync<F: Factory>(s: Subject<F>) {
    let (steps, points) = (Tier::of(40, 800), Tier::of(40, Plan::EVERY));
    check(s, "POW-01", steps, |seed| Plan { points, parts: Tier::of(1, 4), seed }).await;
}

/// `POW-02`
pub async fn a_power_loss_while_a_store_is_made_leaves_one_that_opens<F: Factory>(s: Subject<F>) {
    check(s, "POW-02", 2, |seed| Plan { points: Plan::EVERY, parts: Tier::of(4, 200), seed }).await;
}

async fn check<F: Factory>(s: Subject<F>, id: &str, steps: usize, plan: impl Fn(u64) -> Plan) {
    let who = format!("{id}/{}", s.factory().name());
    if let Some(orders) = Orders::of_this_process(&who) {
        let factory = Arc::clone(s.factory());
        drop(s);
        child::obey(factory, orders).await
    }
    if Orders::are_of_another(&who) {
        return;
    }
    if s.strongest() < Durability::Disk {
        let mut batch = s.by_broker().with(Op::Retain(Arc::new(message("t", "refused"))));
        batch.durability = Durability::Disk;
        s.refuse(batch, ErrorKind::Unsupported).await;
        return s.not_claimed(CAPABILITY, "a batch that asks for it is refused");
    }
    let plan = plan(seed());
    let durability = s.strongest();
    let directory = PathBuf::new();
    let orders = Orders { who, directory, seed: plan.seed, durability, writers: 2, steps, tell: None };
    let outcome = match s.factory().recording(s.place()) {
        Some(recording) => {
            let simulated = simulated::at_every_sync(s.factory(), s.store(), recording, &orders, plan);
            simulated.await.map_err(Failure::Wrong)
        }
        None => match child::can_adopt(&**s.factory(), Directory::new().path()) {
            Ok(()) => replay::at_every_sync(s.factory(), orders, plan).await,
            Err(why) => Err(Failure::NotVerified(why)),
        },
    };
    match outcome {
        Ok(outcome) => s.checked(CAPABILITY, &outcome.to_string()),
        Err(Failure::NotVerified(why)) => s.not_verified(CAPABILITY, &why),
        Err(Failure::Wrong(what)) => panic!("{what}"),
    }
}
