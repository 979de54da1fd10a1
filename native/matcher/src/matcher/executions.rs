//! The executions of the shard. They share the contact index with the goals.

use std::collections::HashSet;

use super::Matcher;
use crate::config::ConfigError;
use crate::executions::{
    ExecutionKey, Queue, QueuedExecution, Registry, TenantSettings, WorkflowPlans,
};
use crate::index::{ExecutionCounts, Index, LoadError, State};

impl Matcher {
    /// Sets the data of a time zone, in the format of RFC 9636 (TZif).
    pub fn set_zone(&mut self, name: &str, tzif: &[u8]) -> Result<(), ConfigError> {
        self.registry.zones.set(name, tzif)
    }

    pub fn set_execution_settings(&mut self, tenant: &str, settings: TenantSettings) {
        self.registry.set_tenant(tenant, settings);
    }

    /// Replaces the plans of a workflow, and starts or stops its timers. A version that is absent
    /// stays while executions use it. Changes nothing if a plan is invalid. The tenant has a projection
    /// of contacts from now on. Earlier proposals can still be applied.
    pub fn update_plans(&mut self, plans: &WorkflowPlans<'_>) -> Result<(), ConfigError> {
        self.registry
            .configure(plans, self.index.executions_mut())?;
        self.index.keep_contacts([plans.tenant]);
        Ok(())
    }

    /// Loads the executions of the next chunk of a COPY stream and returns their number. Their
    /// enrollments and plans must be in memory.
    pub fn load_executions(&mut self, chunk: &[u8]) -> Result<usize, LoadError> {
        self.start_generation();
        self.execution_loader
            .feed(chunk, &mut self.index, &self.registry)
    }

    /// Whether the last stream of executions was complete.
    pub fn load_executions_ended(&mut self) -> bool {
        self.forget_moved();
        self.execution_loader.ended()
    }

    /// Forgets the contacts to which executions moved and that have no more than they may (E21).
    pub(super) fn forget_moved(&mut self) {
        let (index, registry) = (&self.index, &self.registry);
        let single = index.executions().moved();
        let single = single.filter(|&contact| !has_several(index, registry, contact));
        for contact in single.collect::<Vec<_>>() {
            self.index.executions_mut().forget_moved(contact);
        }
    }

    /// Fires the timers that are not later than `watermark`, in milliseconds (X6). The executions
    /// do not change until a proposal of theirs is applied.
    pub fn advance_timers(&mut self, watermark: i64) {
        self.index.executions_mut().advance(watermark);
    }

    /// The counts of the executions at this time, in milliseconds.
    pub fn execution_counts(&self, now: i64) -> ExecutionCounts {
        self.index.executions().counts(now)
    }

    /// The queues of due steps, with the numbers of executions that wait in them.
    pub fn execution_queues(&self) -> Vec<(Queue, usize)> {
        let executions = self.index.executions();
        let queues = executions.queues();
        queues
            .map(|number| {
                let queue = self.registry.queue(number).clone();
                (queue, executions.queue(number).len())
            })
            .collect()
    }

    /// The executions that wait in a queue: first those that have a permit, then by the time at which
    /// their steps became due.
    pub fn queued_executions(&self, queue: &Queue, limit: usize) -> Vec<QueuedExecution> {
        let executions = self.index.executions();
        let number = self.registry.queue_number(queue);
        let queued = number
            .into_iter()
            .flat_map(|number| executions.queue(number));
        let queued = queued.take(limit).map(|at| {
            let execution = executions.get(at);
            QueuedExecution {
                key: self.execution_key(at),
                since: execution.since,
                has_permit: execution.state.has_permit(),
            }
        });
        queued.collect()
    }

    /// The executions in this state. Reads all executions.
    pub fn executions_in(&self, state: State) -> Vec<ExecutionKey> {
        let found = self.index.executions().in_state(state);
        found.map(|at| self.execution_key(at)).collect()
    }

    fn execution_key(&self, at: u32) -> ExecutionKey {
        let (contact, enrollment) = self.index.executions().owner(at);
        let (tenant, contact) = self.index.contact_key(contact);
        (tenant, contact, self.index.enrollment_id(enrollment))
    }
}

/// Whether a contact has several live executions of a workflow that allows one.
fn has_several(index: &Index, registry: &Registry, contact: u32) -> bool {
    let executions = index.executions();
    let live = index
        .of_contact(contact)
        .filter_map(|(enrollment, record)| {
            let execution = executions.get(executions.of(enrollment)?);
            let is_live = execution.state != State::Failed && registry.allows_one(execution.plan);
            is_live.then(|| record.workflow())
        });
    let mut seen = HashSet::new();
    !live.into_iter().all(|workflow| seen.insert(workflow))
}
