//! Where there is no broker, or no longer one, the runner ends and says what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opifex_conformance::statements::{Descriptor, EarlyEnd, Options, Report, TcpTarget, Unusable, run};
use opifex_packet::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_millis(200);
/// What one waits for a run that has nothing to wait for.
const SOON: Duration = Duration::from_secs(20);

/// A run against a server that does this with each connection.
async fn run_against<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<Report, Unusable> {
    run_with(Options::default(), serve).await
}

async fn run_with<F: Future<Output = ()> + Send + 'static>(
    options: Options,
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> Result<Report, Unusable> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    let report = run_at(&address, options).await;
    server.abort();
    report
}

async fn run_at(address: &str, options: Options) -> Result<Report, Unusable> {
    let patience_ms = u64::try_from(PATIENCE.as_millis()).unwrap();
    let descriptor = Descriptor { patience_ms, silence_ms: 20, ..Descriptor::default() };
    let started = Instant::now();
    let report = run(Arc::new(TcpTarget::new(address)), descriptor, options, |_| {}).await;
    assert!(started.elapsed() < SOON, "it took {:?}", started.elapsed());
    report
}

/// 3.1.1 alone, these cases.
fn only(prefix: &str) -> Options {
    Options { versions: vec![Version::V3_1_1], only: Some(prefix.to_owned()), ..Options::default() }
}

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(conversation);
}

/// A server that lets everybody in and says nothing more.
async fn let_in(mut stream: TcpStream) {
    if stream.read(&mut [0; 256]).await.is_ok_and(|len| len > 0) {
        let _ = stream.write_all(&[0x20, 2, 0, 0]).await;
    }
    while stream.read(&mut [0; 256]).await.is_ok_and(|len| len > 0) {}
}

async fn hang(stream: TcpStream) {
    let _open = stream;
    std::future::pending::<()>().await;
}

#[test]
fn nothing_listens() {
    talk(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = run_at(&address, Options::default()).await.unwrap_err();
        assert!(matches!(error, Unusable::NobodyListens(_)), "{error}");
        assert!(error.to_string().starts_with("nothing listens there: "), "{error}");
    });
}

#[test]
fn the_peer_hangs() {
    talk(async {
        let error = run_against(hang).await.unwrap_err();
        assert_eq!(error, Unusable::Hangs(PATIENCE));
    });
}

#[test]
fn the_peer_speaks_something_else() {
    talk(async {
        let error = run_against(|mut stream| async move {
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        });
        let error = error.await.unwrap_err().to_string();
        assert!(error.starts_with("it speaks no MQTT: "), "{error}");
        assert!(error.contains("HTTP/1.1 400"), "{error}");
    });
}

#[test]
fn the_peer_speaks_slower_than_anybody_waits() {
    talk(async {
        // The beginning of a CONNACK of 100 bytes, one byte in half of the patience.
        let error = run_against(|mut stream| async move {
            for byte in [0x20, 100].into_iter().chain(std::iter::repeat_n(0, 100)) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(PATIENCE / 2).await;
            }
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, Unusable::NotMqtt(_)), "{error}");
    });
}

#[test]
fn the_peer_pours_out_what_has_no_end() {
    talk(async {
        // The longest packet that there may be, without an end to it.
        let error = run_against(|mut stream| async move {
            let _ = stream.write_all(&[0x20, 0xff, 0xff, 0xff, 0x7f]).await;
            while stream.write_all(&[0; 4_096]).await.is_ok() {}
        });
        let error = error.await.unwrap_err();
        assert!(matches!(error, Unusable::NotMqtt(_)), "{error}");
    });
}

#[test]
fn the_peer_closes_at_once() {
    talk(async {
        let error = run_against(|stream| async move { drop(stream) }).await.unwrap_err();
        assert_eq!(error, Unusable::Closes);
    });
}

#[test]
fn the_peer_refuses_everybody() {
    talk(async {
        let error = run_against(|mut stream| async move {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello).await;
            let refusal: &[u8] = if hello[8] == 5 { &[0x20, 3, 0, 0x87, 0] } else { &[0x20, 2, 0, 5] };
            let _ = stream.write_all(refusal).await;
        });
        let error = error.await.unwrap_err().to_string();
        assert!(error.contains("MQTT 3.1.1: CONNACK 0x87"), "{error}");
        assert!(error.contains("MQTT 5.0: CONNACK 0x87"), "{error}");
    });
}

/// A server that lets in so many, and with all who come later does `then`.
fn fails_after<F: Future<Output = ()> + Send + 'static>(
    accepted: usize,
    then: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> impl Fn(TcpStream) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + 'static {
    let count = AtomicUsize::new(0);
    let then = Arc::new(then);
    move |stream| {
        if count.fetch_add(1, Ordering::Relaxed) < accepted {
            Box::pin(let_in(stream))
        } else {
            let then = then.clone();
            Box::pin(async move { then(stream).await })
        }
    }
}

