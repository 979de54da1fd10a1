//! Every active enrollment, by tenant and contact.
//!
//! A contact takes 24 bytes, plus 5 to 10 bytes in the table; an enrollment takes 32. A contact
//! is present while it has enrollments. Records live in chunks: the only allocations per record
//! are for ids that are neither UUIDs nor short, for the goals met by an enrollment that stays
//! active (`all`), and for the values of an enrollment that carries some.

pub mod copy;
mod ended;
mod executions;
mod fanout;
mod forwards;
mod load;
mod names;
mod prefetch;
mod records;
mod slab;
mod stats;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use ahash::RandomState;
use arrayvec::ArrayVec;
use hashbrown::HashMap;
use uuid::Uuid;

pub use self::ended::MissingEnds;
use self::ended::{EndedContacts, MOST_CONTACTS};
use self::fanout::{Entry, HighFanout};
use self::forwards::Forwards;
use self::names::Names;
use self::prefetch::prefetch;
use self::records::Contact;
use self::slab::Slab;
use self::table::Table;
use crate::config::{CHECKS_ON_ENROLLMENT, Workflow};
use crate::event::MatchValues;
use crate::ids::packed::{Key, LongIds, Tagged};

pub use self::copy::LoadError;
pub use self::executions::{Execution, Executions, State, Steps};
pub use self::fanout::{Group, HIGH_FANOUT};
pub use self::forwards::Target;
pub use self::load::Loader;
pub use self::records::{Enrollment, NewEnrollment, Stats};
pub use self::slab::NONE;

/// In `tenant_listens`, next to the bits of the workflows: the tenant has a projection of contacts,
/// or a goal that needs it.
pub const KEEPS_CONTACTS: u8 = 1 << 7;
/// How long Postgres keeps a missed event, in milliseconds (E19).
const MISSED_MS: u64 = 30 * 24 * 3600 * 1000;

/// The state of a workflow.
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
    /// By workflow: a bit for each goal type that its active goals listen to, and
    /// `CHECKS_ON_ENROLLMENT`.
    listens: Vec<u8>,
    /// Whether any workflow has `CHECKS_ON_ENROLLMENT`.
    checks_on_enrollment: bool,
    /// By tenant: the bits of all its workflows, and `KEEPS_CONTACTS`.
    tenant_listens: Vec<u8>,
    /// The tenants that have a projection of contacts, by number. Each holds a reference to its
    /// name.
    keeps_contacts: BTreeSet<u32>,
    /// Each tenant with forwards holds a reference to its name.
    forwards: Forwards,
    table: Table,
    contacts: Slab<Contact>,
    enrollments: Slab<Enrollment>,
    met: HashMap<u32, Box<[Uuid]>, RandomState>,
    /// By enrollment, for those that carry values (E17).
    match_values: HashMap<u32, MatchValues, RandomState>,
    /// When enrollments moved to their contacts, for those that began before that (E21).
    joined_at: HashMap<u32, i64, RandomState>,
    /// The enrollments that are known to have a missed event, and when it was received (E19).
    missed: HashMap<u32, u64, RandomState>,
    executions: Executions,
    /// The contacts with ended enrollments that may be watched (E18).
    ended: EndedContacts,
    /// For how long an enrollment is watched after its end, by goals without a window.
    late_us: i64,
    high_fanout: HighFanout,
    /// A contact with more enrollments than this is a high-fanout contact.
    high_fanout_above: usize,
    long_ids: LongIds,
}

impl Default for Index {
    fn default() -> Index {
        Index::new(HIGH_FANOUT, 0)
    }
}

impl Index {
    /// A contact with more than `high_fanout_above` enrollments is a high-fanout contact. Goals
    /// without a window watch an enrollment for `late_us` after its end (E18).
    pub fn new(high_fanout_above: usize, late_us: i64) -> Index {
        Index {
            hasher: RandomState::new(),
            tenants: Names::default(),
            workflows: Names::default(),
            states: Vec::new(),
            listens: Vec::new(),
            tenant_listens: Vec::new(),
            checks_on_enrollment: false,
            keeps_contacts: BTreeSet::new(),
            forwards: Forwards::default(),
            table: Table::new(),
            contacts: Slab::new(),
            enrollments: Slab::new(),
            met: HashMap::default(),
            match_values: HashMap::default(),
            joined_at: HashMap::default(),
            missed: HashMap::default(),
            executions: Executions::default(),
            ended: EndedContacts::new(MOST_CONTACTS),
            late_us,
            high_fanout: HighFanout::default(),
            high_fanout_above,
            long_ids: LongIds::default(),
        }
    }

