//! Broken stores: bytes that come back as others, and two that are taken for one.

use std::sync::Arc;

use opifex_packet::{Properties, Property, PropertyContext, QoS, TopicFilter, TopicName};
use opifex_storage::{Message, Op, Timestamp};

use crate::broken::{Behaviour, honest};
use crate::mutant::mutants;

/// A store that writes client ids so.
fn clients(written: fn(&str) -> String) -> Behaviour {
    honest().opens(move |_, open| open.client_id = written(&open.client_id).into())
}

/// A store that writes topics so, where that is a topic.
fn topics(written: fn(&str) -> String) -> Behaviour {
    honest().messages(move |message| {
        if let Ok(topic) = TopicName::new(written(message.topic.as_str())) {
            message.topic = topic;
        }
    })
}

/// The properties of a message, one by one.
fn listed(message: &Message) -> Vec<Property<'_>> {
    message.properties.iter().collect()
}

mutants! {
    /// client ids are the same in upper and lower case
    "FID-01" client_ids_have_no_case: clients(str::to_lowercase);

    /// client ids are trimmed
    "FID-01" client_ids_are_trimmed: clients(|client| client.trim().to_owned());

    /// of a client id 255 characters count
    "FID-01" client_ids_end_after_255_characters: clients(|client| client.chars().take(255).collect());

    /// accents are written in one of their forms
    "FID-01" client_ids_are_normalised: clients(|client| client.replace("e\u{301}", "\u{e9}"));

    /// a queue is the range of keys that begin with the client's id
    "FID-02" a_queue_leaks_to_a_prefix_neighbour: honest().pages(|engine, (id, after, limit), page| {
        let sessions = engine.sessions();
        let Some(own) = sessions.iter().find(|session| session.id == id) else { return };
        let longer = |other: &&opifex_storage::SessionRecord| {
            other.id != id && other.client_id.starts_with(&*own.client_id)
        };
        for neighbour in sessions.iter().filter(longer) {
            page.items.extend(engine.queue(neighbour.id, after, limit).map(|page| page.items).unwrap_or_default());
        }
    });

    /// clean start removes what begins with the client's id
    "FID-02" clean_start_reaches_a_prefix_neighbour: honest().opened(|engine, open, opened| {
        let sessions = if open.clean_start { engine.sessions() } else { Vec::new() };
        for session in sessions {
            if session.id != opened.session.id && session.client_id.starts_with(&*open.client_id) {
                engine.administer(open.now, [Op::EndSession(session.id)]);
            }
        }
    });

    /// topics are the same in upper and lower case
    "FID-03" topics_have_no_case: topics(str::to_lowercase);

    /// a separator at the end of a topic does not count
    "FID-03" topics_have_no_empty_end: topics(|topic| match topic.trim_end_matches('/') {
        "" => topic.to_owned(),
        rest => rest.to_owned(),
    });

    /// filters are trimmed
    "FID-04" filters_are_trimmed: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            if let Op::Subscribe(record) = op
                && let Ok(filter) = TopicFilter::new(record.filter.as_str().trim().to_owned())
            {
                record.filter = filter;
            }
        }
    });

    /// a payload is text
    "FID-05" payloads_are_text: honest().messages(|message| {
        message.payload = String::from_utf8_lossy(&message.payload).into_owned().into();
    });

    /// a payload ends with its first NUL
    "FID-05" payloads_end_at_a_nul: honest().messages(|message| {
        let end = message.payload.iter().position(|byte| *byte == 0);
        message.payload.truncate(end.unwrap_or(usize::MAX));
    });

    /// the length of a payload has 16 bits
    "FID-07" payloads_end_after_64_kib: honest().messages(|message| message.payload.truncate(0xffff));

    /// properties are a set
    "FID-08" equal_properties_come_once: honest().messages(|message| {
        let mut kept = Vec::new();
        for property in listed(message) {
            if !kept.contains(&property) {
                kept.push(property);
            }
        }
        message.properties = kept.into_iter().fold(Properties::default(), Properties::with).into_owned();
    });

    /// user properties are a map
    "FID-08" user_properties_are_sorted: honest().messages(|message| {
        let mut kept = listed(message);
        kept.sort_by_key(|property| match property {
            Property::UserProperty(name, _) => (*name).to_owned(),
            _ => String::new(),
        });
        message.properties = kept.into_iter().fold(Properties::default(), Properties::with).into_owned();
    });

    /// correlation data is not kept
    "FID-08" correlation_data_is_lost: honest().messages(|message| {
        let kept = listed(message).into_iter().filter(|property| !matches!(property, Property::CorrelationData(_)));
        message.properties = kept.fold(Properties::default(), Properties::with).into_owned();
    });

    /// no properties are kept
    "FID-08" properties_are_lost: honest().messages(|message| {
        let empty = Properties::from_bytes(PropertyContext::Publish, &[]);
        message.properties = empty.map(Properties::into_owned).unwrap_or_default();
    });

    /// what was published at QoS 0 is kept as QoS 1
    "FID-09" qos_0_becomes_1: honest().messages(|message| {
        if message.qos == QoS::AtMostOnce {
            message.qos = QoS::AtLeastOnce;
        }
    });

    /// deadlines are kept in seconds
    "FID-10" deadlines_are_in_seconds: honest().messages(|message| {
        message.expires_at = message.expires_at.map(|at| Timestamp(at.0 / 1000 * 1000));
    });

    /// of a topic 1,024 bytes count
    "FID-11" topics_end_after_1024_bytes: topics(|topic| {
        let end = (0..=topic.len().min(1024)).rev().find(|end| topic.is_char_boundary(*end));
        topic[..end.unwrap_or(0)].to_owned()
    });

    /// of a topic 128 levels count
    "FID-11" topics_end_after_128_levels:
        topics(|topic| topic.split('/').take(128).collect::<Vec<_>>().join("/"));

    /// of a message's properties 65,535 bytes are kept
    "FID-14" properties_end_after_64_kib: honest().messages(|message| {
        let mut kept = 0;
        message.properties = message.properties.retain(|property| {
            kept += Properties::default().with(*property).as_bytes().len();
            kept <= 0xffff
        });
    });

    /// characters that cannot be printed are blanks
    "FID-15" control_characters_are_blanks:
        clients(|client| client.replace(char::is_control, " "));

    /// the first delivery that ends takes the message from where it is retained
    "FID-16" settling_unretains: honest().batches(|engine, batch| {
        let Some(id) = batch.author.session() else { return };
        for op in batch.ops.clone() {
            let Op::Settle(seq) = op else { continue };
            let entry = engine.entries(id).into_iter().find(|entry| entry.seq == seq);
            let Some(message) = entry.and_then(|entry| entry.message) else { continue };
            if engine.kept_on(&message.topic).is_some_and(|kept| kept.message == message) {
                engine.administer(batch.now, [Op::Unretain(message.topic.clone())]);
            }
        }
    });

    /// of a will's payload half a mebibyte is kept
    "FID-13" long_wills_lose_their_end: honest().opens(|_, open| {
        if let Some(will) = &mut open.will {
            let len = will.message.payload.len();
            // What is too large is refused whole.
            let kept = if len > 2 << 20 { len } else { len.min(1 << 19) };
            will.message = Arc::new(Message { payload: will.message.payload.slice(..kept), ..(*will.message).clone() });
        }
    });
}
