//! The changes that earlier events of a batch propose, visible to the later ones.

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::proposal::Effect;

/// The effects on enrollments of one contact.
#[derive(Debug)]
struct Contact {
    hash: u64,
    tenant: Box<str>,
    contact: Box<str>,
    effects: Vec<usize>,
}

/// Effects by contact, by enrollment id and by index record. While it is empty it costs one
/// comparison per event: a batch that changes little never touches its tables.
#[derive(Debug, Default)]
pub struct Overlay {
    pub effects: Vec<Effect>,
    contacts: Vec<Contact>,
    by_contact: HashTable<usize>,
    by_id: HashTable<usize>,
    /// By record number in the index: one event may touch every enrollment of a contact that
    /// has thousands.
    by_record: HashMap<u32, usize, RandomState>,
    hasher: RandomState,
}

impl Overlay {
    /// The effects on a contact's enrollments. `hash` is the index's hash of the contact.
    #[inline]
    pub fn of_contact(&self, hash: u64, tenant: &str, contact: &str) -> &[usize] {
        if self.effects.is_empty() {
            return &[];
        }
        self.find(hash, tenant, contact)
            .map_or(&[], |at| &self.contacts[at].effects)
    }

    /// The effect on the enrollment with this record number in the index.
    #[inline]
    pub fn on_record(&self, record: u32) -> Option<usize> {
        if self.effects.is_empty() {
            return None;
        }
        self.by_record.get(&record).copied()
    }

    /// The effect on the enrollment with this id, under any contact. An enrollment in the
    /// index takes precedence over an enrollment that the batch starts under the same id.
    pub fn by_id(&self, tenant: &str, enrollment: &str) -> Option<usize> {
        if self.effects.is_empty() {
            return None;
        }
        let hash = self.hash(tenant, enrollment);
        let is_same = |at: &usize| {
            let effect = &self.effects[*at];
            *effect.tenant_id == *tenant && *effect.enrollment_id == *enrollment
        };
        self.by_id
            .find(hash, |at| is_same(at) && !self.effects[*at].is_new())
            .or_else(|| self.by_id.find(hash, is_same))
            .copied()
    }

    /// Adds an effect and returns its number. `hash` is the index's hash of its contact.
    pub fn add(&mut self, hash: u64, effect: Effect) -> usize {
        let number = self.effects.len();
        let contact = match self.find(hash, &effect.tenant_id, &effect.contact_id) {
            Some(contact) => contact,
            None => self.add_contact(hash, &effect),
        };
        self.contacts[contact].effects.push(number);
        if let Some(record) = effect.record {
            self.by_record.insert(record, number);
        }
        let id_hash = self.hash(&effect.tenant_id, &effect.enrollment_id);
        self.effects.push(effect);
        let (hasher, effects) = (&self.hasher, &self.effects);
        self.by_id.insert_unique(id_hash, number, |&other| {
            hasher.hash_one((&*effects[other].tenant_id, &*effects[other].enrollment_id))
        });
        number
    }

    /// Adds an effect that no later event looks for, and returns its number.
    pub fn add_alone(&mut self, effect: Effect) -> usize {
        self.effects.push(effect);
        self.effects.len() - 1
    }

    fn add_contact(&mut self, hash: u64, effect: &Effect) -> usize {
        let number = self.contacts.len();
        self.contacts.push(Contact {
            hash,
            tenant: effect.tenant_id.clone(),
            contact: effect.contact_id.clone(),
            effects: Vec::new(),
        });
        let contacts = &self.contacts;
        self.by_contact
            .insert_unique(hash, number, |&other| contacts[other].hash);
        number
    }

    #[inline]
    fn find(&self, hash: u64, tenant: &str, contact: &str) -> Option<usize> {
        self.by_contact
            .find(hash, |&at| {
                let other = &self.contacts[at];
                *other.contact == *contact && *other.tenant == *tenant
            })
            .copied()
    }

    fn hash(&self, tenant: &str, enrollment: &str) -> u64 {
        self.hasher.hash_one((tenant, enrollment))
    }
}
