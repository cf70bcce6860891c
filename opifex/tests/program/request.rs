//! `opifex rr`: a request and its answer, with a responder of the test's own.

use opifex_packet::{Packet, Property, Publish, TopicName};

use crate::child::{Program, refused};
use crate::peer::Peer;
use crate::tool::{Tool, ends, succeeds};

/// A responder that is subscribed to the topic `ask`.
fn responder(broker: &Program) -> Peer {
    let mut responder = Peer::connect(broker.address(), "responder");
    responder.subscribe("ask");
    responder
}

fn request(responder: &mut Peer) -> Publish<'static> {
    match responder.receive() {
        Some(Packet::Publish(request)) => request.into_owned(),
        other => panic!("expected PUBLISH, not {other:?}"),
    }
}

#[test]
fn the_answer_to_a_request_is_printed() {
    let broker = Program::serve(&["--log", "warn"]);
    let mut responder = responder(&broker);
    let requester = Tool::start(&broker, "rr", &["-t", "ask", "-e", "answer/me", "-m", "what?", "-v"]);
    let request = request(&mut responder);
    assert_eq!(&request.payload[..], b"what?");
    assert_eq!(request.properties.response_topic(), Some("answer/me"));
    let data = request.properties.correlation_data().unwrap();

    // An answer to somebody else's question.
    let mut answer = Publish::new(TopicName::new("answer/me").unwrap(), &b"not this"[..]);
    answer.properties.push(Property::CorrelationData(b"other"));
    responder.send(answer);
    requester.said("passed over");
    let mut answer = Publish::new(TopicName::new("answer/me").unwrap(), &b"this"[..]);
    answer.properties.push(Property::CorrelationData(data));
    responder.send(answer);
    assert_eq!(requester.ended(0), ["answer/me this"]);
}

#[test]
fn before_5_0_any_message_on_the_response_topic_is_the_answer() {
    let broker = Program::serve(&["--log", "warn"]);
    let mut responder = responder(&broker);
    let mut requester =
        Tool::start(&broker, "rr", &["-t", "ask", "-e", "answer", "-s", "-V", "311", "-q", "1"]);
    requester.give(b"from standard input");
    let request = request(&mut responder);
    assert_eq!((&request.payload[..], request.properties.is_empty()), (&b"from standard input"[..], true));
    responder.publish("answer", b"yes");
    assert_eq!(requester.ended(0), ["yes"]);
}

#[test]
fn own_correlation_data_is_sent_as_it_is() {
    let broker = Program::serve(&["--log", "warn"]);
    let mut responder = responder(&broker);
    let data = ["-D", "publish", "correlation-data", "mine"];
    let requester = Tool::start(&broker, "rr", &[&["-t", "ask", "-e", "answer", "-n"], &data[..]].concat());
    assert_eq!(request(&mut responder).properties.correlation_data(), Some(&b"mine"[..]));
    requester.signal("INT");
    requester.ended(130);
}

#[test]
fn a_retained_message_is_passed_over_on_request_and_the_time_ends_it() {
    let broker = Program::serve(&["--log", "warn"]);
    succeeds(&broker, "pub", &["-t", "answer", "-m", "old", "-r"], b"");
    let flags = ["-t", "ask", "-e", "answer", "-m", "x"];
    assert_eq!(succeeds(&broker, "rr", &flags, b""), b"old\n");
    let (stdout, stderr) = ends(&broker, 27, "rr", &[&flags[..], &["-R", "-W", "1"]].concat(), b"");
    assert_eq!((&stdout[..], stderr.as_str()), (&b""[..], "error: no answer came in time\n"));
}

#[test]
fn wrong_flags_are_one_line_and_exit_code_2() {
    let wrong: [(&[&str], &str); 4] = [
        (&["-t", "a", "-m", "x"], "--response-topic <TOPIC>"),
        (&["-t", "a", "-e", "b"], "there is no message"),
        (&["-t", "a", "-e", "#", "-m", "x"], "'#' for '--response-topic <TOPIC>'"),
        (&["-e", "a", "-m", "x"], "there is no topic"),
    ];
    for (flags, expected) in wrong {
        let line = refused(&[&["rr"], flags].concat(), 2);
        assert!(line.starts_with("error: ") && line.contains(expected), "{flags:?}: {line}");
    }
}
