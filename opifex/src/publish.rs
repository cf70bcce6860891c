//! `opifex pub`: publishes one message, or each line of standard input. Lines are on their way in great number, in their
//! order, and no more of them are read than the server keeps up with.

use std::fmt::Display;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use opifex_client::{Delivery, Error, Message, Reconnect, Refusal};
use opifex_packet::{Properties, PropertyContext, QoS, ReasonCode, TopicName, Version};
use tokio::sync::mpsc;

use crate::cli::PubArgs;
use crate::client::{Command, Connected, Setup, failure, interrupted, max_inflight, topic};
use crate::failure::Failure;
use crate::signals::Signals;

mod input;
mod progress;

pub(crate) use input::payload;

use input::Lines;
use progress::Progress;

/// Lines that are sent and whose end is not known yet, at most: enough for any window, little enough for the memory.
const ON_THEIR_WAY: usize = 10_000;

/// Attempts to connect again for a single message.
const ATTEMPTS: u32 = 5;

const COMMAND: Command =
    Command { name: "pub", version: Version::V3_1_1, wants_v5: None, packets: &[PropertyContext::Publish] };

/// Publishes what the flags say.
pub(crate) fn run(args: &PubArgs) -> Result<ExitCode, Failure> {
    let setup = Setup::new(&COMMAND, &args.server, &args.url, &args.session)?;
    let mut setup = setup.with_own_session(args.qos.0, &args.session, args.stdin_line);
    setup.options.max_inflight = max_inflight(args.max_inflight, setup.options.version);
    let template = Template {
        topic: topic(args.topic.as_ref(), args.url.url.as_ref())?,
        qos: args.qos.0,
        retain: args.retain,
        properties: setup.properties(PropertyContext::Publish)?,
    };
    if template.properties.topic_alias().is_some() {
        return Err(Failure::usage(anyhow!("the client gives topic aliases itself: remove that -D")));
    }
    let payload = match args.stdin_line {
        true => None,
        false => Some(payload(&args.message)?),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let reconnect = match (template.qos, args.stdin_line) {
            // A message that is lost on the way does not come again.
            (QoS::AtMostOnce, _) => Reconnect::never(),
            (_, true) => Reconnect::default(),
            (_, false) => Reconnect::default().up_to(ATTEMPTS),
        };
        let connected = tokio::select! {
            connected = Connected::open(setup, reconnect) => connected?,
            signal = signals.next() => return Ok(interrupted(signal)),
        };
        match payload {
            Some(payload) => repeat(args, connected, &template.message(payload), &mut signals).await,
            None => lines(connected, &template, &mut signals).await,
        }
    });
    // A thread may still read standard input.
    runtime.shutdown_background();
    outcome
}

/// What all messages have in common.
struct Template {
    topic: TopicName<'static>,
    qos: QoS,
    retain: bool,
    properties: Properties<'static>,
}

impl Template {
    fn message(&self, payload: Bytes) -> Message {
        let Template { topic, qos, retain, properties } = self;
        let (topic, properties) = (topic.clone(), properties.clone());
        Message { topic, payload, qos: *qos, retain: *retain, properties }
    }
}

/// Publishes a message once or several times, each when the one before is delivered.
async fn repeat(
    args: &PubArgs,
    connected: Connected,
    message: &Message,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let mut watch = connected.watch();
    for nth in 0..args.repeat {
        let client = connected.client.clone();
        let published = async {
            if nth > 0 {
                tokio::time::sleep(args.repeat_delay).await;
            }
            client.publish(message.clone()).await
        };
        let published = tokio::select! {
            biased;
            published = published => published.map_err(|error| failure(error, &connected.setup.address)),
            failure = watch.ended() => Err(failure),
            signal = signals.next() => {
                drop(watch);
                connected.close_soon().await;
                return Ok(interrupted(signal));
            }
        };
        let published = match published {
            Ok(published) => published,
            Err(failure) => {
                drop(watch);
                return Err(connected.close_failed(failure).await);
            }
        };
        connected.debug(format_args!("published, {} bytes: {}", message.payload.len(), published.reason));
    }
    drop(watch);
    connected.close().await?;
    Ok(ExitCode::SUCCESS)
}

