//! Broken stores: subscriptions mixed up, lost, kept too long.

use opifex_packet::{QoS, RetainHandling, SubscriptionOptions, TopicFilter, TopicName};
use opifex_storage::{Op, Outcome, SubscriptionRecord};

use crate::broken::honest;
use crate::mutant::mutants;

/// The filter behind `$share/group/`.
fn unshared(filter: &TopicFilter<'static>) -> TopicFilter<'static> {
    let text = filter.as_str();
    let plain =
        text.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map_or(text, |(_, plain)| plain);
    TopicFilter::new(plain.to_owned()).expect("what a share is over is a filter")
}

/// A subscription with other options.
fn with(record: &SubscriptionRecord, options: SubscriptionOptions) -> SubscriptionRecord {
    SubscriptionRecord { options, ..record.clone() }
}

/// Subscriptions as they go in, changed.
macro_rules! subscribing {
    ($record:ident => $changed:expr) => {
        honest().batches(|_, batch| {
            for op in &mut batch.ops {
                if let Op::Subscribe($record) = op {
                    *$record = $changed;
                }
            }
        })
    };
}

mutants! {
    /// every subscription is answered as new: retained messages are sent again and again
    "SUB-02" every_subscription_is_new: honest().outcomes(|_, _, outcomes| {
        for outcome in outcomes {
            if let Outcome::Subscribed { existed } = outcome {
                *existed = false;
            }
        }
    });

    /// subscribing again leaves the options of the first time
    "SUB-02" subscribing_again_changes_nothing: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Subscribe(record), Some(id)) => {
            let existed = engine.subscriptions(id).iter().any(|own| own.filter == record.filter);
            existed.then_some(Outcome::Subscribed { existed })
        }
        _ => None,
    });

    /// whether a filter is new is asked before the batch, for all of it
    "SUB-03" a_batch_does_not_see_its_own_subscriptions: honest().submit(|engine, batch| {
        let before = batch.author.session().map(|id| engine.subscriptions(id)).unwrap_or_default();
        let ops = batch.ops.clone();
        let mut outcomes = engine.submit(batch)?;
        for (op, outcome) in ops.iter().zip(&mut outcomes) {
            if let (Op::Subscribe(record), Outcome::Subscribed { existed }) = (op, outcome) {
                *existed = before.iter().any(|own| own.filter == record.filter);
            }
        }
        Ok(outcomes)
    });

    /// unsubscribing is answered as done whatever there was
    "SUB-04" unsubscribing_always_finds_something: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Unsubscribe(_)) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// unsubscribing is not carried out
    "SUB-04" unsubscribing_is_forgotten:
        honest().skips(|_, _, op| matches!(op, Op::Unsubscribe(_)).then_some(Outcome::Done));

    /// a filter unsubscribes every filter that it matches
    "SUB-05" a_wildcard_unsubscribes_what_it_matches: honest().batches(|engine, batch| {
        let own = batch.author.session().map(|id| engine.subscriptions(id)).unwrap_or_default();
        for op in &mut batch.ops {
            if let Op::Unsubscribe(filter) = op
                && let Some(matched) = own.iter().find(|record| {
                    TopicName::new(record.filter.as_str().to_owned()).is_ok_and(|name| filter.matches(&name))
                })
            {
                *filter = matched.filter.clone();
            }
        }
    });

    /// no local and retain as published, which only 5.0 has, are not kept
    "SUB-06" only_the_options_of_3_1_1_are_kept: subscribing!(record =>
        with(record, SubscriptionOptions::from(record.options.qos)));

    /// retain handling 2 becomes 0
    "SUB-06" one_bit_of_retain_handling_is_kept: subscribing!(record => with(record, SubscriptionOptions {
        retain_handling: match record.options.retain_handling {
            RetainHandling::DoNotSend => RetainHandling::SendAtSubscribe,
            other => other,
        },
        ..record.options
    }));

    /// a granted QoS of 2 becomes 1
    "SUB-06" qos_2_is_granted_as_1: subscribing!(record => with(record, SubscriptionOptions {
        qos: match record.options.qos {
            QoS::ExactlyOnce => QoS::AtLeastOnce,
            other => other,
        },
        ..record.options
    }));

    /// of a subscription identifier 16 bits are kept
    "SUB-06" identifiers_have_16_bits: subscribing!(record => SubscriptionRecord {
        identifier: record.identifier.map(|id| id & 0xffff),
        ..record.clone()
    });

    /// a shared subscription takes the place of the plain one
    "SUB-07" a_share_is_not_part_of_the_filter: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            match op {
                Op::Subscribe(record) => record.filter = unshared(&record.filter),
                Op::Unsubscribe(filter) => *filter = unshared(filter),
                _ => {}
            }
        }
    });

    /// one session's unsubscribing takes the filter from all
    "SUB-08" unsubscribing_reaches_every_session: honest().outcomes(|engine, batch, _| {
        for op in batch.ops.iter().filter(|op| matches!(op, Op::Unsubscribe(_))) {
            for session in engine.sessions() {
                engine.write(session.id, batch.now, [op.clone()]);
            }
        }
    });

    /// a walk of subscriptions shows those of sessions that ended, under the client's new session
    "SUB-09" subscriptions_hang_on_the_client: {
        let kept = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let also = std::sync::Arc::clone(&kept);
        honest()
            .opens(move |engine, open| {
                let old = engine.session_of(&open.client_id);
                let own = old.map(|old| engine.subscriptions(old.id)).unwrap_or_default();
                *kept.lock().expect("nobody panics with it") = own;
            })
            .opened(move |engine, open, opened| {
                let kept = std::mem::take(&mut *also.lock().expect("nobody panics with it"));
                if opened.ended.is_some() {
                    engine.write(opened.session.id, open.now, kept.into_iter().map(Op::Subscribe));
                }
            })
    };

    /// an open answers the first page of the subscriptions
    "SUB-10" an_open_answers_a_page_of_subscriptions: honest().opened(|_, _, opened| opened.subscriptions.truncate(1000));
}
