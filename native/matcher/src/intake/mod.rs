//! The body of an HTTP request: one event or a list of events.
//!
//! Each event is cut out of the body, so that its numbers stay exact, and is decoded as the
//! shard decodes it. Attributes that it omits are inserted. An event that is accepted here is not rejected later.

mod body;

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrayvec::ArrayVec;
use serde_json::value::RawValue;

use self::body::Body;
use crate::decode::{Members, decode};
use crate::event::limits::{EVENT_BYTES, STRING_BYTES};
use crate::event::reject::{Reason, Reject};
use crate::event::{Event, Fact, Field, loose_time, work};

pub use self::body::{BODY_EVENTS, BodyError};

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent<'b> {
    /// Its index in the list; 0 for a single event.
    pub index: usize,
    pub payload: Cow<'b, [u8]>,
    pub known: Known,
}

/// An event that its producer must correct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedEvent {
    pub index: usize,
    /// The event's own id, if it can be read.
    pub id: Option<String>,
    pub reject: Reject,
}

/// The events of a request body after validation: accepted and rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake<'b> {
    pub is_list: bool,
    pub accepted: Vec<AcceptedEvent<'b>>,
    pub rejected: Vec<RejectedEvent>,
}

/// The `id` and `source` of an event that omits them (E20).
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    pub source: &'a str,
    /// The id of a single event. Those of a list get it with a colon and their index.
    pub id: &'a str,
}

/// Reads the events of a request of this tenant: a JSON object, or a list of up to 1,000.
///
/// An event without a tenant gets the caller's; an event of another tenant is rejected. With
/// `defaults`, an event may also omit its id, its source, and its time, which is then `now_us`.
/// Fails if the body as a whole cannot be read. Reads the body twice, and an event once more for
/// each attribute that it omits.
pub fn intake<'b>(
    body: &'b [u8],
    tenant: &str,
    now_us: i64,
    defaults: Option<Defaults<'_>>,
) -> Result<Intake<'b>, BodyError> {
    let (is_list, events) = match Body::split(body)? {
        Body::Object(event) => (false, vec![event]),
        Body::List(events) => (true, events),
    };
    let mut intake = Intake {
        is_list,
        accepted: Vec::with_capacity(events.len()),
        rejected: Vec::new(),
    };
    for (index, event) in events.into_iter().enumerate() {
        let omitted = Omitted {
            tenant,
            now_us,
            defaults,
            index: is_list.then_some(index),
        };
        match check(event, &omitted) {
            Ok((known, payload)) => intake.accepted.push(AcceptedEvent {
                index,
                payload,
                known,
            }),
            Err(reject) => intake.rejected.push(RejectedEvent {
                index,
                id: event_id(event),
                reject,
            }),
        }
    }
    Ok(intake)
}

impl AcceptedEvent<'_> {
    #[must_use]
    pub fn into_owned(self) -> AcceptedEvent<'static> {
        AcceptedEvent {
            index: self.index,
            payload: Cow::Owned(self.payload.into_owned()),
            known: self.known,
        }
    }
}

impl Intake<'_> {
    /// The indices of the events that are valid but belong to another tenant.
    pub fn of_other_tenants(&self) -> Vec<usize> {
        self.rejected
            .iter()
            .filter(|event| event.reject.reason() == Reason::OtherTenant)
            .map(|event| event.index)
            .collect()
    }
}

/// The values of an accepted event that the API needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub id: String,
    pub source: String,
    /// The CloudEvents `type`.
    pub name: String,
    pub contact: String,
    /// The work that it causes whatever enrollments its contact has, in units of `event::work`.
    pub work: u64,
    /// If it starts an enrollment.
    pub start: Option<Start>,
}

/// The start of an enrollment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    pub enrollment_id: String,
    pub workflow_id: String,
    pub enrolled_at_us: i64,
}

impl Known {
    fn of(event: Event<'_>, bytes: &[u8]) -> Known {
        Known {
            work: work::known(&event.fact, bytes.len()),
            start: Start::of(&event),
            id: event.id.into(),
            source: event.source.into(),
            name: event.name.into(),
            contact: event.contact.into(),
        }
    }
}

