//! What comes by HTTP: one event or a list of them, to be published as they came.
//!
//! Each event is cut out of the body, so that its numbers stay exact, and is decoded as the
//! engine will decode it: what is taken here is refused by nobody behind it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::decode::{Field, decode};
use crate::intake_body::Body;
use crate::limits::STRING_BYTES;
use crate::reject::{Reason, Reject};

pub use crate::intake_body::{BODY_EVENTS, BodyError};

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken<'b> {
    /// Its place in the list; 0 for an event by itself.
    pub index: usize,
    pub contact: String,
    pub payload: Cow<'b, [u8]>,
}

/// An event that is its producer's to mend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub index: usize,
    /// The event's own id, where it can be read.
    pub id: Option<String>,
    pub reject: Reject,
}

/// What a body held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake<'b> {
    pub is_list: bool,
    pub taken: Vec<Taken<'b>>,
    pub refused: Vec<Refused>,
}

/// Takes the events of a request of this tenant: a JSON object, or a list of at most 1,000.
///
/// An event that names no tenant gets the caller's; one that names another is refused. The
/// error says why nothing of the body can be read. Costs two passes over it, and a third over
/// the events that name no tenant.
pub fn intake<'b>(body: &'b [u8], tenant: &str, now_us: i64) -> Result<Intake<'b>, BodyError> {
    let (is_list, events) = match Body::cut(body)? {
        Body::One(event) => (false, vec![event]),
        Body::Many(events) => (true, events),
    };
    let mut intake = Intake {
        is_list,
        taken: Vec::with_capacity(events.len()),
        refused: Vec::new(),
    };
    for (index, event) in events.into_iter().enumerate() {
        match judge(event, tenant, now_us) {
            Ok((contact, payload)) => intake.taken.push(Taken {
                index,
                contact,
                payload,
            }),
            Err(reject) => intake.refused.push(Refused {
                index,
                id: event_id(event),
                reject,
            }),
        }
    }
    Ok(intake)
}

impl Intake<'_> {
    /// The places of those that nothing is wrong with but the tenant that they name.
    pub fn of_others(&self) -> Vec<usize> {
        let other = |refused: &&Refused| refused.reject.reason() == Reason::OtherTenant;
        self.refused
            .iter()
            .filter(other)
            .map(|it| it.index)
            .collect()
    }
}

/// The contact of an event, and its bytes with the tenant in them.
fn judge<'b>(
    bytes: &'b [u8],
    tenant: &str,
    now_us: i64,
) -> Result<(String, Cow<'b, [u8]>), Reject> {
    if !bytes.starts_with(b"{") {
        return Err(Reject::new(Reason::NotAnEvent));
    }
    match decode(bytes, now_us) {
        Ok(event) if *event.tenant == *tenant => Ok((event.contact.into(), bytes.into())),
        Ok(_) => Err(Reject::of(Field::TenantId, Reason::OtherTenant)),
        Err(absent) if is_without_tenant(absent) => {
            let with = with_tenant(bytes, tenant);
            match decode(&with, now_us).map(|event| event.contact.into()) {
                Ok(contact) => Ok((contact, with.into())),
                // It was there, as null.
                Err(twice) if is_tenant_twice(twice) => Err(absent),
                Err(reject) => Err(reject),
            }
        }
        Err(reject) => Err(reject),
    }
}

fn is_without_tenant(reject: Reject) -> bool {
    reject.field() == Some(Field::TenantId) && reject.reason() == Reason::Missing
}

fn is_tenant_twice(reject: Reject) -> bool {
    reject.field() == Some(Field::TenantId) && reject.reason() == Reason::DuplicateKey
}

/// An object that has members, with the tenant before them.
fn with_tenant(object: &[u8], tenant: &str) -> Vec<u8> {
    let member = format!("{{\"tenantid\":{},", serde_json::Value::from(tenant));
    [member.as_bytes(), &object[1..]].concat()
}

/// The id of an event that is JSON, whatever else is wrong with it.
fn event_id(bytes: &[u8]) -> Option<String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(bytes).ok()?;
    let id: String = serde_json::from_str(members.get("id")?.get()).ok()?;
    (id.len() <= STRING_BYTES).then_some(id)
}
