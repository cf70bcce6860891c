//! An access control with something to refuse: one user, one method of authentication, one topic that is nobody's.

use opifex_broker::{AccessControl, Action, Credentials, Identity, Peer, Verdict, VerdictFuture};
use opifex_conformance::statements::{Authentication, Descriptor, Login};
use opifex_packet::ReasonCode;

const USER: &str = "guest";
const PASSWORD: &str = "open sesame";
const METHOD: &str = "riddle";
const ANSWER: &[u8] = b"a river";
const REFUSED_CLIENT_ID: &str = "mallory";
const FORBIDDEN: &str = "forbidden";

/// See the module's documentation.
pub(crate) struct Doorman;

/// What a case has to know of it.
pub(crate) fn descriptor() -> Descriptor {
    let login = |password: &str| Login { name: USER.to_owned(), password: password.to_owned() };
    Descriptor {
        user: Some(login(PASSWORD)),
        refused_user: Some(login("guessed")),
        refuses_anonymous: true,
        forbidden_topic: Some(FORBIDDEN.to_owned()),
        forbidden_filter: Some(FORBIDDEN.to_owned()),
        refused_client_id: Some(REFUSED_CLIENT_ID.to_owned()),
        authentication: Some(Authentication {
            method: METHOD.to_owned(),
            data: "ask me".to_owned(),
            answer: "a river".to_owned(),
            wrong_answer: "a road".to_owned(),
        }),
        ..Descriptor::default()
    }
}

impl AccessControl for Doorman {
    fn admit(&self, _peer: &Peer) -> bool {
        true
    }

    fn authenticate<'a>(&'a self, credentials: Credentials<'a>) -> VerdictFuture<'a> {
        Box::pin(std::future::ready(judge(credentials)))
    }

    fn authorize(&self, _identity: &Identity, _client_id: &str, action: Action<'_>) -> bool {
        match action {
            Action::Publish { topic, .. } => topic != FORBIDDEN,
            Action::Subscribe { filter } => filter != FORBIDDEN,
            Action::Receive { .. } => true,
        }
    }

    fn checks_receive(&self) -> bool {
        false
    }
}

fn judge(credentials: Credentials<'_>) -> Verdict {
    if credentials.client_id == REFUSED_CLIENT_ID {
        return Verdict::Refuse(ReasonCode::ClientIdentifierNotValid);
    }
    let accept = Verdict::Accept { identity: Identity { user: Some(USER.into()) }, data: None };
    match (credentials.method, credentials.state.is_some()) {
        (None, _)
            if (credentials.user_name, credentials.password) == (Some(USER), Some(PASSWORD.as_bytes())) =>
        {
            accept
        }
        (None, _) if credentials.user_name.is_some() => Verdict::Refuse(ReasonCode::BadUserNameOrPassword),
        (None, _) => Verdict::Refuse(ReasonCode::NotAuthorized),
        (Some(METHOD), false) => {
            let riddle = bytes::Bytes::from_static(b"what runs and never walks");
            Verdict::Continue { data: Some(riddle), state: Box::new(()) }
        }
        (Some(METHOD), true) if credentials.data == Some(ANSWER) => accept,
        (Some(METHOD), true) => Verdict::Refuse(ReasonCode::NotAuthorized),
        (Some(_), _) => Verdict::Refuse(ReasonCode::BadAuthenticationMethod),
    }
}
