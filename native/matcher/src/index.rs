//! Every active enrollment, by tenant and contact.
//!
//! A contact costs 24 bytes and its place in the table 5 to 10; an enrollment costs 32. A
//! contact is there as long as it has enrollments. Nothing is allocated for a single record,
//! save for ids that are neither UUIDs nor short, and for goals met by an enrollment that
//! goes on (`all`).

use ahash::RandomState;
use arrayvec::ArrayVec;
use hashbrown::HashMap;
use uuid::Uuid;

use crate::config::Workflow;
use crate::ids::{Key, LongIds, Tagged};
use crate::index_crowds::{CROWD, Crowds};
use crate::index_names::Names;
use crate::index_prefetch::prefetch;
use crate::index_slab::{Linked, NONE, Slab};
use crate::index_table::Table;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Contact {
    id: [u8; 16],
    tenant: Tagged,
    /// The first of its enrollments.
    first: u32,
}

/// Aligned so that each lies within one cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub struct Enrollment {
    id: [u8; 16],
    pub enrolled_at: i64,
    workflow: Tagged,
    /// The next enrollment of the same contact.
    next: u32,
}

impl Enrollment {
    /// The number of its workflow.
    #[inline]
    pub fn workflow(&self) -> u32 {
        self.workflow.number()
    }
}

impl Linked for Contact {
    fn next(&self) -> u32 {
        self.first
    }
    fn set_next(&mut self, next: u32) {
        self.first = next;
    }
}

impl Linked for Enrollment {
    fn next(&self) -> u32 {
        self.next
    }
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// An enrollment to hold, as its parts come.
#[derive(Debug, Clone, Copy)]
pub struct NewEnrollment<'a> {
    pub tenant: &'a str,
    pub contact: &'a str,
    pub enrollment: &'a str,
    pub workflow: &'a str,
    pub enrolled_at: i64,
    /// Goals it has met so far.
    pub met: &'a [Uuid],
}

/// What the index knows of a workflow beside its name.
#[derive(Debug, Default)]
struct WorkflowState {
    config: Option<Workflow>,
    enrollments: u32,
}

#[derive(Debug)]
pub struct Index {
    hasher: RandomState,
    tenants: Names,
    workflows: Names,
    states: Vec<WorkflowState>,
    /// By workflow: a bit for each kind of fact that an active goal of it waits for.
    listens: Vec<u8>,
    /// The same, by tenant: of all its workflows.
    tenant_listens: Vec<u8>,
    table: Table,
    contacts: Slab<Contact>,
    enrollments: Slab<Enrollment>,
    met: HashMap<u32, Box<[Uuid]>, RandomState>,
    crowds: Crowds,
    long: LongIds,
}

impl Default for Index {
    fn default() -> Index {
        Index {
            hasher: RandomState::new(),
            tenants: Names::default(),
            workflows: Names::default(),
            states: Vec::new(),
            listens: Vec::new(),
            tenant_listens: Vec::new(),
            table: Table::new(),
            contacts: Slab::new(),
            enrollments: Slab::new(),
            met: HashMap::default(),
            crowds: Crowds::default(),
            long: LongIds::default(),
        }
    }
}

impl Index {
    #[inline]
    pub fn tenant(&self, tenant: &str) -> Option<u32> {
        self.tenants.find(0, tenant)
    }

    /// Whether any workflow of the tenant waits for facts with this bit.
    #[inline]
    pub fn tenant_listens(&self, tenant: u32, bit: u8) -> bool {
        self.tenant_listens[tenant as usize] & bit != 0
    }

    /// Whether an active goal of the active workflow waits for facts with this bit.
    #[inline]
    pub fn listens(&self, workflow: u32, bit: u8) -> bool {
        self.listens[workflow as usize] & bit != 0
    }

    /// The hash of a contact. Seeded at random: contact ids are chosen by strangers.
    #[inline]
    pub fn hash(&self, tenant: u32, contact: Key<'_>) -> u64 {
        self.hasher.hash_one((tenant, contact))
    }

    #[inline]
    pub fn find_hashed(&self, hash: u64, tenant: u32, contact: Key<'_>) -> Option<u32> {
        self.table.find(hash, |at| {
            let record = self.contacts.get(at);
            record.tenant.number() == tenant
                && self.long.is(&record.id, record.tenant.kind(), contact)
        })
    }

    /// Bring what look-ups of these hashes will read into the cache, step by step for all of
    /// them, in place of one wait after the other. `announce` is the first step.
    #[inline]
    pub fn bring<const N: usize>(&self, hashes: &ArrayVec<u64, N>) {
        let mut guesses = ArrayVec::<&Contact, N>::new();
        guesses.extend(hashes.iter().filter_map(|&hash| {
            let contact = self.contacts.get(self.table.guess(hash)?);
            // A record of 24 bytes may lie in two cache lines.
            prefetch(&contact.id);
            prefetch(&contact.first);
            Some(contact)
        }));
        for contact in guesses {
            prefetch(self.enrollments.get(contact.first));
        }
    }

