//! The corpus that fuzzing has left behind, run through the same properties as the fuzz targets do.

use std::fs;
use std::path::Path;

use opifex_packet_oracles::{any_bytes_decode_without_surprise, what_decodes_round_trips};

fn replay(target: &str, property: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let files = fs::read_dir(&corpus).unwrap_or_else(|error| panic!("{}: {error}", corpus.display()));
    let mut replayed = 0;
    for file in files {
        let path = file.expect("the folder was readable").path();
        let bytes = fs::read(&path).expect("a file of the corpus");
        // The name of the file at fault is in the output of a failed test.
        println!("{}", path.display());
        property(&bytes);
        replayed += 1;
    }
    assert!(replayed >= 50, "{replayed} files are no corpus");
}

#[test]
fn the_corpus_of_decode_holds_no_surprise() {
    replay("decode", any_bytes_decode_without_surprise);
}

#[test]
fn the_corpus_of_round_trip_round_trips() {
    replay("round_trip", what_decodes_round_trips);
}

#[test]
fn the_corpus_holds_packets_of_every_type_and_version() {
    use opifex_packet::{DecodeOptions, Decoded, PacketType, decode};

    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/round_trip");
    let mut found = std::collections::HashSet::new();
    for file in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        for (version, role) in opifex_packet_oracles::readings() {
            if let Ok(Decoded::Packet { packet, .. }) = decode(&bytes, &DecodeOptions::new(version, role)) {
                found.insert((packet.packet_type(), version, role));
            }
        }
    }
    for packet_type in PacketType::ALL {
        for (version, role) in opifex_packet_oracles::readings() {
            let expected = packet_type.reaches(role, version);
            assert_eq!(
                found.contains(&(packet_type, version, role)),
                expected,
                "{packet_type} {version:?} {role:?}"
            );
        }
    }
}
