//! Every active enrollment, by tenant and contact.
//!
//! A contact takes 24 bytes, plus 5 to 10 bytes in the table; an enrollment takes 32. A contact
//! is present while it has enrollments. Records live in chunks: the only allocations per record
//! are for ids that are neither UUIDs nor short, for the goals met by an enrollment that stays
//! active (`all`), and for the values of an enrollment that carries some.

mod change;
mod configuration;
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

use std::collections::BTreeSet;

use ahash::RandomState;
use arrayvec::ArrayVec;
use hashbrown::HashMap;
use uuid::Uuid;

pub use self::ended::MissingEnds;
use self::ended::{EndedContacts, MOST_CONTACTS};
use self::fanout::HighFanout;
use self::forwards::Forwards;
use self::names::Names;
use self::prefetch::prefetch;
use self::records::Contact;
use self::slab::Slab;
use self::table::Table;
use crate::config::{CHECKS_ON_ENROLLMENT, Workflow};
use crate::event::MatchValues;
use crate::ids::packed::{Key, LongIds};

pub use self::copy::LoadError;
pub use self::executions::{Execution, ExecutionCounts, Executions, State, Steps};
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
}
