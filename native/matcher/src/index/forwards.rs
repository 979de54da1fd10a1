//! Contacts that were merged into others (E21). A contact is known by a keyed hash, so that the
//! table of forwards need not contain its id.

use ahash::RandomState;
use hashbrown::HashMap;
use uuid::Uuid;

use crate::ids::derived::forward_key;

/// A contact that continues another.
#[derive(Debug)]
pub struct Target {
    pub contact: Box<str>,
    /// The merges that led there, each by when Redis received it, in order.
    pub merges: Box<[i64]>,
}

/// The contact into which each merged contact was merged, by tenant.
#[derive(Debug, Default)]
pub struct Forwards {
    secret: Box<str>,
    /// By the number of the tenant.
    of_tenant: HashMap<u32, HashMap<Uuid, Target, RandomState>, RandomState>,
}

impl Forwards {
    /// Sets the secret of the keys.
    pub fn set_secret(&mut self, secret: &str) {
        self.secret = secret.into();
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.of_tenant.is_empty()
    }

    /// The contact into which this one was merged.
    #[cold]
    pub fn target(&self, number: u32, tenant: &str, contact: &str) -> Option<&Target> {
        let targets = self.of_tenant.get(&number)?;
        let key = forward_key(&self.secret, tenant, contact);
        targets.get(&key)
    }

    /// Adds or replaces a forward. True if it is the first of its tenant.
    pub fn insert(&mut self, tenant: u32, key: Uuid, target: Target) -> bool {
        let is_first = !self.of_tenant.contains_key(&tenant);
        let targets = self.of_tenant.entry(tenant).or_default();
        targets.insert(key, target);
        is_first
    }

    /// Removes a forward. True if it was the last of its tenant.
    pub fn remove(&mut self, tenant: u32, key: Uuid) -> bool {
        let Some(targets) = self.of_tenant.get_mut(&tenant) else {
            return false;
        };
        targets.remove(&key);
        let is_last = targets.is_empty();
        if is_last {
            self.of_tenant.remove(&tenant);
        }
        is_last
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let of = |targets: &HashMap<Uuid, Target, RandomState>| {
            let bytes = |target: &Target| target.contact.len() + size_of_val(&*target.merges);
            targets.allocation_size() + targets.values().map(bytes).sum::<usize>()
        };
        self.of_tenant.values().map(of).sum::<usize>() + self.of_tenant.allocation_size()
    }
}
