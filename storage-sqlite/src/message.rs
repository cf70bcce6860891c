//! Bodies: each stored once, with a count of the rows that name it, and gone with the last of them.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{Properties, PropertyContext, QoS, TopicName};
use opifex_storage::Message;
use rusqlite::{Row, params};

use crate::fault::{Result, corrupt};
use crate::state::{State, optional_time, time};

/// The columns that [`read_message`] reads, of `messages m`.
macro_rules! message_columns {
    () => {
        "m.topic, m.qos, m.expires_at, m.properties, m.payload"
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
            let sql = "UPDATE messages SET refs = refs + ?2 WHERE id = ?1";
            if self.execute(sql, params![id, refs as i64])? == 1 {
                return Ok(*id);
            }
            // Its rows are gone again, and it with them.
            stored.0.retain(|(other, _)| !Arc::ptr_eq(other, message));
        }
        let sql = "INSERT INTO messages (refs, topic, qos, expires_at, properties, payload) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.execute(
            sql,
            params![
                refs as i64,
                message.topic.as_str(),
                u8::from(message.qos),
                message.expires_at.map(time),
                message.properties.as_bytes(),
                &message.payload[..],
            ],
        )?;
        let id = self.db.last_insert_rowid();
        stored.0.push((Arc::clone(message), id));
        Ok(id)
    }

    /// So many rows name the message no more.
    pub(crate) fn release_message(&self, id: i64, refs: usize) -> Result<()> {
        let refs = refs as i64;
        if self.execute("DELETE FROM messages WHERE id = ?1 AND refs <= ?2", [id, refs])? == 0 {
            self.execute("UPDATE messages SET refs = refs - ?2 WHERE id = ?1", [id, refs])?;
        }
        Ok(())
    }

    /// The message of that number, which a row names.
    pub(crate) fn message(&self, id: i64) -> Result<Arc<Message>> {
        let sql = concat!("SELECT ", message_columns!(), " FROM messages m WHERE m.id = ?1");
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([id])?;
        match rows.next()? {
            Some(row) => read_message(row, 0),
            None => Err(corrupt(format_args!("message {id} is named and not there"))),
        }
    }
}

/// The message whose columns begin at `first`.
pub(crate) fn read_message(row: &Row<'_>, first: usize) -> Result<Arc<Message>> {
    let topic: String = row.get(first)?;
    let topic = TopicName::new(topic).map_err(|error| corrupt(format_args!("a topic: {error}")))?;
    let properties: Vec<u8> = row.get(first + 3)?;
    let properties = Properties::from_bytes(PropertyContext::Publish, properties)
        .map_err(|error| corrupt(format_args!("properties of a message on {topic}: {error}")))?;
    Ok(Arc::new(Message {
        topic,
        qos: qos(row.get(first + 1)?)?,
        properties,
        payload: Bytes::from(row.get::<_, Vec<u8>>(first + 4)?),
        expires_at: optional_time(row, first + 2)?,
    }))
}

/// A stored QoS.
pub(crate) fn qos(value: u8) -> Result<QoS> {
    QoS::try_from(value).map_err(|_| corrupt(format_args!("QoS {value}")))
}
