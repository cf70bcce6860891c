//! The static users as a broker sees them.

use argon2::password_hash::PasswordHasher;
use argon2::{Algorithm, Argon2, Params, Version};
use opifex_packet::QoS;

use super::*;

/// As cheap as argon2id gets, so that the tests do not wait for it.
fn cheap_hash(password: &[u8]) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password(password).unwrap().to_string()
}

fn alice() -> StaticUsersBuilder {
    StaticUsers::builder().user("alice", cheap_hash(b"secret").as_str()).unwrap()
}

async fn log_in(
    users: &StaticUsers,
    user_name: Option<&str>,
    password: Option<&[u8]>,
) -> Result<Identity, ReasonCode> {
    let credentials = Credentials {
        peer: &Peer::Local,
        client_id: "c1",
        user_name,
        password,
        method: None,
        data: None,
        state: None,
        reauthenticates: None,
    };
    match users.authenticate(credentials).await {
        Verdict::Accept { identity, data: None } => Ok(identity),
        Verdict::Refuse(reason) => Err(reason),
        other => panic!("an unexpected verdict: {other:?}"),
    }
}

fn identity(name: &str) -> Identity {
    Identity { user: Some(Arc::from(name)) }
}

fn publish(topic: &str) -> Action<'_> {
    Action::Publish { topic, qos: QoS::AtMostOnce, retain: false }
}

#[tokio::test]
async fn a_user_comes_in_with_its_password() {
    assert_eq!(log_in(&alice().build(), Some("alice"), Some(b"secret")).await, Ok(identity("alice")));
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let verdict = log_in(&alice().build(), Some("alice"), Some(b"Secret")).await;
    assert_eq!(verdict, Err(ReasonCode::BadUserNameOrPassword));
}

#[tokio::test]
async fn an_unknown_user_is_refused_like_a_wrong_password() {
    let users = alice().allow_anonymous(true).build();
    assert_eq!(log_in(&users, Some("bob"), Some(b"secret")).await, Err(ReasonCode::BadUserNameOrPassword));
    assert_eq!(log_in(&users, Some("alice"), None).await, Err(ReasonCode::BadUserNameOrPassword));
    assert_eq!(log_in(&users, Some("bob"), None).await, Err(ReasonCode::BadUserNameOrPassword));
    assert_eq!(log_in(&users, None, Some(b"secret")).await, Err(ReasonCode::BadUserNameOrPassword));
}

#[tokio::test]
async fn an_unknown_user_costs_as_much_as_the_dearest_known_one() {
    let dear = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 3, 1, None).unwrap());
    let dear = dear.hash_password(b"x").unwrap().to_string();
    let users = alice().user("bob", dear.as_str()).unwrap().build();
    assert_eq!(users.decoy.cost(), 64 * 3);
    assert_eq!(
        StaticUsers::builder().build().decoy.cost(),
        PasswordHash::new(&hash_password(b"x")).unwrap().cost()
    );
}

/// The password of the decoy is somebody's: it must not open the door under another name.
#[tokio::test]
async fn an_unknown_user_is_refused_even_with_the_password_of_the_decoy() {
    let users = alice().build();
    assert!(users.decoy.verify(b"secret"));
    assert!(log_in(&users, Some("bob"), Some(b"secret")).await.is_err());
}

#[tokio::test]
async fn anonymous_clients_come_in_only_where_allowed() {
    assert_eq!(log_in(&alice().build(), None, None).await, Err(ReasonCode::NotAuthorized));
    let open = alice().allow_anonymous(true).build();
    assert_eq!(log_in(&open, None, None).await, Ok(Identity { user: None }));
}

#[tokio::test]
async fn an_authentication_method_is_refused() {
    let users = alice().allow_anonymous(true).build();
    let credentials = Credentials {
        peer: &Peer::Local,
        client_id: "c1",
        user_name: None,
        password: None,
        method: Some("SCRAM-SHA-256"),
        data: None,
        state: None,
        reauthenticates: None,
    };
    let verdict = users.authenticate(credentials).await;
    assert!(matches!(verdict, Verdict::Refuse(ReasonCode::BadAuthenticationMethod)));
}

#[tokio::test]
async fn no_more_verifications_run_than_there_are_permits() {
    let users = Arc::new(alice().build());
    let all = users.verifications.available_permits() as u32;
    let taken = Arc::clone(&users.verifications).acquire_many_owned(all).await.unwrap();
    let waiting = tokio::spawn({
        let users = Arc::clone(&users);
        async move { log_in(&users, Some("alice"), Some(b"secret")).await }
    });
    // Others log in meanwhile, at a list that has permits left.
    for _ in 0..10 {
        log_in(&alice().build(), Some("alice"), Some(b"secret")).await.unwrap();
    }
    assert!(!waiting.is_finished());
    drop(taken);
    assert_eq!(waiting.await.unwrap(), Ok(identity("alice")));
    assert_eq!(users.verifications.available_permits() as u32, all);
}

