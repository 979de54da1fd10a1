//! The events that counted in a batch (E11).

use ahash::RandomState;
use hashbrown::{HashMap, HashSet};
use uuid::Uuid;

use crate::event::Event;

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
    pub excluded: HashSet<(&'x str, &'x str, Uuid), RandomState>,
}

impl<'x> UsedEvents<'x> {
    /// Without events in the batch. `excluded`: see `EvaluateOptions`.
    pub fn new(excluded: &'x [(String, String, Uuid)]) -> UsedEvents<'x> {
        let row = |(tenant, enrollment, event): &'x (String, String, Uuid)| {
            (tenant.as_str(), enrollment.as_str(), *event)
        };
        UsedEvents {
            in_batch: HashMap::default(),
            excluded: excluded.iter().map(row).collect(),
        }
    }
}
