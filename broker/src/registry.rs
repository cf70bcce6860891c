//! Sessions by client id, and who owns each client id's connection at the moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::outbox::Command;
use crate::session::Session;

/// All client ids that are connected or have a stored session.
#[derive(Default)]
pub(crate) struct Registry {
    clients: Mutex<HashMap<Box<str>, Arc<Client>>>,
    sessions: AtomicUsize,
}

/// One client id. Whoever holds the seat is its connection; the next one evicts the holder and waits for the seat.
pub(crate) struct Client {
    seat: Arc<AsyncMutex<()>>,
    waiting: AtomicUsize,
    session: Mutex<Option<Arc<Session>>>,
}

/// The right to be the connection of a client id.
pub(crate) struct Seat {
    pub(crate) client: Arc<Client>,
    _guard: OwnedMutexGuard<()>,
}

impl Client {
    pub(crate) fn session(&self) -> Option<Arc<Session>> {
        self.session.lock().clone()
    }

    /// Whether another connection waits for the seat: its holder has lost the session.
    pub(crate) fn is_contested(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }
}

impl Registry {
    /// Takes the seat of a client id: a connection that holds it is told to end, and waited for.
    pub(crate) async fn sit(&self, client_id: &str) -> Seat {
        let client = self.client(client_id);
        client.waiting.fetch_add(1, Relaxed);
        let waiting = Waiting(&client);
        if let Some(session) = client.session() {
            session.command(Command::TakenOver);
        }
        let guard = client.seat.clone().lock_owned().await;
        drop(waiting);
        Seat { client, _guard: guard }
    }

    fn client(&self, client_id: &str) -> Arc<Client> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(client_id) {
            return client.clone();
        }
        let client = Arc::new(Client {
            seat: Arc::default(),
            waiting: AtomicUsize::new(0),
            session: Mutex::new(None),
        });
        clients.insert(client_id.into(), client.clone());
        client
    }

    /// Puts the session in place of the client's former one, which is returned.
    pub(crate) fn install(&self, client_id: &str, session: Arc<Session>) -> Option<Arc<Session>> {
        let client = self.client(client_id);
        let former = client.session.lock().replace(session);
        if former.is_none() {
            self.sessions.fetch_add(1, Relaxed);
        }
        former
    }

    /// Removes the session if it is still its client's; the client id goes with it unless somebody waits there.
    pub(crate) fn remove(&self, session: &Arc<Session>) {
        let mut clients = self.clients.lock();
        let Some(client) = clients.get(&session.client_id) else { return };
        {
            let mut current = client.session.lock();
            if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
                return;
            }
            *current = None;
        }
        self.sessions.fetch_sub(1, Relaxed);
        self.forget_if_idle(&mut clients, &session.client_id);
    }

    /// Gives a seat back; an id without session and without anybody waiting is forgotten.
    pub(crate) fn leave(&self, seat: Seat, client_id: &str) {
        drop(seat);
        let mut clients = self.clients.lock();
        self.forget_if_idle(&mut clients, client_id);
    }

    fn forget_if_idle(&self, clients: &mut HashMap<Box<str>, Arc<Client>>, client_id: &str) {
        // Two strong references: the table's, and nobody's but a seat's or a waiter's beyond it.
        if let Some(client) = clients.get(client_id)
            && Arc::strong_count(client) == 1
            && client.session.lock().is_none()
        {
            clients.remove(client_id);
        }
    }

    /// Sessions now.
    pub(crate) fn len(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// The sessions for which `wanted` holds. It is asked under the table's lock and must be quick.
    pub(crate) fn select(&self, wanted: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let clients = self.clients.lock();
        let current =
            |client: &Arc<Client>| client.session.lock().as_ref().filter(|session| wanted(session)).cloned();
        clients.values().filter_map(current).collect()
    }
}

/// Counts a waiter down, also when its future is dropped.
struct Waiting<'a>(&'a Client);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