#[test]
fn a_hash_verifies_its_password_and_no_other() {
    let hash = hash_password("pässword".as_bytes());
    assert!(hash.starts_with("$argon2id$v=19$"), "{hash}");
    assert_ne!(hash, hash_password("pässword".as_bytes()), "the salt is fresh");
    let hash = PasswordHash::new(&hash).unwrap();
    assert!(hash.verify("pässword".as_bytes()));
    assert!(!hash.verify(b"password"));
}

#[test]
fn whatever_is_not_an_argon2id_hash_is_refused_without_being_repeated() {
    let broken = [
        ("hunter2", StaticUsersError::NotAHash),
        ("", StaticUsersError::NotAHash),
        ("$ecret$", StaticUsersError::NotAHash),
        ("argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", StaticUsersError::NotAHash),
        (
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            StaticUsersError::OtherAlgorithm("2b".into()),
        ),
        (
            "$argon2i$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            StaticUsersError::OtherAlgorithm("argon2i".into()),
        ),
        ("$argon2id$", StaticUsersError::BrokenHash),
        ("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ", StaticUsersError::BrokenHash),
        ("$argon2id$v=20$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", StaticUsersError::BrokenHash),
        ("$argon2id$v=19$m=0,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", StaticUsersError::BrokenHash),
        (
            "$argon2id$v=19$m=2000000,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
            StaticUsersError::TooDear(2_000_000),
        ),
    ];
    for (hash, expected) in broken {
        let error = StaticUsers::builder().user("alice", hash).err();
        assert_eq!(error.as_ref(), Some(&expected), "{hash}");
        if expected == StaticUsersError::NotAHash && !hash.is_empty() {
            assert!(!format!("{expected} {expected:?}").contains(hash), "{expected}");
        }
    }
}

#[test]
fn a_name_stands_once() {
    let error = alice().user("alice", cheap_hash(b"other").as_str()).err();
    assert_eq!(error, Some(StaticUsersError::DuplicateUser("alice".into())));
    assert_eq!(alice().rules("bob", Rules::new()).err(), Some(StaticUsersError::UnknownUser("bob".into())));
}

#[test]
fn without_rules_a_user_may_do_everything() {
    let users = alice().build();
    assert!(users.authorize(&identity("alice"), "c1", publish("any/topic")));
    assert!(users.authorize(&identity("alice"), "c1", Action::Subscribe { filter: "#" }));
    assert!(users.authorize(&identity("alice"), "c1", Action::Receive { topic: "$SYS/x" }));
    assert!(!users.checks_receive());
}

#[test]
fn rules_are_by_user_and_by_kind() {
    let rules = Rules::new().publish(["sensors/+/state", "log"]).unwrap().subscribe(["commands/#"]).unwrap();
    let users =
        alice().rules("alice", rules).unwrap().user("root", cheap_hash(b"x").as_str()).unwrap().build();
    let may = |name, action| users.authorize(&identity(name), "c1", action);
    assert!(may("alice", publish("sensors/7/state")) && may("alice", publish("log")));
    assert!(!may("alice", publish("sensors/7/config")) && !may("alice", publish("commands/7")));
    assert!(may("root", publish("commands/7")));
    assert!(may("alice", Action::Subscribe { filter: "commands/+/now" }));
    assert!(may("alice", Action::Subscribe { filter: "$share/g/commands/7" }));
    assert!(!may("alice", Action::Subscribe { filter: "#" }));
    assert!(!may("alice", Action::Subscribe { filter: "$share/g/#" }));
    assert!(
        !may("alice", Action::Subscribe { filter: "$share/commands/#" }),
        "no filter behind the share name"
    );
    assert!(may("alice", Action::Receive { topic: "anything" }));
}

#[test]
fn an_empty_list_of_rules_allows_nothing() {
    let users = alice().rules("alice", Rules::new().publish([]).unwrap()).unwrap().build();
    assert!(!users.authorize(&identity("alice"), "c1", publish("a")));
}

#[test]
fn rules_for_receiving_are_asked_for_if_anybody_has_some() {
    let users =
        alice().allow_anonymous(true).anonymous_rules(Rules::new().receive(["public/#"]).unwrap()).build();
    assert!(users.checks_receive());
    let anonymous = Identity::default();
    assert!(users.authorize(&anonymous, "c1", Action::Receive { topic: "public/a" }));
    assert!(!users.authorize(&anonymous, "c1", Action::Receive { topic: "private/a" }));
    assert!(users.authorize(&identity("alice"), "c1", Action::Receive { topic: "private/a" }));
}

#[test]
fn somebody_who_is_not_in_the_list_may_do_nothing() {
    let users = alice().build();
    assert!(!users.authorize(&identity("bob"), "c1", publish("a")));
    assert!(!users.authorize(&Identity::default(), "c1", publish("a")));
}

#[test]
fn a_rule_has_to_be_a_plain_topic_filter() {
    assert!(
        matches!(Rules::new().publish(["a/#/b"]), Err(StaticUsersError::Filter { filter, .. }) if filter == "a/#/b")
    );
    let shared = Rules::new().subscribe(["$share/g/a"]);
    assert_eq!(shared, Err(StaticUsersError::SharedFilter("$share/g/a".into())));
}
