//! The plans of workflows by version, the settings of tenants, and the time zones.

use std::collections::{BTreeMap, HashMap};

use super::queue::Queue;
use crate::config::ConfigError;
use crate::event::Fact;
use crate::index::Executions;
use crate::plan::{Allow, Plan, Step, StepKind, Zones};

/// How steps are treated that became due while the workflow was inactive (X7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overdue {
    Run,
    Skip,
    Cancel,
}

/// The plans of a workflow as the store describes them.
#[derive(Debug, Clone)]
pub struct WorkflowPlans<'a> {
    pub tenant: &'a str,
    pub workflow: &'a str,
    pub is_active: bool,
    /// When it was activated last, in milliseconds since the epoch, and how it treats the steps that
    /// were overdue then.
    pub activated_at: Option<i64>,
    pub overdue: Overdue,
    /// The version with which executions start; `None`: none starts.
    pub current: Option<i32>,
    /// Encoded plans by version.
    pub versions: Vec<(i32, &'a [u8])>,
    /// Whether its tenant distinguishes names of tags by case (E16).
    pub tag_case_sensitive: bool,
}

/// The settings of a tenant for its executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantSettings {
    pub max_retries: u8,
    /// Milliseconds before the first retry.
    pub retry_base: i64,
    /// Whether the admin is notified of failed executions.
    pub notifies: bool,
}

impl Default for TenantSettings {
    fn default() -> TenantSettings {
        TenantSettings {
            max_retries: 3,
            retry_base: 60_000,
            notifies: true,
        }
    }
}

#[derive(Debug)]
struct Tenant {
    settings: TenantSettings,
    workflows: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Workflow {
    pub id: Box<str>,
    pub is_active: bool,
    pub activated_at: Option<i64>,
    pub overdue: Overdue,
    /// The number of the plan with which executions start.
    pub current: Option<u32>,
    versions: BTreeMap<i32, u32>,
}

#[derive(Debug)]
pub(super) struct Published {
    pub workflow: u32,
    pub version: i32,
    pub plan: Plan,
}

/// Plans by number. Tenants and workflows keep their numbers.
#[derive(Debug, Default)]
pub struct Registry {
    numbers: HashMap<Box<str>, u32>,
    tenants: Vec<Tenant>,
    workflows: Vec<Workflow>,
    plans: Vec<Option<Published>>,
    free: Vec<u32>,
    queues: Vec<Queue>,
    queue_numbers: HashMap<Queue, u32>,
    pub zones: Zones,
}

impl Registry {
    pub fn set_tenant(&mut self, tenant: &str, settings: TenantSettings) {
        let number = self.tenant(tenant);
        self.tenants[number as usize].settings = settings;
    }

    /// Replaces the plans of a workflow, and starts or stops its timers. A version that is absent
    /// stays while executions use it. Changes nothing if a plan is invalid.
    pub fn configure(
        &mut self,
        given: &WorkflowPlans<'_>,
        executions: &mut Executions,
    ) -> Result<(), ConfigError> {
        let read = |(version, bytes): &(i32, &[u8])| {
            let plan = Plan::read(bytes, given.tag_case_sensitive).map_err(|error| {
                ConfigError(format!(
                    "workflow {} of tenant {}, version {version}: {}",
                    given.workflow, given.tenant, error.0
                ))
            });
            Ok((*version, plan?))
        };
        let plans = given.versions.iter().map(read);
        let plans = plans.collect::<Result<Vec<_>, ConfigError>>()?;
        let tenant = self.tenant(given.tenant);
        let number = self.workflow(tenant, given);
        let mut absent = std::mem::take(&mut self.workflows[number as usize].versions);
        for (version, plan) in plans {
            let published = Published {
                workflow: number,
                version,
                plan,
            };
            let at = absent.remove(&version).unwrap_or_else(|| self.free_plan());
            executions.set_plan(at, number, self.queues_of(given.tenant, &published.plan));
            self.plans[at as usize] = Some(published);
            self.workflows[number as usize].versions.insert(version, at);
        }
        for (version, at) in absent {
            if executions.uses(at) {
                self.workflows[number as usize].versions.insert(version, at);
            } else {
                self.plans[at as usize] = None;
                self.free.push(at);
            }
        }
        let workflow = &mut self.workflows[number as usize];
        workflow.is_active = given.is_active;
        workflow.activated_at = given.activated_at;
        workflow.overdue = given.overdue;
        let current = given
            .current
            .and_then(|version| workflow.versions.get(&version));
        workflow.current = current.copied();
        if !workflow.versions.is_empty() {
            executions.set_active(number, given.is_active);
        }
        Ok(())
    }

