//! Requests with responses, and extended authentication (5.0).

use std::time::Duration;

use opifex_client::{AuthenticationError, Authenticator, Cause, Client, Error, Options, Refusal};
use opifex_packet::{
    Auth, Connack, Packet, Properties, Property, Publish, QoS, ReasonCode, Suback, TopicName,
};

use crate::server::{Peer, connected, connected_as, message, options, server, soon};

/// The server grants the topic of responses.
async fn grants(peer: &mut Peer) {
    let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
    peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1])).await;
}

/// The response to a request.
fn response(request: &Publish<'_>, payload: &'static str) -> Publish<'static> {
    let topic = TopicName::new(request.properties.response_topic().unwrap().to_owned()).unwrap();
    let correlation = request.properties.correlation_data().unwrap().to_vec();
    let properties = Properties::new().with(Property::CorrelationData(&correlation));
    Publish { properties, ..Publish::new(topic, payload.as_bytes()) }
}

const TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn responses_find_their_requests_whatever_their_order() {
    let (client, mut peer, _server) = connected().await;
    let server = async {
        grants(&mut peer).await;
        let requests = [peer.publish().await.0, peer.publish().await.0];
        for request in requests.iter().rev() {
            let payload = if &request.payload[..] == b"1" { "one" } else { "two" };
            peer.send(response(request, payload)).await;
        }
    };
    let (one, two, ()) = tokio::join!(
        client.request(message(QoS::AtMostOnce, 1), TIMEOUT),
        client.request(message(QoS::AtMostOnce, 2), TIMEOUT),
        server
    );
    assert_eq!((&one.unwrap().payload[..], &two.unwrap().payload[..]), (&b"one"[..], &b"two"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_response_ends_in_time_and_a_late_one_is_nobodys() {
    let (client, mut peer, _server) = connected().await;
    let (late, request) = tokio::join!(client.request(message(QoS::AtMostOnce, 1), TIMEOUT), async {
        grants(&mut peer).await;
        peer.publish().await.0
    });
    assert!(matches!(late, Err(Error::Timeout("response"))));
    peer.send(response(&request, "late")).await;
    let (answered, ()) = tokio::join!(client.request(message(QoS::AtMostOnce, 2), TIMEOUT), async {
        let request = peer.publish().await.0;
        peer.send(response(&request, "two")).await;
    });
    assert_eq!(&answered.unwrap().payload[..], b"two");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_response_topic_is_not_granted_fails() {
    let (client, mut peer, _server) = connected().await;
    for _ in 0..2 {
        let (refused, ()) = tokio::join!(client.request(message(QoS::AtMostOnce, 1), TIMEOUT), async {
            let Packet::Subscribe(subscribe) = peer.receive().await else { panic!() };
            peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::NotAuthorized])).await;
        });
        assert_eq!(refused.unwrap_err().reason(), Some(ReasonCode::NotAuthorized));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_passes_by_publishes_that_wait_for_room() {
    let narrow = Options { max_pending: 1, ..options() };
    let (client, mut peer, _server) = connected_as(Client::builder(narrow)).await;
    for number in 1..=3 {
        drop(client.enqueue(message(QoS::AtLeastOnce, number)).await.unwrap());
    }
    assert_eq!(peer.publish().await.0.payload[..], *b"1");
    let (answered, full, ()) = tokio::join!(
        client.request(message(QoS::AtMostOnce, "request"), TIMEOUT),
        client.request(message(QoS::AtLeastOnce, "request"), TIMEOUT),
        async {
            grants(&mut peer).await;
            let request = peer.publish().await.0;
            assert!(request.properties.response_topic().is_some(), "{request:?}");
            peer.send(response(&request, "response")).await;
        }
    );
    assert_eq!(&answered.unwrap().payload[..], b"response");
    assert!(matches!(&full, Err(Error::Refused(refusal)) if matches!(**refusal, Refusal::Full)), "{full:?}");
}

/// Answers a challenge with the challenge, reversed.
struct Mirror;

impl Authenticator for Mirror {
    fn method(&self) -> &str {
        "mirror"
    }

    fn begin(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        Ok(b"begin".to_vec())
    }

    fn challenged(&mut self, data: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        Ok(data.iter().rev().copied().collect())
    }

    fn accepted(&mut self, data: &[u8]) -> Result<(), AuthenticationError> {
        if data == b"welcome" { Ok(()) } else { Err("the server has not proved itself".into()) }
    }
}

fn mirror(data: &[u8]) -> Properties<'static> {
    let method = Property::AuthenticationMethod("mirror");
    Properties::new().with(method).with(Property::AuthenticationData(data))
}

async fn challenges(peer: &mut Peer) {
    peer.send(Auth::new(ReasonCode::ContinueAuthentication, mirror(b"abc"))).await;
    peer.expect(Auth::new(ReasonCode::ContinueAuthentication, mirror(b"cba"))).await;
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_answers_challenges_at_the_beginning_and_again() {
    let (mut server, connector) = server();
    let (client, mut peer) =
        tokio::join!(Client::builder(options()).authenticator(Mirror).connect(connector), async {
            let mut peer = server.arrives().await;
            let Packet::Connect(connect) = peer.receive().await else { panic!() };
            assert_eq!(connect.properties.authentication_method(), Some("mirror"));
            assert_eq!(connect.properties.authentication_data(), Some(&b"begin"[..]));
            challenges(&mut peer).await;
            peer.send(Connack { properties: mirror(b"welcome"), ..Connack::new(ReasonCode::Success) }).await;
            peer
        });
    let client = client.unwrap();
    let (again, ()) = tokio::join!(client.reauthenticate(), async {
        peer.expect(Auth::new(ReasonCode::ReAuthenticate, mirror(b"begin"))).await;
        challenges(&mut peer).await;
        peer.send(Auth::new(ReasonCode::Success, mirror(b"welcome"))).await;
    });
    again.unwrap();
    // A server that never answers loses the connection in time.
    let lost = soon(client.reauthenticate()).await;
    assert!(matches!(lost, Err(Error::Lost)), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_prove_itself_ends_the_client() {
    let (mut server, connector) = server();
    let connack = Connack { properties: mirror(b"hm"), ..Connack::new(ReasonCode::Success) };
    let (client, _peer) = tokio::join!(
        Client::builder(options()).authenticator(Mirror).connect(connector),
        server.accepts_with(connack)
    );
    assert!(matches!(client.unwrap_err().cause(), Some(Cause::Authentication(_))));
}

/// Begins once.
struct Once(bool);

impl Authenticator for Once {
    fn method(&self) -> &str {
        "mirror"
    }

    fn begin(&mut self) -> Result<Vec<u8>, AuthenticationError> {
        if std::mem::replace(&mut self.0, true) { Err("the token is spent".into()) } else { Ok(Vec::new()) }
    }

    fn challenged(&mut self, _data: &[u8]) -> Result<Vec<u8>, AuthenticationError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_that_does_not_begin_again_says_why_and_the_connection_goes_on() {
    let (mut server, connector) = server();
    let connack = Connack { properties: mirror(b""), ..Connack::new(ReasonCode::Success) };
    let (client, (mut peer, _)) = tokio::join!(
        Client::builder(options()).authenticator(Once(false)).connect(connector),
        server.accepts_with(connack)
    );
    let client = client.unwrap();
    let error = client.reauthenticate().await.unwrap_err();
    let why = std::error::Error::source(&error).expect("it says why").to_string();
    assert_eq!(why, "the token is spent");
    client.publish(message(QoS::AtMostOnce, 1)).await.unwrap();
    peer.publish().await;
}
