//! What earlier events of a batch would have changed, seen by the later ones.

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::proposal::Effect;

/// The effects of one contact.
#[derive(Debug)]
struct Contact {
    hash: u64,
    tenant: Box<str>,
    contact: Box<str>,
    effects: Vec<usize>,
}

/// Effects by contact and by enrollment id. Empty it costs a comparison an event; a batch in
/// which little changes never touches its tables.
#[derive(Debug, Default)]
pub struct Overlay {
    pub effects: Vec<Effect>,
    contacts: Vec<Contact>,
    by_contact: HashTable<usize>,
    by_id: HashTable<usize>,
    /// By the enrollment's number in the index: one event may touch every enrollment of a
    /// contact that has thousands.
    by_held: HashMap<u32, usize, RandomState>,
    hasher: RandomState,
}

impl Overlay {
    /// The effects of a contact, whose hash is the index's.
    #[inline]
    pub fn of_contact(&self, hash: u64, tenant: &str, contact: &str) -> &[usize] {
        if self.effects.is_empty() {
            return &[];
        }
        self.find(hash, tenant, contact)
            .map_or(&[], |at| &self.contacts[at].effects)
    }

    /// The effect on an enrollment that the index holds.
    #[inline]
    pub fn on_held(&self, held: u32) -> Option<usize> {
        if self.effects.is_empty() {
            return None;
        }
        self.by_held.get(&held).copied()
    }

    /// The effect on an enrollment of this id, whosever it is. Where the batch would start one
    /// under an id that the index holds for another contact, the one that is held is meant.
    pub fn by_id(&self, tenant: &str, enrollment: &str) -> Option<usize> {
        if self.effects.is_empty() {
            return None;
        }
        let hash = self.hash(tenant, enrollment);
        let is = |at: &usize| {
            let effect = &self.effects[*at];
            *effect.tenant_id == *tenant && *effect.enrollment_id == *enrollment
        };
        self.by_id
            .find(hash, |at| is(at) && self.effects[*at].held.is_some())
            .or_else(|| self.by_id.find(hash, is))
            .copied()
    }

    /// Add an effect; `hash` is its contact's.
    pub fn add(&mut self, hash: u64, effect: Effect) -> usize {
        let number = self.effects.len();
        let contact = match self.find(hash, &effect.tenant_id, &effect.contact_id) {
            Some(contact) => contact,
            None => self.add_contact(hash, &effect),
        };
        self.contacts[contact].effects.push(number);
        if let Some(held) = effect.held {
            self.by_held.insert(held, number);
        }
        let id_hash = self.hash(&effect.tenant_id, &effect.enrollment_id);
        self.effects.push(effect);
        let (hasher, effects) = (&self.hasher, &self.effects);
        self.by_id.insert_unique(id_hash, number, |&other| {
            hasher.hash_one((&*effects[other].tenant_id, &*effects[other].enrollment_id))
        });
        number
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
                let known = &self.contacts[at];
                *known.contact == *contact && *known.tenant == *tenant
            })
            .copied()
    }

    fn hash(&self, tenant: &str, enrollment: &str) -> u64 {
        self.hasher.hash_one((tenant, enrollment))
    }
}