    /// The numbers of the queues of the steps of a plan.
    fn queues_of(&mut self, tenant: &str, plan: &Plan) -> Box<[u32]> {
        let of_step = |step: &Step| {
            let (action, connection) = match &step.kind {
                StepKind::Act(act) => (act.action.clone(), act.connection.clone()),
                _ => (Box::default(), None),
            };
            let queue = Queue {
                tenant: tenant.into(),
                action,
                connection,
            };
            let number = self.queue_numbers.get(&queue).copied();
            number.unwrap_or_else(|| {
                let number = self.queues.len() as u32;
                self.queue_numbers.insert(queue.clone(), number);
                self.queues.push(queue);
                number
            })
        };
        plan.steps.iter().map(of_step).collect()
    }

    pub fn queue(&self, number: u32) -> &Queue {
        &self.queues[number as usize]
    }

    pub fn queue_number(&self, queue: &Queue) -> Option<u32> {
        self.queue_numbers.get(queue).copied()
    }

    fn free_plan(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.plans.push(None);
            (self.plans.len() - 1) as u32
        })
    }

    fn tenant(&mut self, tenant: &str) -> u32 {
        if let Some(number) = self.tenant_number(tenant) {
            return number;
        }
        let number = self.tenants.len() as u32;
        self.tenants.push(Tenant {
            settings: TenantSettings::default(),
            workflows: Vec::new(),
        });
        self.numbers.insert(tenant.into(), number);
        number
    }

    fn workflow(&mut self, tenant: u32, given: &WorkflowPlans<'_>) -> u32 {
        if let Some(number) = self.find(given.tenant, given.workflow) {
            return number;
        }
        let number = self.workflows.len() as u32;
        self.workflows.push(Workflow {
            id: given.workflow.into(),
            is_active: false,
            activated_at: None,
            overdue: Overdue::Run,
            current: None,
            versions: BTreeMap::new(),
        });
        self.tenants[tenant as usize].workflows.push(number);
        number
    }

    pub fn tenant_number(&self, tenant: &str) -> Option<u32> {
        self.numbers.get(tenant).copied()
    }

    pub(super) fn settings(&self, tenant: &str) -> TenantSettings {
        let number = self.tenant_number(tenant);
        number.map_or_else(TenantSettings::default, |at| {
            self.tenants[at as usize].settings
        })
    }

    /// The workflows of a tenant that have plans.
    pub(super) fn workflows_of(&self, tenant: &str) -> &[u32] {
        let number = self.tenant_number(tenant);
        number.map_or(&[], |at| &self.tenants[at as usize].workflows)
    }

    pub(super) fn find(&self, tenant: &str, workflow: &str) -> Option<u32> {
        let mut numbers = self.workflows_of(tenant).iter().copied();
        numbers.find(|&at| *self.workflows[at as usize].id == *workflow)
    }

    /// Whether events of this type may start an execution of the workflow.
    pub(super) fn may_be_triggered(&self, workflow: u32, fact: &Fact<'_>) -> bool {
        let current = self.workflows[workflow as usize].current;
        let trigger = current.and_then(|plan| self.plan(plan).plan.trigger.as_ref());
        trigger.is_some_and(|pattern| pattern.listens(fact))
    }

    /// Whether a contact may have one live execution of the workflow of this plan (X9).
    pub(crate) fn allows_one(&self, plan: u32) -> bool {
        let current = self.get(self.plan(plan).workflow).current;
        self.plan(current.unwrap_or(plan)).plan.reentry.allow == Allow::AfterExit
    }

    pub(super) fn get(&self, workflow: u32) -> &Workflow {
        &self.workflows[workflow as usize]
    }

    /// The number of a version of a workflow.
    pub(super) fn version(&self, workflow: u32, version: i32) -> Option<u32> {
        self.workflows[workflow as usize]
            .versions
            .get(&version)
            .copied()
    }

    /// A plan that an execution uses, or that is current.
    pub(super) fn plan(&self, number: u32) -> &Published {
        let published = self.plans[number as usize].as_ref();
        published.expect("a plan stays while executions use it")
    }
}
