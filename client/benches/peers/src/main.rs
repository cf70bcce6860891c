//! One client of one library in one role, whose processor time is measured from outside (`run`, next door):
//!
//! ```text
//! opifex-client-peers opifex|rumqttc|rumqttc-nodelay pub|sub PORT QOS COUNT BYTES
//! ```
//! `pub` publishes so many messages to the topic `peers/0`, as fast as it goes, and ends when all are at their end. `sub`
//! subscribes to `peers/#`, prints `ready`, and ends when so many messages have come. `opifex retain` leaves so many retained
//! messages behind, for `peers/0`, `peers/1` and so on: what a subscriber gets as fast as it takes it. All speak 3.1.1, with 100 messages
//! under way at most. `paho.c` is the same in C. It measures nothing itself, and does not reconnect.

mod opifex;
mod rumqtt;

/// Messages that are handed over and not at their end, at most, whatever the window on the wire.
const AHEAD: usize = 1000;
/// QoS 1 and 2 messages under way.
const WINDOW: u16 = 100;

/// What a client is to do.
#[derive(Copy, Clone)]
struct Task {
    port: u16,
    qos: u8,
    count: usize,
    bytes: usize,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [library, role, numbers @ ..] = &args[..] else {
        panic!("expected LIBRARY ROLE PORT QOS COUNT BYTES")
    };
    let numbers: Vec<usize> = numbers.iter().map(|number| number.parse().expect("a number")).collect();
    let [port, qos, count, bytes] = numbers[..] else { panic!("expected PORT QOS COUNT BYTES") };
    let task = Task { port: port as u16, qos: qos as u8, count, bytes };
    let at_once = library == "rumqttc-nodelay";
    // One thread: a second one adds what it costs to wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    // In a task, as in a program that does something else beside it. What `block_on` itself is given is woken at a price: the
    // runtime asks the system for events each time.
    let ended = match (library.as_str(), role.as_str()) {
        ("opifex", "pub") => runtime.block_on(async { tokio::spawn(opifex::publish(task)).await }),
        ("opifex", "retain") => runtime.block_on(async { tokio::spawn(opifex::retain(task)).await }),
        ("opifex", "sub") => runtime.block_on(async { tokio::spawn(opifex::subscribe(task)).await }),
        ("rumqttc" | "rumqttc-nodelay", "pub") => {
            runtime.block_on(async { tokio::spawn(rumqtt::publish(task, at_once)).await })
        }
        ("rumqttc" | "rumqttc-nodelay", "sub") => {
            runtime.block_on(async { tokio::spawn(rumqtt::subscribe(task, at_once)).await })
        }
        _ => panic!("{library} {role} is not there"),
    };
    ended.expect("no panic");
}
