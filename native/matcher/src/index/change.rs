//! Adds enrollments and their contacts, and removes them.

use std::mem;

use ahash::RandomState;
use uuid::Uuid;

use super::fanout::Entry;
use super::records::{Contact, Enrollment, NewEnrollment};
use super::slab::NONE;
use super::{Index, WorkflowState};
use crate::ids::packed::{Key, LongIds, Tagged};

impl Index {
    /// Adds goals that an enrollment of this contact has met.
    pub fn add_met(&mut self, contact: u32, enrollment: u32, goals: &[Uuid]) {
        if goals.is_empty() {
            return;
        }
        let mut met = self.met(enrollment).to_vec();
        for goal in goals {
            if !met.contains(goal) {
                met.push(*goal);
            }
        }
        if self.is_high_fanout(contact) {
            let mut high_fanout = mem::take(&mut self.high_fanout);
            high_fanout.set_met(contact, self.entry(enrollment), &met);
            self.high_fanout = high_fanout;
        }
        self.met.insert(enrollment, met.into());
    }

    /// Inserts an enrollment. Replaces the contact's enrollment with the same id, if any.
    pub fn insert(&mut self, new: NewEnrollment<'_>) {
        if let Some(contact) = self.contact(new.tenant, new.contact) {
            if let Some(at) = self.find_enrollment(contact, new.enrollment) {
                // This may remove the contact as well, so it is looked up again below.
                self.remove(contact, at);
            }
        }
        let contact = match self.contact(new.tenant, new.contact) {
            Some(contact) => contact,
            None => self.insert_contact(new.tenant, new.contact),
        };
        let tenant = self.contacts.get(contact).tenant.number();
        let workflow = self.acquire_workflow(tenant, new.workflow);
        self.states[workflow as usize].enrollments += 1;
        let (id, kind) = self.long_ids.intern(Key::of(new.enrollment));
        let next = self.contacts.get(contact).first;
        let at = self.enrollments.insert(Enrollment {
            id,
            enrolled_at: new.enrolled_at,
            workflow: if new.excludes {
                Tagged::new(workflow, kind).marked()
            } else {
                Tagged::new(workflow, kind)
            },
            next,
        });
        if let Some(values) = new.match_values {
            self.match_values.insert(at, values.clone());
        }
        if let Some(joined) = new.joined_at {
            self.joined_at.insert(at, joined);
        }
        self.contacts.get_mut(contact).first = at;
        if self.is_high_fanout(contact) {
            let mut high_fanout = mem::take(&mut self.high_fanout);
            high_fanout.insert(contact, self.entry(at), next);
            self.high_fanout = high_fanout;
        } else if self
            .of_contact(contact)
            .nth(self.high_fanout_above)
            .is_some()
        {
            self.insert_high_fanout(contact);
        }
        self.add_met(contact, at, new.met);
    }

    /// Adds a contact and its chain to the high-fanout contacts.
    fn insert_high_fanout(&mut self, contact: u32) {
        let record = self.contacts.get_mut(contact);
        record.tenant = record.tenant.marked();
        let mut high_fanout = mem::take(&mut self.high_fanout);
        high_fanout.insert_contact(contact);
        let chain: Vec<u32> = self.of_contact(contact).map(|(at, _)| at).collect();
        let mut next = NONE;
        for at in chain.into_iter().rev() {
            high_fanout.insert(contact, self.entry(at), next);
            next = at;
        }
        self.high_fanout = high_fanout;
    }

