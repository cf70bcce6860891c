//! Decode and encode of PUBLISH and SUBSCRIBE in 5.0 beside two published codecs, in one run:
//! `cargo bench -p opifex-packet-oracles --bench codec`.
//!
//! Each iteration takes a stream of packets, as a reader finds it in its buffer. The others get the
//! input in the form that they ask for without paying for it: `mqtt-protocol-core` one `Arc<[u8]>` a
//! packet, already cut out, `rumqttc` a `BytesMut` that it may take apart.

use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mqtt_protocol_core::mqtt::packet::v5_0 as core_v5;
use opifex_packet::{
    DecodeOptions, Decoded, Delivery, Frame, Packet, PacketId, Publish, QoS, Role, Subscribe, Subscription,
    TopicFilter, TopicName, Version, decode,
};
use rumqttc::v5::mqttbytes::v5::Packet as RumqttPacket;

const PACKETS: usize = 64;
const OPTIONS: DecodeOptions = DecodeOptions::new(Version::V5_0, Role::Server);

fn id() -> PacketId {
    PacketId::new(77).expect("77 is not 0")
}

fn publish(payload_len: usize) -> Packet<'static> {
    let topic = TopicName::new("buildings/7/rooms/12/temperature").expect("no wildcards");
    Publish { delivery: Delivery::AtLeastOnce(id()), ..Publish::new(topic, vec![0x2a; payload_len]) }.into()
}

fn subscribe() -> Packet<'static> {
    let filters = ["buildings/+/rooms/+/temperature", "alarms/#"];
    let subscription =
        |filter| Subscription::new(TopicFilter::new(filter).expect("well-formed"), QoS::AtLeastOnce);
    Subscribe::new(id(), filters.map(subscription).to_vec()).into()
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(Version::V5_0, &mut bytes);
    bytes
}

fn body(bytes: &[u8]) -> &[u8] {
    let frame = Frame::read(bytes, Version::V5_0).expect("valid").expect("whole");
    &bytes[frame.header_len..]
}

fn cases() -> [(&'static str, Packet<'static>); 4] {
    [
        ("publish_16", publish(16)),
        ("publish_256", publish(256)),
        ("publish_4096", publish(4096)),
        ("subscribe", subscribe()),
    ]
}

fn bench_decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for (name, packet) in cases() {
        let bytes = encoded(&packet);
        let stream = bytes.repeat(PACKETS);

        group.bench_function(BenchmarkId::new("opifex", name), |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(&stream[..]);
                while let Ok(Decoded::Packet { packet, len }) = decode(rest, &OPTIONS) {
                    black_box(&packet);
                    rest = &rest[len..];
                }
                assert!(rest.is_empty());
            });
        });

        let arcs: Vec<Arc<[u8]>> = (0..PACKETS).map(|_| Arc::from(body(&bytes))).collect();
        let flags = bytes[0] & 0x0f;
        let is_publish = matches!(packet, Packet::Publish(_));
        group.bench_function(BenchmarkId::new("mqtt-protocol-core", name), |bencher| {
            bencher.iter(|| {
                for body in black_box(&arcs) {
                    if is_publish {
                        black_box(core_v5::Publish::parse(flags, Arc::clone(body)).expect("valid"));
                    } else {
                        black_box(core_v5::Subscribe::parse(body).expect("valid"));
                    }
                }
            });
        });

        group.bench_function(BenchmarkId::new("rumqttc", name), |bencher| {
            bencher.iter_batched(
                || BytesMut::from(&stream[..]),
                |mut stream| {
                    while let Ok(packet) = RumqttPacket::read(&mut stream, None) {
                        black_box(packet);
                    }
                    assert!(stream.is_empty());
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn bench_encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(PACKETS as u64));
    for (name, packet) in cases() {
        let bytes = encoded(&packet);

        let mut out = Vec::with_capacity(bytes.len() * PACKETS);
        group.bench_function(BenchmarkId::new("opifex", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..PACKETS {
                    black_box(&packet).encode(Version::V5_0, &mut out);
                }
                black_box(&out);
            });
        });

        let flags = bytes[0] & 0x0f;
        let mut out = Vec::with_capacity(bytes.len() * PACKETS);
        match packet {
            Packet::Publish(_) => {
                let (packet, _) = core_v5::Publish::parse(flags, Arc::from(body(&bytes))).expect("valid");
                group.bench_function(BenchmarkId::new("mqtt-protocol-core", name), |bencher| {
                    bencher.iter(|| {
                        out.clear();
                        for _ in 0..PACKETS {
                            out.extend_from_slice(&black_box(&packet).to_continuous_buffer());
                        }
                        black_box(&out);
                    });
                });
            }
            _ => {
                let (packet, _) = core_v5::Subscribe::parse(body(&bytes)).expect("valid");
                group.bench_function(BenchmarkId::new("mqtt-protocol-core", name), |bencher| {
                    bencher.iter(|| {
                        out.clear();
                        for _ in 0..PACKETS {
                            out.extend_from_slice(&black_box(&packet).to_continuous_buffer());
                        }
                        black_box(&out);
                    });
                });
            }
        }

        let packet = RumqttPacket::read(&mut BytesMut::from(&bytes[..]), None).expect("valid");
        let mut out = BytesMut::with_capacity(bytes.len() * PACKETS);
        group.bench_function(BenchmarkId::new("rumqttc", name), |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..PACKETS {
                    black_box(&packet).write(&mut out, None).expect("no limit");
                }
                black_box(&out);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, bench_decode, bench_encode);
criterion_main!(benches);
