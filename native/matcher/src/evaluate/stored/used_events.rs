//! The events that counted in a batch (E11).

use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use uuid::Uuid;

use crate::event::Event;

/// Tenant, enrollment id, event, and when Redis received it.
pub type ExcludedEvent = (String, String, Uuid, i64);

/// Tenant, contact and workflow.
pub type Runs = (Box<str>, Box<str>, Box<str>);

pub fn runs(event: &Event<'_>, workflow: &str) -> Runs {
    let (tenant, contact) = (&*event.tenant, &*event.contact);
    (tenant.into(), contact.into(), workflow.into())
}

/// The events that counted in this batch, and those that Postgres excludes.
#[derive(Debug, Default)]
pub struct UsedEvents<'x> {
    pub in_batch: HashMap<Runs, Vec<Uuid>, RandomState>,
    pub excluded: HashSet<(&'x str, &'x str, Uuid, i64), RandomState>,
}

impl<'x> UsedEvents<'x> {
    /// Without events in the batch. `excluded`: see `EvaluateOptions`.
    pub fn new(excluded: &'x [ExcludedEvent]) -> UsedEvents<'x> {
        let row = |(tenant, enrollment, event, received_at): &'x ExcludedEvent| {
            (tenant.as_str(), enrollment.as_str(), *event, *received_at)
        };
        UsedEvents {
            in_batch: HashMap::default(),
            excluded: excluded.iter().map(row).collect(),
        }
    }
}
