//! The contacts that earlier events of a batch deleted.

use ahash::RandomState;
use hashbrown::HashMap;

use crate::event::Event;

/// The greatest time of deletion by tenant and contact. Empty for most batches.
#[derive(Debug, Default)]
pub struct Deletions {
    latest: HashMap<(Box<str>, Box<str>), i64, RandomState>,
}

impl Deletions {
    /// Adds a `contact.deleted`.
    pub fn add(&mut self, event: &Event<'_>) {
        let key = ((*event.tenant).into(), (*event.contact).into());
        let latest = self.latest.entry(key).or_insert(event.time_us);
        *latest = event.time_us.max(*latest);
    }

    /// Whether the event's contact was deleted.
    pub fn contain(&self, event: &Event<'_>) -> bool {
        !self.latest.is_empty()
            && self
                .latest
                .contains_key(&((*event.tenant).into(), (*event.contact).into()))
    }

    /// Whether the event's contact was deleted at or after `began_at`.
    pub fn cover(&self, event: &Event<'_>, began_at: i64) -> bool {
        if self.latest.is_empty() {
            return false;
        }
        let key = ((*event.tenant).into(), (*event.contact).into());
        self.latest.get(&key).is_some_and(|at| began_at <= *at)
    }
}