    #[inline]
    pub fn tenant(&self, tenant: &str) -> Option<u32> {
        self.tenants.find(0, tenant)
    }

    /// Whether any workflow of the tenant listens to goal types with one of these bits, or the
    /// tenant has a projection of contacts and `KEEPS_CONTACTS` is among them.
    #[inline]
    pub fn tenant_listens(&self, tenant: u32, bits: u8) -> bool {
        self.tenant_listens[tenant as usize] & bits != 0
    }

    /// Whether one of the workflow's active goals listens to goal types with this bit. The workflow
    /// may be paused.
    #[inline]
    pub fn listens(&self, workflow: u32, bit: u8) -> bool {
        self.listens[workflow as usize] & bit != 0
    }

    /// The configuration of a workflow, if it has goals that are checked when an enrollment starts
    /// (E22). Costs a look-up only if any workflow has.
    #[inline]
    pub fn checks_on_enrollment(&self, tenant: &str, workflow: &str) -> Option<&Workflow> {
        if !self.checks_on_enrollment {
            return None;
        }
        let workflow = self.workflow(tenant, workflow)?;
        let checks = self.listens(workflow, CHECKS_ON_ENROLLMENT);
        checks.then(|| self.config(workflow)).flatten()
    }

    /// The hash of a contact. Its seed is random, because tenants choose contact ids.
    #[inline]
    pub fn hash(&self, tenant: u32, contact: Key<'_>) -> u64 {
        self.hasher.hash_one((tenant, contact))
    }

    #[inline]
    pub fn find_hashed(&self, hash: u64, tenant: u32, contact: Key<'_>) -> Option<u32> {
        self.table.find(hash, |at| {
            let record = self.contacts.get(at);
            record.tenant.number() == tenant
                && self
                    .long_ids
                    .matches(&record.id, record.tenant.kind(), contact)
        })
    }

    /// Prefetches the records that look-ups of these hashes will read, so that their cache
    /// misses overlap. Call `prefetch_bucket` for each hash first.
    #[inline]
    pub fn prefetch_records<const N: usize>(&self, hashes: &ArrayVec<u64, N>) {
        let mut candidates = ArrayVec::<&Contact, N>::new();
        candidates.extend(hashes.iter().filter_map(|&hash| {
            let contact = self.contacts.get(self.table.candidate(hash)?);
            // A record of 24 bytes may span two cache lines.
            prefetch(&contact.id);
            prefetch(&contact.first);
            Some(contact)
        }));
        for contact in candidates {
            prefetch(self.enrollments.get(contact.first));
        }
    }