impl Start {
    fn of(event: &Event<'_>) -> Option<Start> {
        let Fact::EnrollmentStarted {
            workflow_id,
            enrollment_id,
            enrolled_at_us,
            ..
        } = &event.fact
        else {
            return None;
        };
        Some(Start {
            enrollment_id: enrollment_id.to_string(),
            workflow_id: workflow_id.to_string(),
            enrolled_at_us: enrolled_at_us.unwrap_or(event.time_us),
        })
    }
}

/// The attributes that an event gets if it omits them.
struct Omitted<'a> {
    tenant: &'a str,
    now_us: i64,
    defaults: Option<Defaults<'a>>,
    /// The position of the event in a list.
    index: Option<usize>,
}

impl Omitted<'_> {
    /// The value of an attribute; `None` if the event must have it.
    fn value(&self, field: Field) -> Option<Cow<'_, str>> {
        match (field, self.defaults) {
            (Field::TenantId, _) => Some(self.tenant.into()),
            (Field::Time, Some(_)) => Some(loose_time::text(self.now_us).into()),
            (Field::Source, Some(defaults)) => Some(defaults.source.into()),
            (Field::Id, Some(defaults)) => Some(match self.index {
                Some(index) => format!("{}:{index}", defaults.id).into(),
                None => defaults.id.into(),
            }),
            _ => None,
        }
    }
}

/// The values of an event, and its bytes including the attributes that it omits.
fn check<'b>(bytes: &'b [u8], omitted: &Omitted<'_>) -> Result<(Known, Cow<'b, [u8]>), Reject> {
    if !bytes.starts_with(b"{") {
        return Err(Reject::new(Reason::NotAnEvent));
    }
    let mut payload: Cow<'b, [u8]> = bytes.into();
    let mut inserted: ArrayVec<Reject, 4> = ArrayVec::new();
    loop {
        if payload.len() > EVENT_BYTES {
            return Err(Reject::new(Reason::TooLarge));
        }
        let reject = match decode(&payload, omitted.now_us) {
            Ok(event) if *event.tenant == *omitted.tenant => {
                if Members::of_event(&payload).any(is_reserved) {
                    return Err(Reject::new(Reason::ReservedAttribute));
                }
                let known = Known::of(event, &payload);
                return Ok((known, payload));
            }
            Ok(_) => return Err(Reject::of(Field::TenantId, Reason::OtherTenant)),
            Err(reject) => reject,
        };
        let is_of = |missing: &&Reject| missing.field() == reject.field();
        match (
            reject.reason(),
            reject.field().and_then(|field| omitted.value(field)),
        ) {
            (Reason::Missing, Some(value)) if !inserted.is_full() => {
                inserted.push(reject);
                payload = with_attribute(&payload, reject.field(), &value).into();
            }
            // The event has the attribute, which is null.
            (Reason::DuplicateKey, _) => {
                return Err(*inserted.iter().find(is_of).unwrap_or(&reject));
            }
            _ => return Err(reject),
        }
    }
}

/// Whether only goald may set an attribute: it counts hops, for example (X13, X14).
fn is_reserved(attribute: &str) -> bool {
    attribute == "hops" || attribute.starts_with("goald")
}

/// A non-empty object with an attribute as its first member.
fn with_attribute(object: &[u8], field: Option<Field>, value: &str) -> Vec<u8> {
    let name = field.map_or("", Field::path);
    let member = format!("{{\"{name}\":{},", serde_json::Value::from(value));
    [member.as_bytes(), &object[1..]].concat()
}

/// The id of an event that is valid JSON, even if it is rejected.
fn event_id(bytes: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).ok()?;
    let text = members.get("id")?.get();
    let id = serde_json::from_str(text)
        .or_else(|_| serde_json::from_str(text).map(|id: i64| id.to_string()));
    id.ok().filter(|id| id.len() <= STRING_BYTES)
}
