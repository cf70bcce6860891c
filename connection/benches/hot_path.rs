//! What a batch costs on its way out and in, without a transport:
//! `cargo bench -p opifex-connection --bench hot_path`.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use opifex_connection::{Flush, Inbox, Outlet, Read};
use tokio::io::sink;

const MESSAGES: usize = 1000;

fn flush(outlet: &mut Outlet) {
    outlet.set_owner(Waker::noop());
    assert!(matches!(outlet.flush(), Flush::Drained));
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("append 1000 and flush");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    let mut outlet = Outlet::new(Box::new(sink()));
    let small = [7_u8; 64];
    group.bench_function("64 B copied", |b| {
        b.iter(|| {
            for _ in 0..MESSAGES {
                outlet.append(black_box(&small));
            }
            flush(&mut outlet);
        })
    });
    for len in [256, 512, 1024, 4096] {
        let body = Bytes::from(vec![7; len]);
        group.bench_function(format!("head and {len} B copied"), |b| {
            b.iter(|| {
                for _ in 0..MESSAGES {
                    outlet.append(black_box(&small[..20]));
                    outlet.append(black_box(&body));
                }
                flush(&mut outlet);
            })
        });
        group.bench_function(format!("head and {len} B shared"), |b| {
            b.iter(|| {
                for _ in 0..MESSAGES {
                    outlet.append(black_box(&small[..20]));
                    outlet.append_shared(black_box(&body));
                }
                flush(&mut outlet);
            })
        });
    }
    group.finish();
}

/// A lone message to each of many peers: what there is besides the bytes.
fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("one message to 100 peers");
    group.throughput(Throughput::Elements(100));
    let mut outlets: Vec<Outlet> = (0..100).map(|_| Outlet::new(Box::new(sink()))).collect();
    for len in [64, 1024] {
        let body = Bytes::from(vec![7; len]);
        group.bench_function(format!("{len} B"), |b| {
            b.iter(|| {
                for outlet in &mut outlets {
                    outlet.append(black_box(&[7; 20]));
                    outlet.append_shared(black_box(&body));
                }
                outlets.iter_mut().for_each(flush);
            })
        });
    }
    group.finish();
}

fn read(c: &mut Criterion) {
    let mut group = c.benchmark_group("read");
    let stream = vec![7_u8; 1024 * 1024];
    group.throughput(Throughput::Bytes(stream.len() as u64));
    group.bench_function("1 MiB in packets of 100 B", |b| {
        let mut inbox = Inbox::new();
        b.iter(|| {
            let mut reader = &stream[..];
            let mut cx = Context::from_waker(Waker::noop());
            let whole = |bytes: &[u8]| (bytes.len() - bytes.len() % 100, ());
            while let Poll::Ready(Ok(Read::Taken { .. })) = inbox.poll_read(&mut cx, &mut reader, whole) {}
        })
    });
    group.finish();
}

criterion_group!(benches, append, fan_out, read);
criterion_main!(benches);