    /// An enrollment as the high-fanout tables know it.
    fn entry(&self, at: u32) -> Entry<'_> {
        let record = self.enrollments.get(at);
        let id = self.long_ids.key(&record.id, record.workflow.kind());
        Entry {
            hash: self.hasher.hash_one(id),
            at,
            workflow: record.workflow(),
            enrolled_at: record.enrolled_at,
            met: self.met(at),
        }
    }

    /// Removes an enrollment of a contact, and the contact if it was the last one.
    pub fn remove(&mut self, contact: u32, at: u32) {
        let next = self.enrollments.get(at).next;
        let before = if self.is_high_fanout(contact) {
            let mut high_fanout = mem::take(&mut self.high_fanout);
            let before = high_fanout.remove(contact, self.entry(at), next);
            self.high_fanout = high_fanout;
            before
        } else {
            let mut chain = self.of_contact(contact);
            chain
                .find(|(_, record)| record.next == at)
                .map(|(before, _)| before)
        };
        match before {
            Some(before) => self.enrollments.get_mut(before).next = next,
            None => self.contacts.get_mut(contact).first = next,
        }
        self.free_enrollment(at);
        if self.contacts.get(contact).first == NONE {
            self.free_contact(contact);
        }
    }

    /// Removes a contact with all its enrollments. False if it has none.
    pub fn evict(&mut self, tenant: &str, contact: &str) -> bool {
        let Some(contact) = self.contact(tenant, contact) else {
            return false;
        };
        let mut at = self.contacts.get(contact).first;
        while at != NONE {
            let next = self.enrollments.get(at).next;
            self.free_enrollment(at);
            at = next;
        }
        self.free_contact(contact);
        true
    }

    fn insert_contact(&mut self, tenant: &str, contact: &str) -> u32 {
        let (tenant, _) = self.acquire_tenant(tenant);
        let key = Key::of(contact);
        let hash = self.hash(tenant, key);
        let (id, kind) = self.long_ids.intern(key);
        let record = Contact {
            id,
            tenant: Tagged::new(tenant, kind),
            first: NONE,
        };
        let at = self.contacts.insert(record);
        let (hasher, contacts, long_ids) = (&self.hasher, &self.contacts, &self.long_ids);
        self.table.insert(hash, at, |other| {
            hash_of(hasher, long_ids, contacts.get(other))
        });
        at
    }

    fn free_contact(&mut self, at: u32) {
        let Contact { id, tenant, .. } = *self.contacts.get(at);
        let (hasher, contacts, long_ids) = (&self.hasher, &self.contacts, &self.long_ids);
        let hash_of = |number| hash_of(hasher, long_ids, contacts.get(number));
        self.table.remove(hash_of(at), at, hash_of);
        self.long_ids.release(&id, tenant.kind());
        self.contacts.remove(at);
        self.high_fanout.remove_contact(at);
        self.release_tenant(tenant.number());
    }

    fn free_enrollment(&mut self, at: u32) {
        let Enrollment { id, workflow, .. } = *self.enrollments.get(at);
        self.long_ids.release(&id, workflow.kind());
        self.met.remove(&at);
        if !self.match_values.is_empty() {
            self.match_values.remove(&at);
        }
        if !self.joined_at.is_empty() {
            self.joined_at.remove(&at);
        }
        if !self.missed.is_empty() {
            self.missed.remove(&at);
        }
        self.executions.remove_of(at);
        self.enrollments.remove(at);
        self.states[workflow.number() as usize].enrollments -= 1;
        self.release_workflow(workflow.number());
    }

    pub(super) fn acquire_tenant(&mut self, tenant: &str) -> (u32, bool) {
        let acquired = self.tenants.acquire(0, tenant);
        self.tenant_listens.resize(self.tenants.bound(), 0);
        acquired
    }

    pub(super) fn release_tenant(&mut self, tenant: u32) {
        if self.tenants.release(tenant) {
            self.tenant_listens[tenant as usize] = 0;
        }
    }

    /// Adds a reference to a workflow's name. A new one holds a reference to its tenant's name.
    pub(super) fn acquire_workflow(&mut self, tenant: u32, workflow: &str) -> u32 {
        let (number, is_new) = self.workflows.acquire(tenant, workflow);
        if is_new {
            let name = self.tenants.text(tenant).to_owned();
            self.acquire_tenant(&name);
            self.states
                .resize_with(self.workflows.bound(), WorkflowState::default);
            self.listens.resize(self.workflows.bound(), 0);
        }
        number
    }

    pub(super) fn release_workflow(&mut self, workflow: u32) {
        let tenant = self.workflows.scope(workflow);
        if self.workflows.release(workflow) {
            self.listens[workflow as usize] = 0;
            self.release_tenant(tenant);
        }
    }
}

fn hash_of(hasher: &RandomState, long_ids: &LongIds, contact: &Contact) -> u64 {
    hasher.hash_one((
        contact.tenant.number(),
        long_ids.key(&contact.id, contact.tenant.kind()),
    ))
}
