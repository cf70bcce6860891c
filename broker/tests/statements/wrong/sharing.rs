//! Wrong about shared subscriptions.

use std::sync::Mutex;

use opifex_packet::{Delivery, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, TopicFilter};

use super::{Way, Wrong, each, wrong_brokers};

/// The filter within a shared one.
fn inner(filter: &TopicFilter<'_>) -> Option<TopicFilter<'static>> {
    filter.shared().and_then(|shared| TopicFilter::new(shared.filter.to_owned()).ok())
}

/// The first shared filter of a SUBSCRIBE.
fn share(subscribe: &Subscribe<'_>) -> Option<String> {
    let filter = &subscribe.subscriptions.first()?.filter;
    filter.shared().map(|_| filter.as_str().to_owned())
}

/// What went back to shares, with their filters.
type Returned = Mutex<Vec<(String, Publish<'static>)>>;

/// A connection of a member who gives messages back that are nobody else's.
struct Member {
    returned: &'static Returned,
    share: Option<String>,
    /// What has not ended.
    sent: Vec<Publish<'static>>,
    gives_back_what_it_refused: bool,
    gives_back_what_it_began: bool,
}

impl Member {
    fn new(returned: &'static Returned) -> Member {
        Member {
            returned,
            share: None,
            sent: Vec::new(),
            gives_back_what_it_refused: false,
            gives_back_what_it_began: false,
        }
    }

    fn end(&mut self, id: PacketId) -> Option<Publish<'static>> {
        let at = self.sent.iter().position(|publish| publish.delivery.packet_id() == Some(id))?;
        Some(self.sent.remove(at))
    }

    fn answered(&mut self, id: PacketId, reason: ReasonCode) {
        let ended = self.end(id);
        if let (Some(publish), true) = (ended, reason.is_error() && self.gives_back_what_it_refused) {
            self.give_back(publish);
        }
    }

    fn give_back(&self, publish: Publish<'static>) {
        if let Some(share) = &self.share {
            self.returned.lock().unwrap().push((share.clone(), publish));
        }
    }

    fn see(&mut self, way: Way, packet: Packet<'static>) -> Vec<Packet<'static>> {
        match (way, &packet) {
            (Way::In, Packet::Subscribe(subscribe)) => self.share = share(subscribe),
            (Way::Out, Packet::Publish(publish)) if publish.qos() != QoS::AtMostOnce => {
                self.sent.push(publish.clone());
            }
            (Way::In, Packet::Puback(puback)) => self.answered(puback.packet_id, puback.reason),
            (Way::In, Packet::Pubrec(pubrec)) if pubrec.reason.is_error() => {
                self.answered(pubrec.packet_id, pubrec.reason);
            }
            (Way::In, Packet::Pubcomp(pubcomp)) => drop(self.end(pubcomp.packet_id)),
            // An answer is a good time to slip a message in.
            (Way::Out, Packet::Pingresp) => {
                let mut returned = self.returned.lock().unwrap();
                let mine = returned.iter().position(|(share, _)| Some(share) == self.share.as_ref());
                if let Some(mine) = mine {
                    let mut publish = returned.remove(mine).1;
                    publish.delivery = Delivery::AtMostOnce;
                    return vec![publish.into(), packet];
                }
            }
            _ => {}
        }
        vec![packet]
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if self.gives_back_what_it_began {
            for publish in std::mem::take(&mut self.sent) {
                if publish.qos() == QoS::ExactlyOnce {
                    self.give_back(publish);
                }
            }
        }
    }
}

wrong_brokers! {
    it_takes_a_share_for_a_subscription_of_ones_own: Wrong {
        breaks: &["MQTT-4.8.2-3", "U5-37"],
        caught_by: &[
            "shared::one_member_gets_each_message_at_its_own_qos",
            "shared::retained_messages_are_not_sent_for_a_share",
        ],
        drags_along: &[],
        lie: || each(|_, packet| match packet {
            Packet::Subscribe(subscribe) => {
                for subscription in &mut subscribe.subscriptions {
                    if let Some(filter) = inner(&subscription.filter) {
                        subscription.filter = filter;
                    }
                }
            }
            Packet::Unsubscribe(unsubscribe) => {
                for filter in &mut unsubscribe.filters {
                    if let Some(unshared) = inner(filter) {
                        *filter = unshared;
                    }
                }
            }
            _ => {}
        }),
    };
    it_delivers_to_a_share_at_qos_0: Wrong {
        breaks: &["MQTT-4.8.2-3"],
        caught_by: &[
            "shared::each_member_gets_messages_at_the_qos_that_it_was_granted",
            "shared::one_member_gets_each_message_at_its_own_qos",
        ],
        drags_along: &["MQTT-4.8.2-4", "MQTT-4.8.2-6", "U5-38"],
        lie: || {
            let mut granted = None;
            each(move |way, packet| match packet {
                Packet::Subscribe(subscribe) if share(subscribe).is_some() => {
                    let options = &mut subscribe.subscriptions[0].options;
                    granted = Some(ReasonCode::from(options.qos));
                    options.qos = QoS::AtMostOnce;
                }
                Packet::Suback(suback) if way == Way::Out => {
                    if let Some(granted) = granted.take() {
                        suback.reasons = vec![granted];
                    }
                }
                _ => {}
            })
        },
    };
    it_hands_on_what_a_member_refused: Wrong {
        breaks: &["MQTT-4.8.2-6"],
        caught_by: &[
            "shared::a_qos_1_message_that_a_member_refuses_goes_to_nobody_else",
            "shared::a_qos_2_message_that_a_member_refuses_goes_to_nobody_else",
        ],
        drags_along: &[],
        lie: || {
            static RETURNED: Returned = Mutex::new(Vec::new());
            let mut member = Member::new(&RETURNED);
            member.gives_back_what_it_refused = true;
            Box::new(move |way, packet| member.see(way, packet))
        },
    };
    it_hands_on_what_it_began_with_a_member: Wrong {
        breaks: &["MQTT-4.8.2-4", "MQTT-4.8.2-5"],
        caught_by: &[
            "shared::a_qos_2_message_is_finished_with_the_member_that_it_began_with",
            "shared::a_qos_2_release_is_finished_with_the_member_that_it_began_with",
            "shared::a_qos_2_message_of_a_session_that_ended_goes_to_nobody_else",
        ],
        drags_along: &[],
        lie: || {
            static RETURNED: Returned = Mutex::new(Vec::new());
            let mut member = Member::new(&RETURNED);
            member.gives_back_what_it_began = true;
            Box::new(move |way, packet| member.see(way, packet))
        },
    };
}