    /// A look-up of this hash will follow.
    #[inline]
    pub fn announce(&self, hash: u64) {
        self.table.announce(hash);
    }

    /// The number of a contact that has enrollments.
    pub fn contact(&self, tenant: &str, contact: &str) -> Option<u32> {
        let tenant = self.tenant(tenant)?;
        let key = Key::of(contact);
        self.find_hashed(self.hash(tenant, key), tenant, key)
    }

    /// The enrollments of a contact, the latest taken first.
    #[inline]
    pub fn of_contact(&self, contact: u32) -> impl Iterator<Item = (u32, &Enrollment)> {
        let mut at = self.contacts.get(contact).first;
        std::iter::from_fn(move || {
            (at != NONE).then(|| {
                let (number, record) = (at, self.enrollments.get(at));
                at = record.next;
                (number, record)
            })
        })
    }

    pub fn enrollment(&self, at: u32) -> &Enrollment {
        self.enrollments.get(at)
    }

    /// The enrollment of this contact that has this id.
    pub fn find_enrollment(&self, contact: u32, enrollment: &str) -> Option<u32> {
        let key = Key::of(enrollment);
        let is = |record: &Enrollment| self.long.is(&record.id, record.workflow.kind(), key);
        if self.crowds.has(contact) {
            let hash = self.hasher.hash_one(key);
            return self
                .crowds
                .find(contact, hash, |at| is(self.enrollments.get(at)));
        }
        self.of_contact(contact)
            .find(|(_, record)| is(record))
            .map(|(at, _)| at)
    }

    pub fn enrollment_id(&self, at: u32) -> String {
        let record = self.enrollments.get(at);
        self.long.text(&record.id, record.workflow.kind())
    }

    pub fn workflow_id(&self, workflow: u32) -> &str {
        self.workflows.text(workflow)
    }

    /// The number of a workflow that is configured or has enrollments.
    pub fn workflow(&self, tenant: &str, workflow: &str) -> Option<u32> {
        self.workflows.find(self.tenant(tenant)?, workflow)
    }

    /// `None` where the workflow is not configured.
    pub fn config(&self, workflow: u32) -> Option<&Workflow> {
        self.states[workflow as usize].config.as_ref()
    }

    /// The goals that an enrollment has met.
    pub fn met(&self, enrollment: u32) -> &[Uuid] {
        self.met.get(&enrollment).map_or(&[], |met| met)
    }

    pub fn add_met(&mut self, enrollment: u32, goals: &[Uuid]) {
        if goals.is_empty() {
            return;
        }
        let mut met = self.met(enrollment).to_vec();
        for goal in goals {
            if !met.contains(goal) {
                met.push(*goal);
            }
        }
        self.met.insert(enrollment, met.into());
    }

    /// Hold an enrollment, in place of the one that its contact has under the same id.
    pub fn insert(&mut self, new: NewEnrollment<'_>) {
        let held = self.contact(new.tenant, new.contact);
        if let Some(contact) = held {
            if let Some(at) = self.find_enrollment(contact, new.enrollment) {
                // Its contact may go with it: look again below.
                self.remove(contact, at);
            }
        }
        let contact = match self.contact(new.tenant, new.contact) {
            Some(contact) => contact,
            None => self.insert_contact(new.tenant, new.contact),
        };
        let tenant = self.contacts.get(contact).tenant.number();
        let workflow = self.take_workflow(tenant, new.workflow);
        self.states[workflow as usize].enrollments += 1;
        let (id, kind) = self.long.keep(Key::of(new.enrollment));
        let next = self.contacts.get(contact).first;
        let at = self.enrollments.insert(Enrollment {
            id,
            enrolled_at: new.enrolled_at,
            workflow: Tagged::new(workflow, kind),
            next,
        });
        self.contacts.get_mut(contact).first = at;
        if self.crowds.has(contact) {
            self.crowds.join(contact, self.id_hash(at), at, next);
        } else if self.of_contact(contact).nth(CROWD).is_some() {
            let chain = self
                .of_contact(contact)
                .map(|(at, _)| (self.id_hash(at), at));
            let chain = chain.collect();
            self.crowds.begin(contact, chain);
        }
        self.add_met(at, new.met);
    }

    /// The hash of an enrollment's id.
    fn id_hash(&self, at: u32) -> u64 {
        let record = self.enrollments.get(at);
        self.hasher
            .hash_one(self.long.key(&record.id, record.workflow.kind()))
    }

