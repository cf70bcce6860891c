//! `opifex bench`: that it counts right, at our broker and at one that does wrong.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opifex_packet::{
    Connack, DecodeOptions, Decoded, Delivery, Packet, Puback, ReasonCode, Role, Suback, Version, decode,
};
use serde_json::Value;

use crate::child::{Program, file, refused, run};
use crate::tool::{Tool, ends};

/// The report of a run at that address.
fn report(address: SocketAddr, exit_code: i32, flags: &[&str]) -> Value {
    let port = address.port().to_string();
    let fixed = ["bench", "-h", "127.0.0.1", "-p", &port, "--json"];
    let output = run(&[&fixed, flags].concat(), b"");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(exit_code), "{flags:?}: {stderr}{stdout}");
    assert_eq!((stdout.lines().count(), stderr.as_str()), (1, ""), "{flags:?}");
    serde_json::from_str(&stdout).unwrap()
}

/// The named figures of a report.
fn figures<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}")))
}

const COUNTS: [&str; 5] = ["sent", "received", "lost", "duplicates", "reordered"];

#[test]
fn every_message_of_every_scenario_is_accounted_for() {
    let broker = Program::serve(&["--log", "warn"]);
    let scenarios: [(&[&str], u64); 4] = [
        (&["pairs", "--publishers", "3"], 1),
        (&["fan-in", "--publishers", "4", "--subscribers", "2"], 2),
        (&["fan-out", "--subscribers", "5"], 5),
        (&["publish"], 0),
    ];
    for (scenario, copies) in scenarios {
        for qos in ["0", "1", "2"] {
            for version in ["311", "5"] {
                let flags = [
                    "-q",
                    qos,
                    "-V",
                    version,
                    "--count",
                    "500",
                    "-M",
                    "20",
                    "--warm-up",
                    "50ms",
                    "-s",
                    "100",
                ];
                let report = report(broker.address(), 0, &[scenario, &flags].concat());
                assert_eq!(
                    figures(&report, COUNTS),
                    [500, 500 * copies, 0, 0, 0],
                    "{scenario:?} {qos} {version}"
                );
                let delivered = report["delivery_us"]["count"].as_u64().unwrap_or(0);
                let acknowledged = report["acknowledgement_us"]["count"].as_u64().unwrap_or(0);
                assert_eq!(delivered, 500 * copies, "{report}");
                assert_eq!(acknowledged, if qos == "0" { 0 } else { 500 }, "{report}");
            }
        }
    }
}

#[test]
fn connections_are_made_and_counted() {
    let broker = Program::serve(&["--log", "warn"]);
    let report =
        report(broker.address(), 0, &["connect", "--count", "50", "--warm-up", "0", "--publishers", "3"]);
    assert_eq!((&report["sent"], &report["connect_us"]["count"]), (&50.into(), &50.into()));
}

#[test]
fn a_rate_is_kept_and_latency_counts_from_when_a_message_was_due() {
    let broker = Program::serve(&["--log", "warn"]);
    let flags = ["--rate", "1000", "--count", "500", "--warm-up", "100ms", "-q", "1"];
    let report = report(broker.address(), 0, &flags);
    assert_eq!(figures(&report, COUNTS), [500, 500, 0, 0, 0]);
    // The last of 500 messages is due 499 ms behind the first, however fast the machine is.
    assert!(report["measured_seconds"].as_f64().unwrap() >= 0.45, "{report}");
    let (lag, delivery) = (&report["lag_us"], &report["delivery_us"]);
    assert_eq!(lag["count"], 500);
    assert!(lag["min"].as_f64() <= delivery["min"].as_f64(), "{report}");
}

#[test]
fn the_table_has_the_figures() {
    let broker = Program::serve(&["--log", "warn"]);
    let (stdout, stderr) = ends(&broker, 0, "bench", &["--count", "100", "-q", "1", "--warm-up", "0"], b"");
    let table = String::from_utf8(stdout).unwrap();
    for expected in
        ["pairs: 10 publishers, 10 subscribers, QoS 1, 64 bytes", "\nreceived ", "p99.9", "\nacknowledged "]
    {
        assert!(table.contains(expected), "{expected}: {table}");
    }
    assert_eq!(stderr, "");
}

/// What a broker does wrong with each tenth message.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Drop,
    Twice,
    Late,
    Refuse,
}

/// A broker for one publisher and one subscriber, that makes mistakes.
fn faulty(fault: Fault) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let subscriber = Arc::new(Mutex::new(None));
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let subscriber = Arc::clone(&subscriber);
            std::thread::spawn(move || serve(stream, &subscriber, fault));
        }
    });
    address
}

