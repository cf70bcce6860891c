//! What is refused as a descriptor, and what the refusal says.

use opifex_conformance::statements::Descriptor;

fn refusal(text: &str) -> String {
    Descriptor::parse(text).unwrap_err().to_string()
}

#[test]
fn an_unknown_key_is_refused() {
    assert!(refusal("patience_ms = 1\npatiense = 2\n").contains("patiense"));
    assert!(refusal("user = { name = \"a\", pass = \"b\" }").contains("pass"));
}

#[test]
fn a_value_that_no_broker_can_be_asked_with_is_refused() {
    assert_eq!(refusal("patience_ms = 0"), "patience_ms = 0 is not between 1 and 60000");
    assert_eq!(refusal("restart_limit_ms = 60001"), "restart_limit_ms = 60001 is not between 1 and 60000");
    assert!(refusal("forbidden_topic = \"a/#\"").starts_with("forbidden_topic = \"a/#\": "));
    assert!(refusal("forbidden_filter = \"a#\"").starts_with("forbidden_filter = \"a#\": "));
    for wrong in ["localhost:8083", "ws://localhost/mqtt", "ws://:8083", "ws://h:1/a b"] {
        assert!(
            refusal(&format!("websocket = {wrong:?}")).contains("is not like ws://HOST:PORT/mqtt"),
            "{wrong}"
        );
    }
    assert!(refusal("refused_client_id = \"\"").starts_with("refused_client_id is empty"));
}

#[test]
fn all_keys_of_the_help_are_known() {
    let text = r#"
        patience_ms = 5000
        silence_ms = 300
        user = { name = "u", password = "p" }
        refused_user = { name = "u", password = "x" }
        refuses_anonymous = true
        forbidden_topic = "t"
        forbidden_filter = "t"
        refused_client_id = "c"
        refuses_wildcards = true
        maximum_packet_size = 65536
        authentication = { method = "m", data = "d", answer = "a", wrong_answer = "w" }
        websocket = "ws://localhost:8083/mqtt"
        restart = "docker restart mqtt"
        restart_limit_ms = 30000
    "#;
    let descriptor = Descriptor::parse(text).unwrap();
    assert_eq!(descriptor.restart.as_deref(), Some("docker restart mqtt"));
}
