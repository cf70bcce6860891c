//! One workload, so many rounds of it, and an end: for counting instructions, not for measuring time.
//!
//! `workload` lists the cases; `workload CASE ROUNDS` runs one. `benches/instructions` runs them under callgrind and
//! takes the difference of a long and a short run, so that start and end do not count. Nothing here is random.

mod codec;
mod matching;
mod peer;
mod publishing;

use std::process::ExitCode;

/// A workload.
struct Case {
    name: &'static str,
    /// What a round does, in messages, packets or connections: the count is divided by this.
    operations: usize,
    /// Rounds of the short and of the long run.
    rounds: [usize; 2],
    run: fn(rounds: usize),
}

const CASES: &[Case] = &[
    Case {
        name: "decode publish",
        operations: codec::PACKETS,
        rounds: [20, 820],
        run: codec::decode_publish,
    },
    Case {
        name: "decode publish 5.0",
        operations: codec::PACKETS,
        rounds: [20, 620],
        run: codec::decode_publish_5,
    },
    Case { name: "decode puback", operations: codec::PACKETS, rounds: [20, 1620], run: codec::decode_puback },
    Case {
        name: "decode subscribe",
        operations: codec::PACKETS,
        rounds: [20, 420],
        run: codec::decode_subscribe,
    },
    Case {
        name: "encode publish",
        operations: codec::PACKETS,
        rounds: [20, 1620],
        run: codec::encode_publish,
    },
    Case {
        name: "encode publish 5.0",
        operations: codec::PACKETS,
        rounds: [20, 820],
        run: codec::encode_publish_5,
    },
    Case { name: "encode puback", operations: codec::PACKETS, rounds: [20, 1620], run: codec::encode_puback },
    Case { name: "match one", operations: matching::TOPICS, rounds: [1, 61], run: matching::same_topic },
    Case {
        name: "match random",
        operations: matching::TOPICS,
        rounds: [1, 61],
        run: matching::random_topics,
    },
    Case { name: "publish QoS 0", operations: publishing::BATCH, rounds: [20, 120], run: publishing::qos_0 },
    Case { name: "publish QoS 1", operations: publishing::BATCH, rounds: [20, 70], run: publishing::qos_1 },
    Case { name: "publish QoS 2", operations: publishing::BATCH, rounds: [20, 50], run: publishing::qos_2 },
    Case { name: "publish QoS 0, alone", operations: 1, rounds: [500, 5500], run: publishing::alone_qos_0 },
    Case { name: "publish QoS 1, alone", operations: 1, rounds: [500, 3500], run: publishing::alone_qos_1 },
    // Of these a delivery is what counts.
    Case {
        name: "fan-out QoS 0",
        operations: publishing::FAN_OUT_BATCH * publishing::SUBSCRIBERS,
        rounds: [5, 105],
        run: publishing::fan_out_qos_0,
    },
    Case {
        name: "fan-out QoS 1",
        operations: publishing::FAN_OUT_BATCH * publishing::SUBSCRIBERS,
        rounds: [5, 45],
        run: publishing::fan_out_qos_1,
    },
    Case {
        name: "shared group QoS 1",
        operations: publishing::SHARED_BATCH,
        rounds: [50, 450],
        run: publishing::shared_qos_1,
    },
    Case { name: "connect", operations: 1, rounds: [200, 1200], run: publishing::connect_and_disconnect },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for Case { name, operations, rounds: [short, long], .. } in CASES {
                println!("{name}\t{operations}\t{short}\t{long}");
            }
            ExitCode::SUCCESS
        }
        [name, rounds] => {
            let case = CASES.iter().find(|case| case.name == name);
            let (Some(case), Ok(rounds)) = (case, rounds.parse()) else {
                eprintln!("no case {name}, or {rounds} is no number of rounds");
                return ExitCode::FAILURE;
            };
            (case.run)(rounds);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("workload [CASE ROUNDS]");
            ExitCode::FAILURE
        }
    }
}
