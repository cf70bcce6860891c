//! Where there is no broker, the runner ends at once and says what there is.

use std::sync::Arc;
use std::time::Duration;

use opifex_conformance::statements::{Descriptor, Options, Report, TcpTarget, Unusable, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// A run against a server that does this with each connection.
async fn run_against<F: Future<Output = ()> + Send + 'static>(
    serve: impl Fn(tokio::net::TcpStream) -> F + Send + 'static,
) -> Result<Report, Unusable> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream));
        }
    });
    let report = run_at(&address).await;
    server.abort();
    report
}

async fn run_at(address: &str) -> Result<Report, Unusable> {
    let descriptor = Descriptor { patience_ms: 300, ..Descriptor::default() };
    run(Arc::new(TcpTarget::new(address)), descriptor, Options::default(), |_| {}).await
}

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(conversation);
}

#[test]
fn nothing_listens() {
    talk(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let error = run_at(&address).await.unwrap_err();
        assert!(matches!(error, Unusable::Unreachable(_)), "{error}");
        assert!(error.to_string().starts_with("nothing listens there: "), "{error}");
    });
}

#[test]
fn the_peer_hangs() {
    talk(async {
        let error = run_against(|stream| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        });
        let error = error.await.unwrap_err();
        assert_eq!(error, Unusable::Hangs(Duration::from_millis(300)));
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

#[test]
fn a_descriptor_with_an_unknown_key_is_refused() {
    let error = Descriptor::parse("patience_ms = 1\npatiense = 2\n").unwrap_err().to_string();
    assert!(error.contains("patiense"), "{error}");
}
