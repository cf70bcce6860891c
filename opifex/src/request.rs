//! `opifex rr`: publishes a request and prints the answer. With 5.0 the request says where the answer goes and carries
//! correlation data; before, both sides know the response topic.

use std::io;
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use opifex_client::{Message, Reconnect};
use opifex_packet::{
    Properties, Property, PropertyContext, QoS, Subscription as Asked, TopicFilter, Version,
};

use crate::cli::RrArgs;
use crate::client::{Command, Connected, Setup, failure, interrupted, patience, random, topic, usage};
use crate::failure::Failure;
use crate::print::{Output, Printer};
use crate::publish::payload;
use crate::signals::Signals;

/// Attempts to connect again.
const ATTEMPTS: u32 = 5;

const COMMAND: Command = Command {
    name: "rr",
    version: Version::V5_0,
    wants_v5: None,
    packets: &[PropertyContext::Publish, PropertyContext::Subscribe],
};

/// Publishes the request and prints the answer.
pub(crate) fn run(args: &RrArgs) -> Result<ExitCode, Failure> {
    let setup = Setup::new(&COMMAND, &args.server, &args.url, &args.session)?;
    let setup = setup.with_own_session(args.qos.0, &args.session, false);
    let message = Message {
        topic: topic(args.topic.as_ref(), args.url.url.as_ref())?,
        payload: payload(&args.message)?,
        qos: args.qos.0,
        retain: false,
        properties: properties(args, &setup)?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime").map_err(Failure::Runtime)?;
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        let reconnect = match message.qos {
            QoS::AtMostOnce => Reconnect::never(),
            _ => Reconnect::default().up_to(ATTEMPTS),
        };
        let mut patience = pin!(patience(args.timeout));
        let timed_out = || Failure::TimedOut(anyhow!("no answer came in time"));
        let connected = tokio::select! {
            connected = Connected::open(setup, reconnect) => connected?,
            signal = signals.next() => return Ok(interrupted(signal)),
            () = &mut patience => return Err(timed_out()),
        };
        let answer = {
            let mut watch = connected.watch();
            tokio::select! {
                biased;
                answer = ask(args, &connected, message) => answer,
                failure = watch.ended() => Err(failure),
                () = patience => Err(timed_out()),
                signal = signals.next() => {
                    drop(watch);
                    connected.close_soon().await;
                    return Ok(interrupted(signal));
                }
            }
        };
        match answer.and_then(|answer| print(args, &answer)) {
            Ok(()) => {
                connected.close_soon().await;
                Ok(ExitCode::SUCCESS)
            }
            Err(failure) => Err(connected.close_failed(failure).await),
        }
    })
}

fn print(args: &RrArgs, answer: &Message) -> Result<(), Failure> {
    let mut output = Output::new(Printer::new(&args.output));
    let printed = output.print(answer);
    match output.flush() {
        // Whoever asked has gone; that changes nothing about the answer.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        flushed => flushed.context("cannot write to standard output").map_err(Failure::Runtime)?,
    }
    printed.map_err(|_| Failure::runtime(anyhow!("the payload is not JSON")))
}

/// The request's properties: with 5.0 the response topic, and correlation data unless `-D` gives some.
fn properties(args: &RrArgs, setup: &Setup) -> Result<Properties<'static>, Failure> {
    let mut properties = setup.properties(PropertyContext::Publish)?;
    if !setup.options.version.is_v5() {
        return Ok(properties);
    }
    if properties.response_topic().is_some() {
        return Err(usage("-e is the response topic: remove that -D"));
    }
    properties.push(Property::ResponseTopic(args.response_topic.as_str()));
    if properties.correlation_data().is_none() {
        let data = format!("{:08x}{:08x}", random(), random());
        properties.push(Property::CorrelationData(data.as_bytes()));
    }
    Ok(properties)
}

/// Subscribes, publishes the request, and waits for the answer to it.
async fn ask(args: &RrArgs, connected: &Connected, request: Message) -> Result<Message, Failure> {
    let failed = |error| failure(error, &connected.setup.address);
    let filter = TopicFilter::new(args.response_topic.as_str()).map_err(Failure::usage)?.into_owned();
    let asked = vec![Asked::new(filter, args.qos.0)];
    let properties = connected.setup.properties(PropertyContext::Subscribe)?;
    let mut answers = connected.client.subscribe_with(asked, properties).await.map_err(failed)?;
    let data = request.properties.correlation_data().map(<[u8]>::to_vec);
    connected.client.publish(request).await.map_err(failed)?;
    connected.debug("the request is published");
    loop {
        let answer = answers.next().await.ok_or_else(|| connected.cause())?.into_message();
        if args.no_retained && answer.retain {
            continue;
        }
        let said = answer.properties.correlation_data();
        if said.is_none() || said == data.as_deref() {
            return Ok(answer);
        }
        connected.debug("an answer to another request is passed over");
    }
}
