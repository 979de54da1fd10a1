//! The body of an HTTP request: one event or a list of events, published unchanged.
//!
//! Each event is cut out of the body, so that its numbers stay exact, and is decoded as the
//! shard decodes it. An event that is accepted here is not rejected later.

mod body;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use self::body::Body;
use crate::decode::decode;
use crate::event::limits::STRING_BYTES;
use crate::event::reject::{Reason, Reject};
use crate::event::{Event, Field, work};

pub use self::body::{BODY_EVENTS, BodyError};

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedEvent<'b> {
    /// Its index in the list; 0 for a single event.
    pub index: usize,
    pub contact: String,
    pub payload: Cow<'b, [u8]>,
    /// The work that it causes whatever enrollments its contact has, in units of `event::work`.
    pub work: u64,
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

/// Reads the events of a request of this tenant: a JSON object, or a list of up to 1,000.
///
/// An event without a tenant gets the caller's; an event of another tenant is rejected. Fails if
/// the body as a whole cannot be read. Reads the body twice, and events without a tenant once
/// more.
pub fn intake<'b>(body: &'b [u8], tenant: &str, now_us: i64) -> Result<Intake<'b>, BodyError> {
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
        match check(event, tenant, now_us) {
            Ok((known, payload)) => intake.accepted.push(AcceptedEvent {
                index,
                contact: known.contact,
                payload,
                work: known.work,
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

/// The properties of an accepted event.
struct Known {
    contact: String,
    work: u64,
}

impl Known {
    fn of(event: Event<'_>, bytes: &[u8]) -> Known {
        Known {
            work: work::known(&event.fact, bytes.len()),
            contact: event.contact.into(),
        }
    }
}

/// The contact and the work of an event, and its bytes including the tenant.
fn check<'b>(bytes: &'b [u8], tenant: &str, now_us: i64) -> Result<(Known, Cow<'b, [u8]>), Reject> {
    if !bytes.starts_with(b"{") {
        return Err(Reject::new(Reason::NotAnEvent));
    }
    match decode(bytes, now_us) {
        Ok(event) if *event.tenant == *tenant => Ok((Known::of(event, bytes), bytes.into())),
        Ok(_) => Err(Reject::of(Field::TenantId, Reason::OtherTenant)),
        Err(missing) if is_tenant(missing, Reason::Missing) => {
            let payload = with_tenant(bytes, tenant);
            match decode(&payload, now_us).map(|event| Known::of(event, &payload)) {
                Ok(known) => Ok((known, payload.into())),
                // The event has a tenant, which is null.
                Err(reject) if is_tenant(reject, Reason::DuplicateKey) => Err(missing),
                Err(reject) => Err(reject),
            }
        }
        Err(reject) => Err(reject),
    }
}

fn is_tenant(reject: Reject, reason: Reason) -> bool {
    reject.field() == Some(Field::TenantId) && reject.reason() == reason
}

/// A non-empty object with the tenant as its first member.
fn with_tenant(object: &[u8], tenant: &str) -> Vec<u8> {
    let member = format!("{{\"tenantid\":{},", serde_json::Value::from(tenant));
    [member.as_bytes(), &object[1..]].concat()
}

/// The id of an event that is valid JSON, even if it is rejected.
fn event_id(bytes: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).ok()?;
    let id: String = serde_json::from_str(members.get("id")?.get()).ok()?;
    (id.len() <= STRING_BYTES).then_some(id)
}