    /// Prefetches the table bucket of this hash.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch(hash);
    }

    /// The number of a contact that has enrollments.
    pub fn contact(&self, tenant: &str, contact: &str) -> Option<u32> {
        let tenant = self.tenant(tenant)?;
        let key = Key::of(contact);
        self.find_hashed(self.hash(tenant, key), tenant, key)
    }

    /// The enrollments of a contact, the latest inserted first.
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

    /// Whether `groups` has the contact's enrollments.
    #[inline]
    pub fn is_high_fanout(&self, contact: u32) -> bool {
        self.contacts.get(contact).tenant.is_marked()
    }

    /// The enrollments of a high-fanout contact, in groups on which an event has the same
    /// effect. Groups of one workflow follow each other.
    pub fn groups(&self, contact: u32) -> impl Iterator<Item = Group<'_>> {
        self.high_fanout.groups(contact)
    }

    /// The number of the contact's enrollments. Short for most contacts.
    pub fn count(&self, contact: u32) -> usize {
        if self.is_high_fanout(contact) {
            self.high_fanout.len(contact)
        } else {
            self.of_contact(contact).count()
        }
    }

    pub fn enrollment(&self, at: u32) -> &Enrollment {
        self.enrollments.get(at)
    }

    /// The contact's enrollment with this id.
    pub fn find_enrollment(&self, contact: u32, enrollment: &str) -> Option<u32> {
        let key = Key::of(enrollment);
        let is_same = |record: &Enrollment| {
            self.long_ids
                .matches(&record.id, record.workflow.kind(), key)
        };
        if self.is_high_fanout(contact) {
            let hash = self.hasher.hash_one(key);
            return self
                .high_fanout
                .find(contact, hash, |at| is_same(self.enrollments.get(at)));
        }
        self.of_contact(contact)
            .find(|(_, record)| is_same(record))
            .map(|(at, _)| at)
    }

    pub fn enrollment_id(&self, at: u32) -> String {
        let record = self.enrollments.get(at);
        self.long_ids.text(&record.id, record.workflow.kind())
    }

    pub fn workflow_id(&self, workflow: u32) -> &str {
        self.workflows.text(workflow)
    }

    /// The number of a workflow that is configured or has enrollments.
    pub fn workflow(&self, tenant: &str, workflow: &str) -> Option<u32> {
        self.workflows.find(self.tenant(tenant)?, workflow)
    }

    /// `None` if the workflow is not configured.
    pub fn config(&self, workflow: u32) -> Option<&Workflow> {
        self.states[workflow as usize].config.as_ref()
    }

    /// The goals that an enrollment has met.
    pub fn met(&self, enrollment: u32) -> &[Uuid] {
        self.met.get(&enrollment).map_or(&[], |met| met)
    }

    /// The values that an enrollment carries (E17).
    pub fn match_values(&self, enrollment: u32) -> Option<&MatchValues> {
        self.match_values.get(&enrollment)
    }

    /// Whether an enrollment moved to its contact after this time (E21).
    pub fn joined_after(&self, enrollment: u32, time: i64) -> bool {
        self.joined_at
            .get(&enrollment)
            .is_some_and(|joined| *joined > time)
    }

    /// Whether the enrollment is known to have a missed event when an entry of this time, in
    /// milliseconds, is received (E19). False is not certain.
    pub fn has_missed(&self, enrollment: u32, received_ms: u64) -> bool {
        let missed = self.missed.get(&enrollment);
        missed.is_some_and(|first| received_ms.saturating_sub(*first) < MISSED_MS)
    }

    pub fn executions(&self) -> &Executions {
        &self.executions
    }

    pub fn executions_mut(&mut self) -> &mut Executions {
        &mut self.executions
    }

    /// The tenant and the id of a contact.
    pub fn contact_key(&self, contact: u32) -> (String, String) {
        let record = self.contacts.get(contact);
        let tenant = self.tenants.text(record.tenant.number()).to_owned();
        (tenant, self.long_ids.text(&record.id, record.tenant.kind()))
    }

    /// The enrollment has a missed event, received at this time, unless it has an earlier one: only
    /// Postgres knows when that is removed.
    pub fn set_missed(&mut self, enrollment: u32, received_ms: u64) {
        self.missed.entry(enrollment).or_insert(received_ms);
    }

    /// Forgets which enrollments of a workflow have a missed event, because it is active.
    fn forget_missed(&mut self, workflow: u32) {
        let enrollments = &self.enrollments;
        self.missed
            .retain(|&number, _| enrollments.get(number).workflow() != workflow);
    }

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

    /// Replaces the configuration of these workflows; others keep theirs. Visits every
    /// workflow once.
    pub fn configure(&mut self, workflows: Vec<(String, String, Workflow)>) {
        for (tenant, id, config) in workflows {
            // The workflow holds a reference to its tenant's name; this one is temporary.
            let (number, _) = self.acquire_tenant(&tenant);
            let workflow = self.acquire_workflow(number, &id);
            self.release_tenant(number);
            self.listens[workflow as usize] = config.listens();
            if config.is_active {
                self.forget_missed(workflow);
            }
            let previous = self.states[workflow as usize].config.replace(config);
            if previous.is_some() {
                // A configuration holds one reference to the workflow's name.
                self.release_workflow(workflow);
            }
        }
        self.update_tenant_listens();
    }

    /// Removes the configuration of these (tenant, workflow) pairs. Visits every workflow once.
    pub fn unconfigure<'a>(&mut self, workflows: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut is_changed = false;
        for (tenant, id) in workflows {
            let Some(workflow) = self.workflow(tenant, id) else {
                continue;
            };
            if self.states[workflow as usize].config.take().is_some() {
                self.listens[workflow as usize] = 0;
                self.release_workflow(workflow);
                is_changed = true;
            }
        }
        if is_changed {
            self.update_tenant_listens();
        }
    }

    /// These tenants have a projection of contacts from now on.
    pub fn keep_contacts<'a>(&mut self, tenants: impl IntoIterator<Item = &'a str>) {
        for tenant in tenants {
            let (number, _) = self.acquire_tenant(tenant);
            if !self.keeps_contacts.insert(number) {
                self.release_tenant(number);
            }
        }
        self.update_tenant_listens();
    }

    /// Whether any contact of the slots was merged into another.
    #[inline]
    pub fn has_forwards(&self) -> bool {
        !self.forwards.is_empty()
    }

    /// The contact into which this one was merged (E21).
    pub fn forward_of(&self, tenant: &str, contact: &str) -> Option<&Target> {
        let number = self.tenant(tenant)?;
        self.forwards.target(number, tenant, contact)
    }

    /// Sets the secret of the keys of forwards.
    pub fn set_forward_secret(&mut self, secret: &str) {
        self.forwards.set_secret(secret);
    }

    /// Adds a forward, or removes it (`None`).
    pub fn set_forward(&mut self, tenant: &str, key: Uuid, target: Option<Target>) {
        let (number, _) = self.acquire_tenant(tenant);
        let keeps_name = match target {
            Some(target) => self.forwards.insert(number, key, target),
            None => {
                if self.forwards.remove(number, key) {
                    self.release_tenant(number);
                }
                false
            }
        };
        if !keeps_name {
            self.release_tenant(number);
        }
    }

    fn update_tenant_listens(&mut self) {
        self.tenant_listens.fill(0);
        self.checks_on_enrollment = false;
        for (number, state) in self.states.iter().enumerate() {
            if let Some(config) = &state.config {
                let tenant = self.workflows.scope(number as u32);
                let needs = u8::from(config.needs_contacts()) * KEEPS_CONTACTS;
                self.tenant_listens[tenant as usize] |= self.listens[number] | needs;
                self.checks_on_enrollment |= self.listens[number] & CHECKS_ON_ENROLLMENT != 0;
            }
        }
        for &tenant in &self.keeps_contacts {
            self.tenant_listens[tenant as usize] |= KEEPS_CONTACTS;
        }
        self.update_ended();
    }

    /// Updates which of the configured tenants have goals that watch ended enrollments (E18).
    fn update_ended(&mut self) {
        let mut tenants: BTreeMap<u32, (i64, Vec<u32>)> = BTreeMap::new();
        for (number, state) in self.states.iter().enumerate() {
            let Some(config) = &state.config else {
                continue;
            };
            let horizon = config.horizon(self.late_us);
            let tenant = self.workflows.scope(number as u32);
            let (longest, workflows) = tenants.entry(tenant).or_default();
            if horizon > 0 {
                *longest = horizon.max(*longest);
                workflows.push(number as u32);
            }
        }
        self.ended.configure(tenants);
    }

    /// The contacts with ended enrollments that may be watched (E18).
    #[inline]
    pub fn ended(&self) -> &EndedContacts {
        &self.ended
    }

    pub fn ended_mut(&mut self) -> &mut EndedContacts {
        &mut self.ended
    }

    /// For how long an enrollment is watched after its end, by goals without a window.
    pub fn late_us(&self) -> i64 {
        self.late_us
    }

    /// The ends that must be loaded first, with the name of their tenant.
    pub fn ended_to_load(&self, now_us: i64) -> Option<(&str, MissingEnds)> {
        let missing = self.ended.to_load(now_us)?;
        Some((self.tenants.text(missing.tenant), missing))
    }

    /// Inserts the end of an enrollment that was loaded.
    pub fn load_ended(&mut self, tenant: &str, contact: &str, ended_at: i64, now_us: i64) {
        if let Some(tenant) = self.tenant(tenant) {
            let hash = self.hash(tenant, Key::of(contact));
            self.ended.load(tenant, hash, ended_at, now_us);
        }
    }

    /// An enrollment of a contact has ended at this time. `None`: it may have ended at any.
    pub fn insert_ended(&mut self, tenant: &str, contact: &str, ended_at: Option<i64>) {
        if let Some(tenant) = self.tenant(tenant) {
            let hash = self.hash(tenant, Key::of(contact));
            self.ended.insert(tenant, hash, ended_at);
        }
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

    fn acquire_tenant(&mut self, tenant: &str) -> (u32, bool) {
        let acquired = self.tenants.acquire(0, tenant);
        self.tenant_listens.resize(self.tenants.bound(), 0);
        acquired
    }

    fn release_tenant(&mut self, tenant: u32) {
        if self.tenants.release(tenant) {
            self.tenant_listens[tenant as usize] = 0;
        }
    }

    /// Adds a reference to a workflow's name. A new one holds a reference to its tenant's name.
    fn acquire_workflow(&mut self, tenant: u32, workflow: &str) -> u32 {
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

    fn release_workflow(&mut self, workflow: u32) {
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
