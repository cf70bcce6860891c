//! A file, put into an empty store.

use std::collections::VecDeque;
use std::io::Read;

use super::frame::{Frame, FrameReader};
use super::{Counts, Event, TransferError, WINDOW, name};
use crate::{
    Author, Batch, Op, Outcome, PageLimit, Persistence, Receipt, Record, RecordKind, Restored, Result, Seq,
    SessionId, Timestamp,
};

/// Operations a batch, and about so many bytes.
const BATCH_OPS: usize = 1_024;
const BATCH_BYTES: usize = 4 << 20;

/// Batches that are on their way to the disk at once.
const UNDER_WAY: usize = 4;

/// Fills a store with what a file holds, as it was: numbers, versions, times. Durable when it returns. What fits nowhere
/// (an entry whose session is not in the file) is told as a fault and left out. Blocks on `input`.
///
/// # Errors
/// `NotEmpty` when there is anything in the store; when the file is damaged or ends early, and when the store refuses:
/// the store is incomplete then, and to be thrown away.
pub async fn import<P: Persistence>(
    store: &P,
    input: impl Read,
    now: Timestamp,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Counts, TransferError> {
    let mut file = FrameReader::begin(input)?;
    for kind in RecordKind::ALL {
        let page = store.scan(kind, None, PageLimit::items(1)).await?;
        if !page.items.is_empty() || !page.damaged.is_empty() || page.next.is_some() {
            return Err(TransferError::NotEmpty);
        }
    }
    let mut import = Import { store, batch: Vec::new(), bytes: 0, under_way: VecDeque::new(), now };
    let mut counts = Counts::default();
    // Where the messages of queues were put that came last.
    let mut places: VecDeque<(SessionId, Seq)> = VecDeque::new();
    while let Some(frame) = file.read()? {
        let mut same_message_as = None;
        let record = match frame {
            Frame::End(_) => break,
            Frame::Same(id, entry, back) => {
                let place = usize::try_from(back).ok().and_then(|back| places.len().checked_sub(back));
                let Some(place) = place.and_then(|place| places.get(place)) else {
                    return Err(file.damaged("the message that it shares is not there"));
                };
                same_message_as = Some(*place);
                Record::Queued(id, entry)
            }
            Frame::Record(record) => {
                if let Record::Queued(id, entry) = &record
                    && entry.message.is_some()
                {
                    if places.len() == WINDOW {
                        places.pop_front();
                    }
                    places.push_back((*id, entry.seq));
                }
                record
            }
        };
        counts.count(&record);
        import.put(Restored { record, same_message_as }, &mut tell).await?;
        if counts.total().is_multiple_of(BATCH_OPS as u64) {
            tell(Event::Progress(&counts));
        }
    }
    import.finish(&mut tell).await?;
    Ok(counts)
}

struct Import<'a, P> {
    store: &'a P,
    batch: Vec<Restored>,
    bytes: usize,
    under_way: VecDeque<Receipt>,
    now: Timestamp,
}

impl<P: Persistence> Import<'_, P> {
    async fn put(
        &mut self,
        restored: Restored,
        tell: &mut impl FnMut(Event<'_>),
    ) -> Result<(), TransferError> {
        let capabilities = self.store.capabilities();
        let size = restored.record.message().map_or(0, |message| message.size_bytes());
        let full = self.batch.len() >= BATCH_OPS.min(capabilities.max_batch_ops)
            || !self.batch.is_empty() && self.bytes + size > BATCH_BYTES.min(capabilities.max_batch_bytes);
        if full {
            self.submit(tell).await?;
        }
        self.bytes += size;
        self.batch.push(restored);
        Ok(())
    }

    async fn submit(&mut self, tell: &mut impl FnMut(Event<'_>)) -> Result<(), TransferError> {
        self.bytes = 0;
        let restored = std::mem::take(&mut self.batch);
        let names: Vec<String> = restored.iter().map(|restored| name(&restored.record)).collect();
        let mut batch = Batch::new(Author::Broker, self.store.capabilities().max_durability, self.now);
        batch.ops = restored.into_iter().map(|restored| Op::Restore(Box::new(restored))).collect();
        let receipt = self.store.submit(batch).await?;
        for (outcome, name) in receipt.outcomes().iter().zip(names) {
            match outcome {
                Outcome::Absent => tell(Event::Fault(format!("{name} belongs to nothing that is there"))),
                Outcome::Present => tell(Event::Fault(format!("{name} is there twice"))),
                _ => {}
            }
        }
        self.under_way.push_back(receipt);
        if self.under_way.len() > UNDER_WAY
            && let Some(oldest) = self.under_way.pop_front()
        {
            oldest.durable().await?;
        }
        Ok(())
    }

    async fn finish(mut self, tell: &mut impl FnMut(Event<'_>)) -> Result<(), TransferError> {
        if !self.batch.is_empty() {
            self.submit(tell).await?;
        }
        for receipt in self.under_way {
            receipt.durable().await?;
        }
        Ok(())
    }
}
