//! `opifex sub`: prints what comes, in the order in which it comes.

use std::io;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use opifex_client::{Message, Received, Reconnect, Subscription};
use opifex_packet::{
    Property, PropertyContext, RetainHandling, Subscription as Asked, SubscriptionOptions, TopicFilter,
    Version,
};
use tokio::task::consume_budget;

use crate::cli::{ChoiceFlags, SubArgs};
use crate::client::{Command, Connected, Setup, failure, interrupted, patience, usage};
use crate::failure::Failure;
use crate::print::{Output, Printer};
use crate::signals::Signals;
use crate::turns::Turns;

/// The flag, if one asks for 5.0.
fn wants_v5(choice: &ChoiceFlags) -> Option<&'static str> {
    let wants = [
        (choice.retain_as_published, "--retain-as-published"),
        (choice.no_local, "--no-local"),
        (choice.retain_handling.is_some(), "--retain-handling"),
    ];
    wants.into_iter().find(|(asked, _)| *asked).map(|(_, flag)| flag)
}

/// Subscribes to what the flags say and prints it.
pub(crate) fn run(args: &SubArgs) -> Result<ExitCode, Failure> {
    let command = Command {
        name: "sub",
        version: Version::V3_1_1,
        wants_v5: wants_v5(&args.choice),
        packets: &[PropertyContext::Subscribe],
    };
    let setup = Setup::new(&command, &args.server, &args.url, &args.session)?;
    let mut filters = args.topic.clone();
    if let Some(topic) = args.url.url.as_ref().and_then(|url| url.topic.clone()) {
        filters.push(TopicFilter::new(topic).map_err(Failure::usage)?);
    }
    if filters.is_empty() && args.unsubscribe.is_empty() {
        return Err(usage("there is no topic: add -t FILTER"));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut patience = pin!(patience(args.timeout));
        let connected = tokio::select! {
            connected = Connected::open(setup, Reconnect::default()) => connected?,
            signal = signals.next() => return Ok(interrupted(signal)),
            () = &mut patience => return Err(timed_out()),
        };
        let end = {
            let mut watch = connected.watch();
            let mut subscriber = Subscriber {
                args,
                connected: &connected,
                output: Output::new(Printer::new(&args.output)),
                printed: 0,
            };
            let end = tokio::select! {
                biased;
                signal = signals.next() => Ok(End::Signal(signal)),
                // In front of the messages, which may come without a pause.
                () = &mut patience => Ok(End::TimedOut),
                end = subscriber.subscribe_and_print(filters) => end.map(|()| End::Done),
                failure = watch.ended() => Err(failure),
            };
            // What was taken from the server is printed.
            subscriber.output.flush().ok();
            end
        };
        match end {
            Err(failure) => Err(connected.close_failed(failure).await),
            Ok(End::Done) => connected.close().await.map(|()| ExitCode::SUCCESS),
            Ok(End::TimedOut) => {
                connected.close_soon().await;
                Err(timed_out())
            }
            Ok(End::Signal(signal)) => {
                connected.close_soon().await;
                Ok(if args.count.is_some() { interrupted(signal) } else { ExitCode::SUCCESS })
            }
        }
    })
}

fn timed_out() -> Failure {
    Failure::TimedOut(anyhow!("the time is over"))
}

/// Why it ends.
enum End {
    Done,
    TimedOut,
    Signal(&'static str),
}

struct Subscriber<'a> {
    args: &'a SubArgs,
    connected: &'a Connected,
    output: Output,
    printed: u64,
}

