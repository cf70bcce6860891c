//! Bodies: each stored once, with a count of the rows that name it, and gone with the last of them.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Properties, PropertyContext, QoS, TopicName};
use opifex_storage::Message;
use rusqlite::types::ValueRef;
use rusqlite::{Row, params};

use crate::checksum::MESSAGES;
use crate::fault::{Fault, Result, corrupt};
use crate::state::{State, optional_time};

/// The columns that [`read_message`] reads, of `messages m`.
macro_rules! message_columns {
    () => {
        "m.id, m.topic, m.qos, m.expires_at, m.properties, m.payload, m.checksum, m.refs + m.refs_check"
    };
}
pub(crate) use message_columns;

/// The bodies that a batch has stored: a message that is retained and fanned out is one.
#[derive(Default)]
pub(crate) struct Stored(Vec<(Arc<Message>, i64)>);

impl State<'_> {
    /// Stores a message that so many rows will name, or counts them on one that the batch has stored already.
    pub(crate) fn store_message(
        &self,
        message: &Arc<Message>,
        refs: usize,
        stored: &mut Stored,
    ) -> Result<i64> {
        if let Some((_, id)) = stored.0.iter().rev().take(8).find(|(other, _)| Arc::ptr_eq(other, message)) {
            if self.add_refs_to_held(*id, refs as i64) {
                return Ok(*id);
            }
            let sql = "UPDATE messages SET refs = refs + ?2, refs_check = refs_check - ?2 WHERE id = ?1";
            if self.execute(sql, params![id, refs as i64])? == 1 {
                return Ok(*id);
            }
            // Its rows are gone again, and it with them.
            stored.0.retain(|(other, _)| !Arc::ptr_eq(other, message));
        }
        let id = self.next_message()?;
        self.insert_body(id, refs as i64, message)?;
        stored.0.push((Arc::clone(message), id));
        Ok(id)
    }

    /// So many rows name the message no more. A body whose count is damaged stays: too much is better than too little.
    pub(crate) fn release_message(&self, id: i64, refs: usize) -> Result<()> {
        let refs = refs as i64;
        let sql = "DELETE FROM messages WHERE id = ?1 AND refs <= ?2 AND refs = -refs_check";
        if self.execute(sql, [id, refs])? == 0 {
            let sql = "UPDATE messages SET refs = refs - ?2, refs_check = refs_check + ?2 WHERE id = ?1";
            self.execute(sql, [id, refs])?;
        }
        Ok(())
    }

    /// The message of that number, which a row names.
    pub(crate) fn message(&self, id: i64) -> Result<Arc<Message>> {
        let sql = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = ?1");
        self.record(sql, [id], |row| read_message(row, 0, id))?.ok_or_else(|| missing(id))
    }
}

fn missing(id: i64) -> Fault {
    corrupt(format_args!("the row of table messages with id {id} is missing"))
}

/// The message of that number whose columns begin at `first`.
pub(crate) fn read_message(row: &Row<'_>, first: usize, id: i64) -> Result<Arc<Message>> {
    if row.get_ref(first)? == ValueRef::Null {
        return Err(missing(id));
    }
    MESSAGES.read(row, first, || {
        if row.get::<_, i64>(first + MESSAGES.columns.len() + 1)? != 0 {
            return Err(corrupt("refs and refs_check differ"));
        }
        let topic: String = row.get(first + 1)?;
        let topic = TopicName::new(topic).map_err(|error| corrupt(format_args!("a topic: {error}")))?;
        let properties: Vec<u8> = row.get(first + 4)?;
        let properties = Properties::from_bytes(PropertyContext::Publish, properties)
            .map_err(|error| corrupt(format_args!("properties of a message on {topic}: {error}")))?;
        Ok(Arc::new(Message {
            topic,
            qos: qos(row.get(first + 2)?)?,
            properties,
            payload: Bytes::from(row.get::<_, Vec<u8>>(first + 5)?),
            expires_at: optional_time(row, first + 3)?,
        }))
    })
}

/// A stored QoS.
pub(crate) fn qos(value: u8) -> Result<QoS> {
    QoS::try_from(value).map_err(|_| corrupt(format_args!("QoS {value}")))
}
