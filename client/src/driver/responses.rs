//! Requests that wait for their responses (5.0, section 4.10): one topic for all responses of a client, and correlation
//! data that says which is whose.

use hashbrown::HashMap;
use opifex_packet::{Property, TopicName};

use crate::Message;
use crate::handle::slots::SlotId;

/// Requests under way, at most.
const AWAITED: usize = 16 * 1024;
/// Bytes of those that are not published yet.
const WAITING_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Responses {
    pub(super) topic: TopicName<'static>,
    /// Whether the server has granted the subscription to the topic.
    pub(super) granted: bool,
    /// Requests that wait for that.
    waiting: Vec<(Message, SlotId)>,
    waiting_bytes: usize,
    awaited: HashMap<u64, SlotId>,
    next: u64,
}

impl Responses {
    /// `information`: the server's word on where responses may go.
    pub(super) fn new(information: Option<&str>) -> Self {
        let unlike_others = crate::random::number();
        let base = information.unwrap_or("opifex/responses").trim_end_matches('/');
        let topic = TopicName::new(format!("{base}/{unlike_others:016x}"));
        let topic = topic.or_else(|_| TopicName::new(format!("opifex/responses/{unlike_others:016x}")));
        Responses {
            topic: topic.expect("letters, digits and slashes are a topic name"),
            granted: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
            awaited: HashMap::new(),
            next: unlike_others,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.awaited.len() + self.waiting.len() < AWAITED && self.waiting_bytes < WAITING_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.awaited.is_empty() && self.waiting.is_empty()
    }

    /// Has a request wait for the topic.
    pub(super) fn wait(&mut self, message: Message, slot: SlotId) {
        self.waiting_bytes += message.bytes();
        self.waiting.push((message, slot));
    }

    /// The topic is granted; what has waited for it comes back.
    pub(super) fn grant(&mut self) -> Vec<(Message, SlotId)> {
        self.granted = true;
        self.waiting_bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Prepares a request; returns the number that its response carries.
    pub(super) fn ask(&mut self, message: &mut Message, slot: SlotId) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        message.properties.push(Property::ResponseTopic(self.topic.as_str()));
        message.properties.push(Property::CorrelationData(&number.to_be_bytes()));
        self.awaited.insert(number, slot);
        number
    }

    /// Who waits for a message on the topic of responses. One that nobody waits for comes too late.
    pub(super) fn answered(&mut self, message: &Message) -> Option<SlotId> {
        let number = message.properties.correlation_data()?;
        self.awaited.remove(&u64::from_be_bytes(*number.first_chunk()?))
    }

    /// The request failed.
    pub(super) fn failed(&mut self, number: u64) -> Option<SlotId> {
        self.awaited.remove(&number)
    }

    /// Those whose callers have gone.
    pub(super) fn prune(&mut self, gone: impl Fn(SlotId) -> bool) -> Vec<SlotId> {
        let awaited = self.awaited.extract_if(|_, slot| gone(*slot)).map(|(_, slot)| slot);
        let mut pruned: Vec<SlotId> = awaited.collect();
        self.waiting.retain(|(_, slot)| {
            let gone = gone(*slot);
            if gone {
                pruned.push(*slot);
            }
            !gone
        });
        self.waiting_bytes = self.waiting.iter().map(|(message, _)| message.bytes()).sum();
        pruned
    }

    /// All that wait.
    pub(super) fn take_all(&mut self) -> Vec<SlotId> {
        self.prune(|_| true)
    }
}
