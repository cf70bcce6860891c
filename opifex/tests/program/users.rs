//! Users of the configuration file, as a client meets them.

use opifex_packet::{Connect, Packet, ReasonCode, Version};

use crate::child::{Program, file, run};
use crate::peer::Peer;

/// A broker with two users, `alice` and `bob`; only the first has rules.
fn serve(name: &str, more: &str) -> Program {
    let hash = |password: &[u8]| String::from_utf8(run(&["hash-password"], password).stdout).unwrap();
    let (alice, bob) = (hash(b"correct horse\n"), hash(b"staple\n"));
    let text = format!(
        "{more}\n[[users]]\nname = \"alice\"\npassword_hash = \"{}\"\nallow.publish = [\"alice/#\"]\n\
         allow.subscribe = [\"alice/+/in\"]\n[[users]]\nname = \"bob\"\npassword_hash = \"{}\"\n",
        alice.trim_end(),
        bob.trim_end(),
    );
    Program::serve(&["--config", &file(name, &text)])
}

fn log_in(program: &Program, credentials: Option<(&'static str, &'static [u8])>) -> (Peer, ReasonCode) {
    let mut connect = Connect::new(Version::V5_0, credentials.map_or("", |(name, _)| name));
    connect.user_name = credentials.map(|(name, _)| name.into());
    connect.password = credentials.map(|(_, password)| password.into());
    let mut peer = Peer::open(program.address());
    let reason = peer.log_in(connect).reason;
    (peer, reason)
}

#[test]
fn users_come_in_with_their_password_and_nobody_else_does() {
    let program = serve("users-in.toml", "");
    assert_eq!(log_in(&program, Some(("alice", b"correct horse"))).1, ReasonCode::Success);
    assert_eq!(log_in(&program, Some(("bob", b"staple"))).1, ReasonCode::Success);
    for wrong in [("alice", &b"staple"[..]), ("alice", b""), ("carol", b"staple")] {
        assert_eq!(log_in(&program, Some(wrong)).1, ReasonCode::BadUserNameOrPassword, "{wrong:?}");
    }
    assert_eq!(log_in(&program, None).1, ReasonCode::NotAuthorized);
    program.stop();
}

#[test]
fn anonymous_clients_come_in_beside_users_where_the_file_says_so() {
    let program = serve("users-anonymous.toml", "allow_anonymous = true");
    assert_eq!(log_in(&program, None).1, ReasonCode::Success);
    assert_eq!(log_in(&program, Some(("alice", b"staple"))).1, ReasonCode::BadUserNameOrPassword);
    program.stop();
}

#[test]
fn rules_of_the_file_bind_their_user_alone() {
    let program = serve("users-rules.toml", "");
    let (mut alice, _) = log_in(&program, Some(("alice", b"correct horse")));
    let (mut bob, _) = log_in(&program, Some(("bob", b"staple")));
    bob.subscribe("#");
    alice.publish("bob/x", b"not allowed");
    alice.publish("alice/x", b"allowed");
    assert_eq!(bob.expect_message(), b"allowed");
    assert_eq!(alice.try_subscribe("#"), ReasonCode::NotAuthorized);
    assert_eq!(alice.try_subscribe("alice/1/in"), ReasonCode::Success);
    bob.publish("alice/1/in", b"to alice");
    assert_eq!(alice.expect_message(), b"to alice");
    alice.send(Packet::Pingreq);
    assert_eq!(alice.receive(), Some(Packet::Pingresp));
    program.stop();
}