/// Publishes standard input line by line.
async fn lines(
    connected: Connected,
    template: &Template,
    signals: &mut Signals,
) -> Result<ExitCode, Failure> {
    let (to, on_their_way) = mpsc::channel(ON_THEIR_WAY);
    let mut sent = Sent { connected: &connected, done: 0, refused: None, progress: Progress::new() };
    let outcome = {
        let mut watch = connected.watch();
        let both = async {
            let mut settled = pin!(sent.settle(on_their_way));
            let read = tokio::select! {
                read = enqueue(&connected, template, to) => read,
                settled = &mut settled => return settled,
            };
            // The lines in front of a failure are published.
            settled.await.and(read)
        };
        tokio::select! {
            biased;
            signal = signals.next() => Err(signal),
            both = both => Ok(both),
            failure = watch.ended() => Ok(Err(failure)),
        }
    };
    let Sent { done, refused, progress, .. } = sent;
    progress.clear();
    match outcome {
        Err(signal) => {
            connected.close_soon().await;
            return Ok(interrupted(signal));
        }
        Ok(Err(failure)) => return Err(connected.close_failed(failure).await),
        Ok(Ok(())) => {}
    }
    connected.debug(format_args!("published {done} lines"));
    connected.close().await?;
    match refused {
        None => Ok(ExitCode::SUCCESS),
        Some((count, Some(reason))) => {
            Err(Failure::Refused(reason, anyhow!("the server refused {count} of {done} lines")))
        }
        Some((count, None)) => Err(Failure::runtime(anyhow!("{count} of {done} lines were not published"))),
    }
}

/// Reads lines and hands them over, as fast as the client takes them.
async fn enqueue(
    connected: &Connected,
    template: &Template,
    to: mpsc::Sender<Delivery>,
) -> Result<(), Failure> {
    let mut lines = Lines::of_stdin();
    while let Some(line) = lines.next().await.map_err(Failure::Runtime)? {
        let delivery = connected.client.enqueue(template.message(line)).await;
        let delivery = delivery.map_err(|error| failure(error, &connected.setup.address))?;
        if to.send(delivery).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// What becomes of the lines.
struct Sent<'a> {
    connected: &'a Connected,
    done: u64,
    /// Lines that were not taken, and the server's first reason, if it gave one.
    refused: Option<(u64, Option<ReasonCode>)>,
    progress: Progress,
}

impl Sent<'_> {
    /// Takes the end of each, in their order.
    async fn settle(&mut self, mut on_their_way: mpsc::Receiver<Delivery>) -> Result<(), Failure> {
        while let Some(delivery) = on_their_way.recv().await {
            let ended = delivery.await;
            self.done += 1;
            match ended {
                Ok(_) => {}
                // A server that refuses one line may take the next.
                Err(Error::Rejected { reason, .. }) => self.refused(reason, Some(reason)),
                // The same, said beforehand: CONNACK has the longest packet that it takes.
                Err(Error::Refused(refusal)) if matches!(*refusal, Refusal::Forbidden { .. }) => {
                    self.refused(refusal, None);
                }
                Err(error) => {
                    return Err(match failure(error, &self.connected.setup.address) {
                        Failure::Runtime(error) => {
                            Failure::Runtime(error.context(format!("line {}", self.done)))
                        }
                        failure => failure,
                    });
                }
            }
            self.progress.show(self.done);
        }
        Ok(())
    }

    fn refused(&mut self, why: impl Display, reason: Option<ReasonCode>) {
        self.progress.clear();
        self.connected.warn(format_args!("line {}: {why}", self.done));
        let (count, first) = self.refused.unwrap_or((0, None));
        self.refused = Some((count + 1, first.or(reason)));
    }
}
