//! The restart command: what it is, how long it may take, and that one that fails ends the run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use opifex_conformance::statements::{CaseVerdict, Descriptor, EarlyEnd, Options, Report, TcpTarget, run};
use opifex_packet::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A broker that has no state: it lets in, and answers SUBSCRIBE and PINGREQ.
async fn serve(mut stream: TcpStream) {
    let mut received = [0; 512];
    while let Ok(len @ 1..) = stream.read(&mut received).await {
        let answer: &[u8] = match received[0] >> 4 {
            1 => &[0x20, 2, 0, 0],
            8 => &[0x90, 3, received[2], received[3], 1],
            12 => &[0xd0, 0],
            _ => &[],
        };
        if len == 0 || stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The cases that restart, with this command, against a broker that lets in so many connections and hangs with all later
/// ones.
fn run_with(restart: Option<&str>, accepted: usize) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let count = AtomicUsize::new(0);
        tokio::spawn(async move {
            let mut hanging = Vec::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if count.fetch_add(1, Ordering::Relaxed) < accepted {
                    tokio::spawn(serve(stream));
                } else {
                    hanging.push(stream);
                }
            }
        });
        let descriptor = Descriptor {
            patience_ms: 300,
            silence_ms: 20,
            restart: restart.map(str::to_owned),
            restart_limit_ms: 1_000,
            ..Descriptor::default()
        };
        let options = Options {
            versions: vec![Version::V3_1_1],
            only: Some("restart::a_session_that_ended".to_owned()),
            ..Options::default()
        };
        run(Arc::new(TcpTarget::new(address)), descriptor, options, |_| {}).await.unwrap()
    })
}

fn early_end(restart: &str, accepted: usize) -> String {
    let report = run_with(Some(restart), accepted);
    assert!(!report.holds());
    let Some(why @ EarlyEnd::Restart(_)) = report.ended_early else { panic!("{:?}", report.ended_early) };
    assert_eq!(report.not_run, 1);
    why.to_string()
}

#[test]
fn without_a_command_the_cases_say_that_they_need_one() {
    let report = run_with(None, usize::MAX);
    let CaseVerdict::NotApplicable(what) = &report.cases[0].verdict else { panic!("{report:?}") };
    assert!(what.starts_with("a restart command"), "{what}");
    assert!(report.holds());
}

#[test]
fn the_command_runs_once_and_the_case_goes_on_after_it() {
    let ran = tempfile::NamedTempFile::new().unwrap();
    let report = run_with(Some(&format!("echo restarted >> '{}'", ran.path().display())), usize::MAX);
    assert_eq!(report.ended_early, None);
    assert!(
        matches!(report.cases[0].verdict, CaseVerdict::Failed(_)),
        "the session is asked for: {report:?}"
    );
    assert!(report.cases[0].transcript.iter().any(|line| line.ends_with("the broker was restarted")));
    assert_eq!(std::fs::read_to_string(ran.path()).unwrap(), "restarted\n");
}

#[test]
fn a_command_that_fails_ends_the_run_with_its_exit_code() {
    let why = early_end("exit 3", usize::MAX);
    assert!(why.contains("\"exit 3\" ended with") && why.contains('3'), "{why}");
}

#[test]
fn a_command_that_hangs_ends_the_run() {
    let why = early_end("sleep 30", usize::MAX);
    assert!(why.contains("it does not answer again in 1s"), "{why}");
}

#[test]
fn a_broker_that_does_not_answer_after_it_ends_the_run() {
    // Two probes and the client of the case.
    let why = early_end("true", 3);
    assert!(why.contains("it does not answer again in 1s"), "{why}");
}
