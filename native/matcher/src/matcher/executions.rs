//! The executions of the shard. They share the contact index with the goals.

use super::Matcher;
use crate::config::ConfigError;
use crate::executions::{ExecutionKey, QueuedExecution, TenantSettings, WorkflowPlans};
use crate::index::{LoadError, State};

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
    pub fn load_executions_ended(&self) -> bool {
        self.execution_loader.ended()
    }

    /// Fires the timers that are not later than `watermark`, in milliseconds (X6). The executions
    /// do not change until a proposal of theirs is applied.
    pub fn advance_timers(&mut self, watermark: i64) {
        self.index.executions_mut().advance(watermark);
    }

    /// The executions of a tenant that wait for a job, the oldest first.
    pub fn queued_executions(&self, tenant: &str, limit: usize) -> Vec<QueuedExecution> {
        let executions = self.index.executions();
        let number = self.registry.tenant_number(tenant);
        let queue = number
            .into_iter()
            .flat_map(|number| executions.queue(number));
        let queued = queue.take(limit).map(|at| {
            let execution = executions.get(at);
            QueuedExecution {
                key: self.execution_key(at),
                since: execution.since,
                has_permit: execution.state.has_permit(),
                connection: self.registry.connection(&execution),
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
