//! The starts that the limit of active enrollments depends on.

use ahash::RandomState;
use hashbrown::{HashMap, HashSet};

use crate::proposal::DoubtfulStart;

/// Starts that begin no active enrollment, by tenant: their ids exist, or their contacts were
/// deleted later. Empty for most batches.
#[derive(Debug, Default)]
pub struct Repeats<'r> {
    ids: HashMap<&'r str, HashSet<&'r str, RandomState>, RandomState>,
}

impl<'r> Repeats<'r> {
    /// The repeats with these tenants and enrollment ids.
    pub fn new(starts: &'r [(String, String)]) -> Repeats<'r> {
        let mut repeats = Repeats::default();
        for (tenant, enrollment) in starts {
            let ids = repeats.ids.entry(tenant).or_default();
            ids.insert(enrollment);
        }
        repeats
    }

    pub fn contain(&self, tenant: &str, enrollment: &str) -> bool {
        let ids = self.ids.get(tenant);
        ids.is_some_and(|ids| ids.contains(enrollment))
    }
}

/// The contacts of which a start was refused, by hash, tenant and id, and the refused starts.
#[derive(Debug, Default)]
pub struct FullContacts {
    pub starts: Vec<DoubtfulStart>,
    pub contacts: HashSet<(u64, Box<str>, Box<str>), RandomState>,
}
