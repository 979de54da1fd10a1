//! The contacts of one evaluation.

use ahash::RandomState;
use hashbrown::HashTable;

use super::case::{Case, Context};
use super::input::{Grants, InputKind};
use super::messages::is_message;
use crate::event::{Event, Fact};
use crate::proposal::ExecutionRows;

/// The contacts whose executions an evaluation may change. Each is evaluated by itself: its events
/// in their order, then its results, its timers, and its due steps (X1).
#[derive(Debug)]
pub(crate) struct Machine<'c> {
    context: Context<'c>,
    cases: Vec<Case<'c>>,
    numbers: HashTable<usize>,
    hasher: RandomState,
}

impl<'c> Machine<'c> {
    pub fn new(context: Context<'c>) -> Machine<'c> {
        Machine {
            context,
            cases: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// Whether the tenant has workflows with plans.
    pub fn runs_workflows(&self, tenant: &str) -> bool {
        !self.context.registry.workflows_of(tenant).is_empty()
    }

    /// Whether an event of a contact that has no case may change executions: the contact has some, or
    /// the event is for executions only, or triggers a workflow.
    pub fn concerns(&self, event: &Event<'_>) -> bool {
        let (index, registry) = (self.context.index, self.context.registry);
        let has_executions = || {
            let contact = index.contact(&event.tenant, &event.contact);
            let mut enrollments = contact.into_iter().flat_map(|at| index.of_contact(at));
            enrollments.any(|(enrollment, _)| index.executions().of(enrollment).is_some())
        };
        let triggers = || {
            let mut workflows = registry.workflows_of(&event.tenant).iter();
            workflows.any(|&workflow| registry.may_be_triggered(workflow, &event.fact))
        };
        match event.fact {
            Fact::Other => is_message(event),
            _ => has_executions() || triggers(),
        }
    }

    /// The number of the case of a contact.
    pub fn find(&self, tenant: &str, contact: &str) -> Option<usize> {
        let is_same = |at: &usize| {
            let case = &self.cases[*at];
            *case.contact == *contact && *case.tenant == *tenant
        };
        self.numbers
            .find(self.hash(tenant, contact), is_same)
            .copied()
    }

    /// The number of the case of a contact, which is added if there is none.
    pub fn open(&mut self, tenant: &str, contact: &str) -> usize {
        if let Some(found) = self.find(tenant, contact) {
            return found;
        }
        let number = self.cases.len();
        self.cases.push(Case::new(self.context, tenant, contact));
        let (hasher, cases) = (&self.hasher, &self.cases);
        let hash = hasher.hash_one((tenant, contact));
        self.numbers.insert_unique(hash, number, |&at| {
            hasher.hash_one((&*cases[at].tenant, &*cases[at].contact))
        });
        number
    }

    fn hash(&self, tenant: &str, contact: &str) -> u64 {
        self.hasher.hash_one((tenant, contact))
    }

    pub fn case(&mut self, number: usize) -> &mut Case<'c> {
        &mut self.cases[number]
    }

    /// Adds the contacts whose executions moved to them (E21), and ends those that they may not have.
    pub fn end_merged(&mut self) {
        let index = self.context.index;
        for contact in index.executions().moved() {
            let (tenant, contact) = index.contact_key(contact);
            let case = self.open(&tenant, &contact);
            self.cases[case].end_merged();
        }
    }

    /// Adds the contacts of the gates, of the timers that have fired, the oldest first, and of the
    /// grants.
    pub fn open_due(&mut self) {
        let options = self.context.options;
        if options.only_events {
            return;
        }
        for input in options.inputs {
            if matches!(input.kind, InputKind::Gate(_)) {
                self.open(input.tenant, input.contact);
            }
        }
        let (index, executions) = (self.context.index, self.context.index.executions());
        let is_due = |at: &u32| {
            let due = executions.get(*at).due;
            due.is_some_and(|due| due <= options.watermark)
        };
        for at in executions.fired().filter(is_due).take(options.max_timers) {
            let (tenant, contact) = index.contact_key(executions.owner(at).0);
            self.open(&tenant, &contact);
        }
        if let Grants::Some(grants) = options.grants {
            for (tenant, contact, _) in grants {
                self.open(tenant, contact);
            }
        }
    }

    pub fn into_cases(self) -> Vec<Case<'c>> {
        self.cases
    }
}

/// The grants of executions that have no permit after the proposal.
pub(crate) fn unused_grants(
    context: Context<'_>,
    out: &ExecutionRows,
) -> Vec<(Box<str>, Box<str>)> {
    let (index, Grants::Some(grants)) = (context.index, context.options.grants) else {
        return Vec::new();
    };
    let changed = out.transitions.iter();
    let changed: std::collections::HashMap<(&str, &str), bool> = changed
        .map(|each| ((&*each.tenant, &*each.execution), each.permit.1))
        .collect();
    let is_unused = |(tenant, contact, execution): &&(String, String, String)| {
        if let Some(has_permit) = changed.get(&(&**tenant, &**execution)) {
            return !has_permit;
        }
        let contact = index.contact(tenant, contact);
        let enrollment = contact.and_then(|at| index.find_enrollment(at, execution));
        let number = enrollment.and_then(|at| index.executions().of(at));
        number.is_none_or(|at| !index.executions().get(at).state.has_permit())
    };
    let unused = grants.iter().filter(is_unused);
    unused
        .map(|(tenant, _, execution)| (tenant.as_str().into(), execution.as_str().into()))
        .collect()
}