impl Subscriber<'_> {
    /// Resolves when there is nothing more to be printed.
    async fn subscribe_and_print(&mut self, filters: Vec<TopicFilter<'static>>) -> Result<(), Failure> {
        let client = &self.connected.client;
        let failed = |error| failure(error, &self.connected.setup.address);
        // What earlier subscriptions of the session bring is printed, too, and first: some of it has waited.
        let mut others = match self.args.session.keep_session {
            true => Some(client.unclaimed().await.map_err(failed)?),
            false => None,
        };
        let mut messages = match filters.is_empty() {
            true => None,
            false => Some(self.subscribe(filters).await?),
        };
        if !self.args.unsubscribe.is_empty() {
            client.unsubscribe(self.args.unsubscribe.clone()).await.map_err(failed)?;
            self.connected.debug("unsubscribed");
        }
        if self.args.exit_after_subscribing {
            return Ok(());
        }
        let mut turns = Turns::default();
        loop {
            // A stream that is never empty yields to nobody: neither a signal nor the time would end it.
            consume_budget().await;
            let received = tokio::select! {
                biased;
                received = turns.either(next(&mut others), next(&mut messages)) => received,
                // Nothing else has come: what is printed is shown.
                () = std::future::ready(()), if self.output.is_pending() => {
                    if self.flush()? {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(received) = received else { return Err(self.connected.cause()) };
            if self.take(received.into_message()).await? {
                self.flush()?;
                return Ok(());
            }
        }
    }

    async fn subscribe(&mut self, filters: Vec<TopicFilter<'static>>) -> Result<Subscription, Failure> {
        let choice = &self.args.choice;
        let options = SubscriptionOptions {
            qos: self.args.qos.0,
            no_local: choice.no_local,
            retain_as_published: choice.retain_as_published,
            retain_handling: choice.retain_handling.map_or(RetainHandling::SendAtSubscribe, Into::into),
        };
        let asked = filters.iter().map(|filter| Asked::new(filter.clone(), options)).collect();
        let properties = self.connected.setup.properties(PropertyContext::Subscribe)?;
        let subscribed = self.connected.client.subscribe_with(asked, properties).await;
        let subscription =
            subscribed.map_err(|error| match failure(error, &self.connected.setup.address) {
                Failure::Refused(reason, error) => {
                    Failure::Refused(reason, error.context("nothing was subscribed to"))
                }
                failure => failure,
            })?;
        for (filter, reason) in filters.iter().zip(subscription.reasons()) {
            if reason.is_error() {
                self.connected.warn(format_args!("not subscribed to {}: {reason}", filter.as_str()));
            } else {
                self.connected.debug(format_args!(
                    "subscribed to {}, QoS {}",
                    filter.as_str(),
                    *reason as u8
                ));
            }
        }
        Ok(subscription)
    }

    /// Prints a message, or passes over it; true when it was the last.
    async fn take(&mut self, mut message: Message) -> Result<bool, Failure> {
        let choice = &self.args.choice;
        if choice.retained_only && !message.retain {
            return Ok(true);
        }
        if choice.filter_out.iter().any(|filter| filter.matches(&message.topic)) {
            return Ok(false);
        }
        if choice.remove_retained && message.retain && !message.payload.is_empty() {
            let mut nothing = Message::new(message.topic.borrow(), Bytes::new()).with_qos(self.args.qos.0);
            nothing.retain = true;
            // The end waits for its acknowledgement.
            let removed = self.connected.client.enqueue(nothing).await;
            drop(removed.map_err(|error| failure(error, &self.connected.setup.address))?);
        }
        if choice.no_retained && message.retain {
            return Ok(false);
        }
        self.hide_identifier(&mut message);
        if self.output.print(&message).is_err() {
            self.connected.warn(format_args!("the payload is not JSON: {}", message.topic.as_str()));
        }
        self.printed += 1;
        if self.output.is_large() && self.flush()? {
            return Ok(true);
        }
        Ok(self.args.count.is_some_and(|count| self.printed >= count.get()))
    }

    /// The client numbers its subscriptions itself: a number that nobody asked for is not shown.
    fn hide_identifier(&self, message: &mut Message) {
        const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
        let asked = |property: Property<'_>| property.id() == SUBSCRIPTION_IDENTIFIER;
        let said = self.connected.setup.properties(PropertyContext::Subscribe);
        if message.properties.contains(SUBSCRIPTION_IDENTIFIER)
            && !said.is_ok_and(|said| said.iter().any(asked))
        {
            message.properties =
                message.properties.retain(|property| property.id() != SUBSCRIPTION_IDENTIFIER);
        }
    }

    /// Shows what is printed; true when nobody reads it any more.
    fn flush(&mut self) -> Result<bool, Failure> {
        match self.output.flush() {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
            Err(error) => Err(Failure::Runtime(anyhow!(error).context("cannot write to standard output"))),
        }
    }
}

/// The next message of a stream that may not be there.
async fn next(messages: &mut Option<Subscription>) -> Option<Received> {
    match messages {
        Some(messages) => messages.next().await,
        None => std::future::pending().await,
    }
}
