//! Where callers wait for answers: a slab of slots under the lock of the queue, so that an answer costs no allocation.
//! A slot is freed by whoever comes last, its caller or the driver.

use std::task::{Poll, Waker};

use opifex_packet::{Properties, ReasonCode};

use crate::{Error, Message};

/// The name of a slot.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct SlotId(usize);

/// What a call comes to.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An end without more to say.
    Done,
    /// A message is at the end of its flow.
    Published { reason: ReasonCode, properties: Properties<'static> },
    /// SUBACK or UNSUBACK.
    Granted { reasons: Vec<ReasonCode>, properties: Properties<'static> },
    /// The response to a request.
    Response(Box<Message>),
}

#[derive(Debug)]
enum Slot {
    Free {
        next: Option<usize>,
    },
    /// Not answered; the caller's waker, when it has asked.
    Waiting(Option<Waker>),
    /// Not answered, and nobody asks.
    Detached,
    Answered(Result<Answer, Error>),
}

#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Option<usize>,
}

impl Slots {
    /// A slot that waits.
    pub(crate) fn open(&mut self) -> SlotId {
        let waiting = Slot::Waiting(None);
        match self.free {
            Some(at) => {
                let Slot::Free { next } = std::mem::replace(&mut self.slots[at], waiting) else {
                    unreachable!("a slot of the free list is free")
                };
                self.free = next;
                SlotId(at)
            }
            None => {
                self.slots.push(waiting);
                SlotId(self.slots.len() - 1)
            }
        }
    }

    fn free(&mut self, at: usize) -> Slot {
        std::mem::replace(&mut self.slots[at], Slot::Free { next: self.free.replace(at) })
    }

    /// The driver's answer; returns whom to wake.
    pub(crate) fn answer(&mut self, SlotId(at): SlotId, answer: Result<Answer, Error>) -> Option<Waker> {
        match &mut self.slots[at] {
            Slot::Waiting(waker) => {
                let waker = waker.take();
                self.slots[at] = Slot::Answered(answer);
                waker
            }
            Slot::Detached => {
                self.free(at);
                None
            }
            Slot::Free { .. } | Slot::Answered(_) => unreachable!("the driver answers a slot once"),
        }
    }

    /// The caller asks. Ready once; the slot is free then.
    pub(crate) fn poll(&mut self, SlotId(at): SlotId, waker: &Waker) -> Poll<Result<Answer, Error>> {
        match &mut self.slots[at] {
            Slot::Answered(_) => match self.free(at) {
                Slot::Answered(answer) => Poll::Ready(answer),
                _ => unreachable!("it was just seen"),
            },
            Slot::Waiting(Some(known)) => {
                known.clone_from(waker);
                Poll::Pending
            }
            Slot::Waiting(none) => {
                *none = Some(waker.clone());
                Poll::Pending
            }
            Slot::Free { .. } | Slot::Detached => {
                unreachable!("a caller that was answered does not ask again")
            }
        }
    }

    /// Whether the caller has gone before its answer.
    pub(crate) fn has_left(&self, SlotId(at): SlotId) -> bool {
        matches!(self.slots[at], Slot::Detached)
    }

    /// The caller goes.
    pub(crate) fn leave(&mut self, SlotId(at): SlotId) {
        match self.slots[at] {
            Slot::Waiting(_) => self.slots[at] = Slot::Detached,
            Slot::Answered(_) => drop(self.free(at)),
            Slot::Free { .. } | Slot::Detached => unreachable!("a caller goes once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(answer: Poll<Result<Answer, Error>>) -> bool {
        matches!(answer, Poll::Ready(Ok(Answer::Done)))
    }

    #[test]
    fn an_answer_waits_for_its_caller_and_the_slot_is_used_again() {
        let mut slots = Slots::default();
        let (first, second) = (slots.open(), slots.open());
        let waker = Waker::noop();
        assert!(slots.poll(first, waker).is_pending());
        assert!(slots.answer(first, Ok(Answer::Done)).is_some());
        assert!(slots.answer(second, Ok(Answer::Done)).is_none());
        assert!(done(slots.poll(first, waker)) && done(slots.poll(second, waker)));
        assert_eq!((slots.open(), slots.open()), (second, first));
        assert_eq!(slots.slots.len(), 2);
    }

    #[test]
    fn a_caller_that_has_gone_leaves_no_slot_behind() {
        let mut slots = Slots::default();
        let (before, behind) = (slots.open(), slots.open());
        slots.leave(before);
        assert!(slots.answer(before, Ok(Answer::Done)).is_none());
        slots.answer(behind, Ok(Answer::Done));
        slots.leave(behind);
        assert_eq!((slots.open(), slots.open()), (behind, before));
    }
}
