//! 7.1.2 what a client is: one that speaks over a transport.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use opifex_client::{Address, Client};
use opifex_packet::Version;

use crate::peer::lasting;
use crate::statements;

statements! { "transport";
    it_connects_over_tcp: v4 ["MQTT-7.1.2-1"], v5 ["MQTT-4.2.0-1"];
}

fn it_connects_over_tcp(version: Version) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address: Address = format!("mqtt://{}", listener.local_addr().unwrap()).parse().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut hello = [0; 64];
        let len = stream.read(&mut hello).unwrap();
        let accepted: &[u8] = if version.is_v5() { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] };
        stream.write_all(accepted).unwrap();
        // Until the client goes.
        let _ = stream.read_to_end(&mut Vec::new());
        hello[..len].to_vec()
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::connect(lasting(version), address).await.unwrap();
        drop(client);
    });
    drop(runtime);
    let hello = server.join().unwrap();
    assert_eq!((hello[0], &hello[2..8], hello[8]), (0x10, &b"\0\x04MQTT"[..], version.level()));
}
