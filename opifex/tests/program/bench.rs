//! `opifex bench`: that it counts right, at our broker and at one that does wrong.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::Value;

use crate::child::{PATIENCE, Program, file, refused, run};
use crate::faulty::{Fault, Faulty};
use crate::tool::ends;

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
fn a_connection_takes_as_long_as_its_handshake_and_no_timer_beside_it() {
    let faulty = Faulty::new(Fault::None);
    let flags = ["connect", "-V", "5", "--publishers", "1", "--count", "300", "--warm-up", "0"];
    let closed = report(faulty.address(), 0, &flags);
    // A timer of the runtime's takes a millisecond at least.
    assert!(closed["connect_us"]["min"].as_f64() < Some(700.0), "{closed}");
    assert_eq!(closed["lag_us"], Value::Null);
    // With a rate it says how late it was itself.
    let open = report(faulty.address(), 0, &[&flags[..], &["--rate", "500"]].concat());
    assert!(open["lag_us"]["count"].as_u64() > Some(0), "{open}");
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
    assert!(lag["count"].as_u64() > Some(0), "{report}");
    assert!(lag["min"].as_f64() <= delivery["min"].as_f64(), "{report}");
}

/// Of 500 messages at 1000 a second, those of 400 ms wait for the broker, 200 ms on average, whether window (QoS 1), socket
/// (large payloads) or nothing (QoS 0) keeps the publisher from sending them.
#[test]
fn a_broker_that_stalls_is_found_out_by_each_message_that_was_due_meanwhile() {
    let flags =
        ["pairs", "--publishers", "1", "-V", "5", "--rate", "1000", "--count", "500", "--warm-up", "0"];
    let cases: [&[&str]; 3] = [&["-q", "0"], &["-q", "1", "-M", "20"], &["-q", "0", "-s", "65536"]];
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || {
                let report = report(Faulty::new(Fault::Stall).address(), 0, &[&flags, case].concat());
                let micros = |of: &str, at: &str| report[of][at].as_f64().unwrap();
                assert!(micros("delivery_us", "p50") >= 80_000.0, "{case:?}: {report}");
                assert!(micros("delivery_us", "p90") >= 300_000.0, "{case:?}: {report}");
                assert!(micros("delivery_us", "p99_9") >= 390_000.0, "{case:?}: {report}");
                // That was not the generator's doing.
                assert!(micros("lag_us", "p90") <= 100_000.0, "{case:?}: {report}");
            });
        }
    });
}

#[test]
fn what_comes_behind_the_last_message_is_seen() {
    let flags = ["pairs", "--publishers", "1", "-V", "5", "--count", "95", "--warm-up", "0", "-q", "1"];
    for (fault, exit_code, expected) in
        [(Fault::LastTwice, 0, [95, 96, 0, 1, 0]), (Fault::Straggler, 1, [95, 95, 0, 0, 1])]
    {
        let report = report(Faulty::new(fault).address(), exit_code, &flags);
        assert_eq!(figures(&report, COUNTS), expected, "{fault:?}");
    }
}

#[test]
fn the_share_of_a_processor_is_that_of_the_measured_part() {
    // It waits five seconds for what is lost.
    let flags = ["--publishers", "1", "-V", "5", "--duration", "400ms", "--warm-up", "0", "--backlog", "0"];
    let report = report(Faulty::new(Fault::Sink).address(), 0, &flags);
    assert!(figures(&report, ["lost"]) > [0], "{report}");
    assert!(report["generator_cpu_percent"].as_f64() > Some(12.0), "{report}");
}

#[test]
fn a_server_that_acknowledges_no_more_ends_a_slow_run_too() {
    let flags = ["publish", "--publishers", "1", "-V", "5", "--rate", "5", "-q", "1", "--duration", "1h"];
    let report = report(Faulty::new(Fault::Deaf).address(), 1, &flags);
    assert!(report["errors"][0].as_str().unwrap().contains("nothing moved for 20 seconds"), "{report}");
}

#[test]
fn the_keep_alive_is_the_servers_and_a_server_that_does_not_answer_it_is_given_up() {
    let flags = ["pairs", "--publishers", "1", "-V", "5", "--rate", "1", "--count", "4", "--warm-up", "0"];
    let kept = report(Faulty::new(Fault::Impatient).address(), 0, &flags);
    assert_eq!(figures(&kept, COUNTS), [4, 4, 0, 0, 0]);
    let silent = report(Faulty::new(Fault::NoPingresp).address(), 1, &flags);
    assert!(silent["errors"][0].as_str().unwrap().contains("PINGRESP"), "{silent}");
}