fn serve(mut stream: TcpStream, subscriber: &Mutex<Option<TcpStream>>, fault: Fault) {
    const VERSION: Version = Version::V5_0;
    let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
    let mut held: Option<Vec<u8>> = None;
    let mut number = 0;
    let encoded = |packet: Packet<'_>| {
        let mut bytes = Vec::new();
        packet.encode(VERSION, &mut bytes);
        bytes
    };
    while let Ok(len @ 1..) = stream.read(&mut chunk) {
        received.extend_from_slice(&chunk[..len]);
        while let Ok(Decoded::Packet { packet, len }) =
            decode(&received, &DecodeOptions::new(VERSION, Role::Server))
        {
            let packet = packet.into_owned();
            received.drain(..len);
            let answer = match packet {
                Packet::Connect(_) => Packet::from(Connack::new(ReasonCode::Success)),
                Packet::Subscribe(subscribe) => {
                    *subscriber.lock().unwrap() = Some(stream.try_clone().unwrap());
                    Packet::from(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1]))
                }
                Packet::Publish(publish) => {
                    number += 1;
                    let wrong = if number % 10 == 0 { fault } else { Fault::None };
                    let bytes = encoded(Packet::from(publish.clone()));
                    let bytes = match wrong {
                        Fault::None => [bytes, held.take().unwrap_or_default()].concat(),
                        Fault::Drop | Fault::Refuse => Vec::new(),
                        Fault::Twice => [bytes.clone(), bytes].concat(),
                        Fault::Late => {
                            held = Some(bytes);
                            Vec::new()
                        }
                    };
                    if let Some(subscriber) = &mut *subscriber.lock().unwrap() {
                        subscriber.write_all(&bytes).unwrap();
                    }
                    let reason =
                        if wrong == Fault::Refuse { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
                    match publish.delivery {
                        Delivery::AtLeastOnce(id) => Packet::from(Puback::new(id).with_reason(reason)),
                        _ => continue,
                    }
                }
                Packet::Disconnect(_) => return,
                _ => continue,
            };
            stream.write_all(&encoded(answer)).unwrap();
        }
    }
}

#[test]
fn a_broker_that_does_wrong_is_found_out() {
    let flags = |qos| ["pairs", "--publishers", "1", "-V", "5", "--count", "95", "--warm-up", "0", "-q", qos];
    let cases = [
        (Fault::None, "1", 0, [95, 95, 0, 0, 0]),
        // QoS 0 may lose, and QoS 1 may not.
        (Fault::Drop, "0", 0, [95, 86, 9, 0, 0]),
        (Fault::Drop, "1", 1, [95, 86, 9, 0, 0]),
        (Fault::Twice, "0", 1, [95, 104, 0, 9, 0]),
        (Fault::Twice, "1", 0, [95, 104, 0, 9, 0]),
        (Fault::Late, "0", 1, [95, 95, 0, 0, 9]),
        (Fault::Refuse, "1", 1, [95, 86, 9, 0, 0]),
    ];
    std::thread::scope(|scope| {
        for (fault, qos, exit_code, expected) in cases {
            scope.spawn(move || {
                let report = report(faulty(fault), exit_code, &flags(qos));
                assert_eq!(figures(&report, COUNTS), expected, "{fault:?} at QoS {qos}");
                let refused = if fault == Fault::Refuse { 9 } else { 0 };
                assert_eq!(figures(&report, ["refused"]), [refused], "{fault:?}");
            });
        }
    });
}

#[test]
fn a_signal_ends_it_with_a_report_of_what_was() {
    let broker = Program::serve(&["--log", "warn"]);
    let witness = Tool::subscribed(&broker, &["-t", "load/#", "-C", "1"]);
    let port = broker.address().port().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_opifex"));
    let flags = [
        "bench",
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "--rate",
        "1000",
        "--duration",
        "1h",
        "-t",
        "load",
        "--json",
    ];
    let child = crate::child::piped(command.args(flags));
    drop(witness.ended(0));
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped_early"], true);
    assert!(report["total_sent"].as_u64() > Some(0), "{report}");
}

#[test]
fn what_cannot_begin_is_one_line() {
    let line = refused(&["bench", "-h", "127.0.0.1", "-p", "1"], 1);
    assert!(line.starts_with("error: cannot connect to 127.0.0.1:1: "), "{line}");
    let wrong: [(&[&str], &str); 6] = [
        (&["--size", "23"], "'23' for '--size <BYTES>'"),
        (&["--rate", "0"], "'0' for '--rate <N>'"),
        (&["--duration", "10"], "expected one such as 10s"),
        (&["--duration", "1s", "--count", "5"], "cannot be used with"),
        (&["all"], "'all' for '[SCENARIO]'"),
        (&["-t", "a/+"], "'a/+' for '--topic <PREFIX>'"),
    ];
    for (flags, expected) in wrong {
        let line = refused(&[&["bench"], flags].concat(), 2);
        assert!(line.contains(expected), "{flags:?}: {line}");
    }
    let hash = run(&["hash-password"], b"secret\n").stdout;
    let hash = String::from_utf8(hash).unwrap();
    let users = format!("[[users]]\nname = \"me\"\npassword_hash = \"{}\"\n", hash.trim());
    let broker = Program::serve(&["--log", "warn", "--config", &file("bench-users.toml", &users)]);
    let (_, said) = ends(&broker, 134, "bench", &["-u", "me", "-P", "wrong"], b"");
    assert_eq!(said, "error: the server refused the connection: Bad User Name or Password\n");
    let flags = ["-u", "me", "-P", "secret", "--count", "10", "--warm-up", "0"];
    ends(&broker, 0, "bench", &flags, b"");
}
