//! The death of the process, at any moment: what was durable is there, and the store goes on.

use std::sync::Arc;

use opifex_storage::{Durability, ErrorKind, Op};

use crate::crash::child::{self, Orders};
use crate::crash::kill::{self, Summary};
use crate::script::message;
use crate::{Directory, Factory, Subject, Tier};

const CAPABILITY: &str = "durability process";

/// `CRA-01`: a child that writes is killed; what it told durable is there, batches are whole, order is kept, no number
/// is given twice.
pub async fn what_is_durable_survives_a_kill_at_any_moment<F: Factory>(s: Subject<F>) {
    let who = who("CRA-01", &s);
    let Some(s) = ready(s, &who).await else { return };
    let summary = kill::while_it_writes(s.factory(), &who, s.strongest(), Tier::of(14, 100)).await;
    say(&s, summary);
}

/// `CRA-02`
pub async fn a_store_that_is_killed_while_it_is_made_opens<F: Factory>(s: Subject<F>) {
    let who = who("CRA-02", &s);
    let Some(s) = ready(s, &who).await else { return };
    let summary = kill::while_it_is_made(s.factory(), &who, s.strongest(), Tier::of(6, 100)).await;
    say(&s, summary);
}

fn who<F: Factory>(id: &str, s: &Subject<F>) -> String {
    format!("{id}/{}", s.factory().name())
}

fn say<F: Factory>(s: &Subject<F>, summary: Result<Summary, String>) {
    let Summary { kills, durable, open, .. } = summary.unwrap_or_else(|what| panic!("{what}"));
    s.checked(CAPABILITY, &format!("{kills} kills, {durable} steps told durable, {open} told ordered alone"));
}

/// In a child: obeys. Else: whether there is something to check, and the means to do it.
async fn ready<F: Factory>(s: Subject<F>, who: &str) -> Option<Subject<F>> {
    if let Some(orders) = Orders::of_this_process(who) {
        let factory = Arc::clone(s.factory());
        // What was made for the case goes before the kill.
        drop(s);
        child::obey(factory, orders).await
    }
    if Orders::are_of_another(who) {
        return None;
    }
    if s.strongest() < Durability::Process {
        let mut batch = s.by_broker().with(Op::Retain(Arc::new(message("t", "refused"))));
        batch.durability = Durability::Process;
        s.refuse(batch, ErrorKind::Unsupported).await;
        s.not_claimed(CAPABILITY, "a batch that asks for it is refused");
        return None;
    }
    let directory = Directory::new();
    if let Err(why) = child::can_adopt(&**s.factory(), directory.path()) {
        s.not_verified(CAPABILITY, &why);
        return None;
    }
    Some(s)
}