#[test]
fn a_publisher_waits_for_its_subscribers_as_the_flag_asks() {
    for (backlog, expected) in [("7", 7), ("0", 60)] {
        let faulty = Faulty::new(Fault::Withhold);
        let flags = ["pairs", "--publishers", "1", "-V", "5", "-q", "1", "--count", "60", "--warm-up", "0"];
        let report = report(faulty.address(), 0, &[&flags[..], &["--backlog", backlog]].concat());
        assert_eq!(figures(&report, COUNTS), [60, 60, 0, 0, 0]);
        assert_eq!(faulty.most_held().load(Relaxed), expected, "--backlog {backlog}");
    }
}

/// A run that goes on until it is stopped, and has begun.
fn endless(address: SocketAddr, flags: &[&str]) -> std::process::Child {
    let port = address.port().to_string();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_opifex"));
    let fixed = ["bench", "-h", "127.0.0.1", "-p", &port, "--duration", "1h", "--warm-up", "0", "--json"];
    crate::child::piped(command.args([&fixed, flags].concat()))
}

/// Stops it by SIGINT and answers its report.
fn stopped(child: std::process::Child) -> Value {
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["stopped_early"], true);
    report
}

#[test]
fn a_signal_while_it_connects_is_told_by_the_exit_code() {
    // It takes the connections and answers none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let child = endless(silent.local_addr().unwrap(), &[]);
    let _connection = silent.accept().unwrap();
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{output:?}");
}

#[test]
fn as_many_threads_drive_the_connections_as_the_flag_asks() {
    for (flags, expected) in [(&[][..], 0), (&["--threads", "3"][..], 3)] {
        let faulty = Faulty::new(Fault::None);
        let child =
            endless(faulty.address(), &[&["--publishers", "1", "-V", "5", "--rate", "10"], flags].concat());
        faulty.wait_for_messages(1);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        // With one thread it is the program's own.
        assert_eq!(names.filter(|name| name.starts_with("tokio")).count(), expected, "{flags:?}");
        stopped(child);
    }
}

#[test]
fn what_is_on_its_way_when_a_signal_comes_is_waited_for_and_not_lost() {
    let faulty = Faulty::new(Fault::Withhold);
    let flags = ["--publishers", "1", "-V", "5", "--rate", "100", "-q", "1"];
    let child = endless(faulty.address(), &flags);
    faulty.wait_for_messages(50);
    let report = stopped(child);
    assert!(report["sent"].as_u64() >= Some(50), "{report}");
    assert_eq!(figures(&report, ["lost", "duplicates", "reordered"]), [0, 0, 0], "{report}");
    assert_eq!(report["received"], report["sent"]);
}

#[test]
fn a_signal_ends_a_run_of_which_far_more_is_due_than_the_broker_takes() {
    // One message each 20 ms of 10,000 that are due each second.
    let faulty = Faulty::new(Fault::Slow);
    let flags = ["--publishers", "1", "-V", "5", "--rate", "10000", "-q", "1", "-M", "1"];
    let child = endless(faulty.address(), &flags);
    faulty.wait_for_messages(20);
    let begin = std::time::Instant::now();
    let report = stopped(child);
    assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    let [unsent, sent] = figures(&report, ["unsent", "total_sent"]);
    assert!(unsent > sent, "{report}");
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
                let report = report(Faulty::new(fault).address(), exit_code, &flags(qos));
                assert_eq!(figures(&report, COUNTS), expected, "{fault:?} at QoS {qos}");
                let refused = if fault == Fault::Refuse { 9 } else { 0 };
                assert_eq!(figures(&report, ["refused"]), [refused], "{fault:?}");
            });
        }
    });
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

#[test]
fn what_the_server_uses_is_measured_in_its_process() {
    let broker = Program::serve(&["--log", "warn"]);
    let id = broker.id().to_string();
    for (scenario, copies) in [(["pairs", "-q", "1"], 1), (["publish", "-q", "0"], 0)] {
        let flags =
            [&scenario[..], &["--count", "20000", "--warm-up", "100ms", "--server-pid", &id]].concat();
        let report = report(broker.address(), 0, &flags);
        assert_eq!(figures(&report, ["received"]), [20_000 * copies]);
        let micros = report["server_cpu_us_per_message"].as_f64();
        assert!(micros > Some(0.05) && micros < Some(500.0), "{report}");
        assert!(report["server_resident_bytes"].as_u64() > Some(1 << 20), "{report}");
        assert!(report["server_context_switches_per_message"].is_f64(), "{report}");
    }
    // Whoever does not say whose process it is hears nothing of it.
    let report = report(broker.address(), 0, &["--count", "10", "--warm-up", "0"]);
    assert_eq!(report["server_cpu_us_per_message"], Value::Null);
}