    /// Drop an enrollment of a contact, and the contact with its last one.
    pub fn remove(&mut self, contact: u32, at: u32) {
        let next = self.enrollments.get(at).next;
        let before = if self.crowds.has(contact) {
            self.crowds.leave(contact, self.id_hash(at), at, next)
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

    /// Drop a contact with all its enrollments; false where it has none.
    pub fn forget(&mut self, tenant: &str, contact: &str) -> bool {
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

    /// Take these workflows' configuration in place of what is held of them; others stay.
    /// Costs a look at every workflow.
    pub fn configure(&mut self, workflows: Vec<(String, String, Workflow)>) {
        for (tenant, id, config) in workflows {
            // The name of the tenant is used by its workflows: once taken, given back.
            let (number, _) = self.take_tenant(&tenant);
            let workflow = self.take_workflow(number, &id);
            self.release_tenant(number);
            self.listens[workflow as usize] = config.listens();
            let before = self.states[workflow as usize].config.replace(config);
            if before.is_some() {
                // Its configuration uses the workflow's name once, however often it changes.
                self.release_workflow(workflow);
            }
        }
        self.tenant_listens.fill(0);
        for number in 0..self.states.len() {
            if self.states[number].config.is_some() {
                let tenant = self.workflows.scope(number as u32);
                self.tenant_listens[tenant as usize] |= self.listens[number];
            }
        }
    }

    fn insert_contact(&mut self, tenant: &str, contact: &str) -> u32 {
        let (tenant, _) = self.take_tenant(tenant);
        let key = Key::of(contact);
        let hash = self.hash(tenant, key);
        let (id, kind) = self.long.keep(key);
        let record = Contact {
            id,
            tenant: Tagged::new(tenant, kind),
            first: NONE,
        };
        let at = self.contacts.insert(record);
        let (hasher, contacts, long) = (&self.hasher, &self.contacts, &self.long);
        self.table
            .insert(hash, at, |other| hash_of(hasher, long, contacts.get(other)));
        at
    }

    fn free_contact(&mut self, at: u32) {
        let Contact { id, tenant, .. } = *self.contacts.get(at);
        let (hasher, contacts, long) = (&self.hasher, &self.contacts, &self.long);
        let hash_of = |number| hash_of(hasher, long, contacts.get(number));
        self.table.remove(hash_of(at), at, hash_of);
        self.long.release(&id, tenant.kind());
        self.contacts.remove(at);
        self.crowds.end(at);
        self.release_tenant(tenant.number());
    }

    fn free_enrollment(&mut self, at: u32) {
        let Enrollment { id, workflow, .. } = *self.enrollments.get(at);
        self.long.release(&id, workflow.kind());
        self.met.remove(&at);
        self.enrollments.remove(at);
        self.states[workflow.number() as usize].enrollments -= 1;
        self.release_workflow(workflow.number());
    }

    fn take_tenant(&mut self, tenant: &str) -> (u32, bool) {
        let taken = self.tenants.take(0, tenant);
        self.tenant_listens.resize(self.tenants.bound(), 0);
        taken
    }

    fn release_tenant(&mut self, tenant: u32) {
        if self.tenants.release(tenant) {
            self.tenant_listens[tenant as usize] = 0;
        }
    }

    /// A workflow that is named for the first time uses its tenant's name from then on.
    fn take_workflow(&mut self, tenant: u32, workflow: &str) -> u32 {
        let (number, new) = self.workflows.take(tenant, workflow);
        if new {
            let name = self.tenants.text(tenant).to_owned();
            self.take_tenant(&name);
            self.states
                .resize_with(self.workflows.bound(), WorkflowState::default);
            self.listens.resize(self.workflows.bound(), 0);
        }
        number
    }

    fn release_workflow(&mut self, workflow: u32) {
        let tenant = self.workflows.scope(workflow);
        if self.workflows.release(workflow) {
            self.listens[workflow as usize] = 0;
            self.release_tenant(tenant);
        }
    }

    /// What is held.
    pub fn stats(&self) -> Stats {
        let configured = || {
            self.states
                .iter()
                .filter_map(|state| Some((state, state.config.as_ref()?)))
        };
        Stats {
            tenants: self.tenants.len(),
            workflows: configured().count(),
            goals: configured().map(|(_, config)| config.goals.len()).sum(),
            contacts: self.contacts.len(),
            enrollments: self.enrollments.len(),
            listeners: configured()
                .map(|(state, config)| state.enrollments as usize * config.listening())
                .sum(),
            bytes: self.bytes(),
        }
    }

    /// Bytes held, but for the configuration's own texts.
    fn bytes(&self) -> usize {
        let met: usize = self.met.values().map(|met| size_of_val(&**met)).sum();
        self.contacts.bytes()
            + self.enrollments.bytes()
            + self.table.bytes()
            + self.met.allocation_size()
            + met
            + self.crowds.bytes()
            + self.long.bytes()
            + self.tenants.bytes()
            + self.workflows.bytes()
            + self.states.capacity() * size_of::<WorkflowState>()
            + self.listens.capacity()
            + self.tenant_listens.capacity()
    }
}

fn hash_of(hasher: &RandomState, long: &LongIds, contact: &Contact) -> u64 {
    hasher.hash_one((
        contact.tenant.number(),
        long.key(&contact.id, contact.tenant.kind()),
    ))
}

/// Counts of what the index holds; `bytes` is memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub tenants: usize,
    pub workflows: usize,
    pub goals: usize,
    pub contacts: usize,
    pub enrollments: usize,
    pub listeners: usize,
    pub bytes: usize,
}

const _: () = assert!(size_of::<Contact>() == 24 && size_of::<Enrollment>() == 32);