/// How the run ended, and how many cases it did not run.
fn early(report: Result<Report, Unusable>) -> (EarlyEnd, usize) {
    let report = report.unwrap();
    assert!(!report.holds());
    let text = report.text();
    let why = report.ended_early.expect("the run ended early");
    assert!(text.contains(&format!("ended early, {} cases were not run: {why}", report.not_run)), "{text}");
    (why, report.not_run)
}

#[test]
fn a_broker_that_hangs_in_the_middle_ends_the_run_at_the_case_that_noticed() {
    talk(async {
        let options = Options { concurrency: 2, ..only("connect::") };
        let cases = options.cases();
        let (why, not_run) = early(run_with(options, fails_after(4, hang)).await);
        let EarlyEnd::Lost { since, version, how, beside } = &why else { panic!("{why}") };
        assert_eq!((*version, how), (Version::V3_1_1, &Unusable::Hangs(PATIENCE)));
        assert!(since.starts_with("connect::"), "{since}");
        assert_eq!(beside.len(), 1);
        assert!(
            !beside[0].starts_with(since.as_str()) && beside[0].ends_with(" in MQTT 3.1.1"),
            "{beside:?}"
        );
        assert!(why.to_string().contains(&format!("since {since} in MQTT 3.1.1: it hangs")), "{why}");
        assert!(why.to_string().ends_with("; another case was under way"), "{why}");
        assert!(0 < not_run && not_run < cases, "{not_run} of {cases}");
    });
}

#[test]
fn a_broker_that_dies_in_the_middle_ends_the_run() {
    talk(async {
        // One that is behind a proxy, which goes on taking connections.
        let (why, _) = early(run_with(only("connect::"), fails_after(4, |_| async {})).await);
        assert!(matches!(why, EarlyEnd::Lost { how: Unusable::Closes, .. }), "{why}");

        // One that listens no more.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::spawn(let_in(listener.accept().await.unwrap().0));
            }
        });
        let (why, _) = early(run_at(&address, only("connect::")).await);
        server.await.unwrap();
        assert!(matches!(why, EarlyEnd::Lost { how: Unusable::NobodyListens(_), .. }), "{why}");
    });
}

#[test]
fn a_broker_that_dies_with_the_last_case_is_noticed_though_the_case_passes() {
    talk(async {
        // Two probes, one of the other version, and then the case: it expects that the connection is closed.
        let options = only("connect::a_connect_cut_short_is_refused");
        let (why, not_run) = early(run_with(options, fails_after(2, |_| async {})).await);
        assert!(
            matches!(&why, EarlyEnd::Lost { since, .. } if since.ends_with("cut_short_is_refused")),
            "{why}"
        );
        assert_eq!(not_run, 0);
    });
}

#[test]
fn a_broker_that_answers_and_fails_cases_is_asked_all_of_them() {
    talk(async {
        let report = run_with(only("connect::"), let_in).await.unwrap();
        assert_eq!((report.ended_early.as_ref(), report.not_run), (None, 0));
        assert_eq!(report.cases.len(), only("connect::").cases());
        assert!(report.failures().next().is_some() && !report.holds());
    });
}

#[test]
fn a_run_ends_when_its_time_is_over() {
    talk(async {
        let run_limit = Duration::from_secs(1);
        let options = Options { run_limit, concurrency: 1, ..only("connect::") };
        let started = Instant::now();
        let (why, not_run) = early(run_with(options, let_in).await);
        assert_eq!(why, EarlyEnd::Limit(run_limit));
        assert!(not_run > 0);
        assert!(started.elapsed() < run_limit * 2, "{:?}", started.elapsed());
    });
}

#[test]
fn a_version_that_is_refused_as_a_whole_is_told_and_does_not_hold() {
    talk(async {
        let options = Options { versions: vec![Version::V3_1_1, Version::V5_0], ..only("connect::a_valid") };
        let report = run_with(options, |mut stream| async move {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello).await;
            if hello[8] == 5 {
                let _ = stream.write_all(&[0x20, 2, 0, 1]).await;
                return;
            }
            let _ = stream.write_all(&[0x20, 2, 0, 0]).await;
            while stream.read(&mut hello).await.is_ok_and(|len| len > 0) {
                let _ = stream.write_all(&[0xd0, 0]).await;
            }
        });
        let report = report.await.unwrap();
        let failures: String = report.failures().map(|case| report.failure(case)).collect();
        assert_eq!(failures, "");
        assert!(!report.holds());
        assert!(report.text().contains("MQTT 5.0 was refused as a whole: CONNACK 0x84"), "{}", report.text());
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["refused"]["5.0"], "CONNACK 0x84");
    });
}