#[test]
fn each_message_of_a_shared_subscription_and_of_a_random_topic_comes_once() {
    let broker = Program::serve(&["--log", "warn"]);
    let scenarios: [&[&str]; 2] = [
        &["fan-in", "--shared", "--publishers", "5", "--subscribers", "3"],
        &["random", "--topics", "200", "--publishers", "4", "--subscribers", "3"],
    ];
    for scenario in scenarios {
        for qos in ["0", "1", "2"] {
            let flags = ["-q", qos, "--count", "900", "--warm-up", "50ms"];
            let report = report(broker.address(), 0, &[scenario, &flags].concat());
            assert_eq!(figures(&report, COUNTS), [900, 900, 0, 0, 0], "{scenario:?} {qos}");
            assert_eq!(figures(&report, ["foreign"]), [0], "{scenario:?} {qos}");
        }
    }
    // All of the topics have a subscriber, and each only one: what is sent to none would be lost.
    let flags =
        ["random", "--topics", "7", "--subscribers", "2", "--count", "100", "--warm-up", "0", "-V", "5"];
    assert_eq!(figures(&report(broker.address(), 0, &flags), COUNTS), [100, 100, 0, 0, 0]);
}

#[test]
fn what_is_published_for_clients_that_are_away_is_delivered_when_they_come() {
    let broker = Program::serve(&["--log", "warn"]);
    let id = broker.id().to_string();
    for (flags, copies, qos) in [
        (&["offline", "--subscribers", "2", "--publishers", "3"][..], 2, 1),
        (&["offline", "-q", "2", "-V", "5"][..], 1, 2),
        (&["retained", "--publishers", "3"][..], 1, 1),
        (&["retained", "-q", "2", "-V", "5"][..], 1, 2),
    ] {
        let report = report(
            broker.address(),
            0,
            &[flags, &["--count", "2000", "-s", "200", "--server-pid", &id]].concat(),
        );
        assert_eq!(figures(&report, COUNTS), [2000, 2000 * copies, 0, 0, 0], "{flags:?}");
        assert_eq!(figures(&report, ["qos", "total_acknowledged"]), [qos, 2000]);
        let part = |of: &Value, name: &str| of[name].as_f64().unwrap_or_else(|| panic!("{name}: {report}"));
        assert!(part(&report["delivering"], "per_second") > 0.0);
        assert!(part(&report["delivering"], "server_cpu_us_per_message") > 0.0);
        // What each message adds is a figure only where the server has grown.
        assert!(part(&report, "server_resident_bytes") > 0.0);
    }
    // Nothing is left behind.
    let (stdout, _) = ends(&broker, 27, "sub", &["-t", "#", "-W", "1"], b"");
    assert_eq!(String::from_utf8(stdout).unwrap(), "");
}

#[test]
fn idle_connections_are_made_and_weighed() {
    let broker = Program::serve(&["--log", "warn"]);
    let id = broker.id().to_string();
    let report = report(broker.address(), 0, &["idle", "--count", "300", "--server-pid", &id]);
    assert_eq!(figures(&report, ["subscribers", "failed_connections"]), [300, 0]);
    assert_eq!(report["connect_us"]["count"], 300);
    assert!(report["server_resident_bytes_each"].as_f64() > Some(100.0), "{report}");
    let (stdout, _) = ends(&broker, 0, "bench", &["idle", "--count", "20", "--server-pid", &id], b"");
    let table = String::from_utf8(stdout).unwrap();
    assert!(
        table.starts_with("idle: 20 connections") && table.contains("bytes for each connection"),
        "{table}"
    );
}

/// The faulty broker has one subscriber, so a share is all.
#[test]
fn what_is_wrong_with_shares_is_found_out_too() {
    let flags = |qos| {
        ["fan-in", "--shared", "--publishers", "1", "-V", "5", "--count", "95", "--warm-up", "0", "-q", qos]
    };
    let cases = [
        (Fault::Drop, "1", 1, [95, 86, 9, 0, 0]),
        (Fault::Twice, "0", 1, [95, 104, 0, 9, 0]),
        (Fault::Late, "1", 1, [95, 95, 0, 0, 9]),
    ];
    std::thread::scope(|scope| {
        for (fault, qos, exit_code, expected) in cases {
            scope.spawn(move || {
                let report = report(Faulty::new(fault).address(), exit_code, &flags(qos));
                assert_eq!(figures(&report, COUNTS), expected, "{fault:?} at QoS {qos}");
            });
        }
    });
}
