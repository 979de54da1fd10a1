//! The matcher of one shard. Every method borrows it mutably, so that a concurrent call raises
//! RuntimeError instead of waiting.

use goald_matcher::evaluate::{
    EvaluateOptions, ExcludedEvent, KnownState, OldTags, Origin, Rules, StoredFacts,
};
use goald_matcher::executions::{self as core_executions, ExecutionKey, Queue, TenantSettings};
use goald_matcher::ids::derived::parse_event_key;
use goald_matcher::matcher::{Matcher as Core, Target};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert::{slices, value_error};
use crate::ended::{Ended, ended_answer, event_key, event_keys};
use crate::executions::{self, OwnedOptions, Queued};
use crate::proposal::Proposal;
use crate::workflows;

#[pyclass(module = "goald._native")]
pub struct Matcher(Core);

#[pymethods]
impl Matcher {
    #[new]
    #[pyo3(signature = (
        *, clock_skew_us = 0, max_enrollments_per_contact = 10_000, late_us = 0,
        high_fanout_above = 64
    ))]
    fn new(
        clock_skew_us: i64,
        max_enrollments_per_contact: usize,
        late_us: i64,
        high_fanout_above: usize,
    ) -> Matcher {
        let rules = Rules {
            clock_skew_us,
            max_enrollments_per_contact,
            late_us,
        };
        Matcher(Core::with_fanout(rules, high_fanout_above))
    }

    fn update_workflows(
        &mut self,
        py: Python<'_>,
        workflows: Vec<Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let specs = workflows
            .iter()
            .map(workflows::workflow)
            .collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.0.update_workflows(&specs))
            .map_err(value_error)
    }

    fn remove_workflows(&mut self, py: Python<'_>, workflows: Vec<(String, String)>) {
        let pairs = workflows
            .iter()
            .map(|(tenant, workflow)| (&**tenant, &**workflow));
        py.detach(|| self.0.remove_workflows(pairs));
    }

    fn keep_contacts(&mut self, tenants: Vec<String>) {
        self.0.keep_contacts(tenants.iter().map(String::as_str));
    }

    fn set_forward_secret(&mut self, secret: &str) {
        self.0.set_forward_secret(secret);
    }

    fn set_forwards(&mut self, forwards: Vec<Forward>) -> PyResult<()> {
        let key = |key: &str| {
            parse_event_key(key).ok_or_else(|| PyValueError::new_err("a key is not a UUID"))
        };
        let mut rows = Vec::with_capacity(forwards.len());
        for (tenant, of, target, merges) in &forwards {
            let target = target.as_deref().map(|contact| Target {
                contact: contact.into(),
                merges: merges.as_slice().into(),
            });
            rows.push((&**tenant, key(of)?, target));
        }
        self.0.set_forwards(rows);
        Ok(())
    }

    fn load(&mut self, py: Python<'_>, rows: &[u8]) -> PyResult<usize> {
        py.detach(|| self.0.load(rows)).map_err(value_error)
    }

    fn load_ended(&mut self) -> bool {
        self.0.load_ended()
    }

    fn ended_to_load(&mut self, py: Python<'_>, now_us: i64) -> Option<(String, u64, i64, i64)> {
        let found = py.detach(|| self.0.ended_to_load(now_us));
        found.map(|(tenant, of)| (tenant.to_owned(), of.generation, of.before, of.first))
    }

    fn add_ended(
        &mut self,
        py: Python<'_>,
        tenant: &str,
        generation: u64,
        rows: Vec<(String, i64)>,
        first: i64,
        now_us: i64,
    ) -> Option<i64> {
        let rows = rows.iter().map(|(contact, at)| (&**contact, *at));
        py.detach(|| self.0.add_ended(tenant, generation, rows, first, now_us))
    }

    fn mark_ended(&mut self, contacts: Vec<(String, String)>) {
        let pairs = contacts
            .iter()
            .map(|(tenant, contact)| (&**tenant, &**contact));
        self.0.mark_ended(pairs);
    }

    fn evict(&mut self, py: Python<'_>, contacts: Vec<(String, String)>) {
        let pairs = contacts
            .iter()
            .map(|(tenant, contact)| (&**tenant, &**contact));
        py.detach(|| self.0.evict(pairs));
    }

    fn contacts_of(
        &mut self,
        py: Python<'_>,
        buffers: Vec<Bound<'_, PyBytes>>,
    ) -> PyResult<Vec<(String, String)>> {
        let buffers = slices(&buffers);
        py.detach(|| Core::contacts_of(&buffers))
            .map_err(value_error)
    }

    #[pyo3(signature = (buffers, now_us, *, shares = None, deferred = Vec::new(), repeats = Vec::new(), excluded = Vec::new(), old_tags = Vec::new(), states = Vec::new(), ended = Vec::new(), defers_ended = false, only = None, merges = Vec::new(), origins = Vec::new(), executions = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments of Python")]
    fn evaluate(
        &mut self,
        py: Python<'_>,
        buffers: Vec<Bound<'_, PyBytes>>,
        now_us: i64,
        shares: Option<(u64, u64)>,
        deferred: Vec<String>,
        repeats: Vec<(String, String)>,
        excluded: Vec<(String, String, String, i64)>,
        old_tags: Vec<(String, String, Vec<u32>)>,
        states: Vec<State>,
        ended: Vec<Ended>,
        defers_ended: bool,
        only: Option<Vec<(String, String, String)>>,
        merges: Vec<(usize, Vec<i64>)>,
        origins: Vec<(usize, String, bool)>,
        executions: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Proposal> {
        let excluded = excluded
            .into_iter()
            .map(|(tenant, run, event, at)| Ok((tenant, run, event_key(&event)?, at)))
            .collect::<PyResult<Vec<ExcludedEvent>>>()?;
        let only = only.map(event_keys).transpose()?;
        let old_tags = old_tags
            .into_iter()
            .map(|(tenant, event, tags)| Ok((tenant, event_key(&event)?, tags)))
            .collect::<PyResult<Vec<OldTags>>>()?;
        let states: Vec<KnownState> = states.into_iter().map(known_state).collect();
        let ended = ended
            .into_iter()
            .map(ended_answer)
            .collect::<PyResult<Vec<_>>>()?;
        let origins: Vec<Origin> = origins.into_iter().map(origin).collect();
        let buffers = slices(&buffers);
        let options = EvaluateOptions {
            shares,
            deferred: &deferred,
            repeats: &repeats,
            excluded: &excluded,
            old_tags: &old_tags,
            states: &states,
            ended: &ended,
            defers_ended,
            only: only.as_deref(),
            merges: &merges,
            origins: &origins,
        };
        let executions = executions.as_ref().map(OwnedOptions::read).transpose()?;
        let proposal = py.detach(|| match &executions {
            None => self.0.evaluate(&buffers, now_us, options),
            Some(owned) => {
                let inputs = owned.inputs();
                let executions = owned.options(&inputs, now_us);
                let core = &self.0;
                core.evaluate_with_executions(&buffers, now_us, options, executions)
            }
        });
        Ok(Proposal::new(proposal.map_err(value_error)?))
    }

    #[pyo3(signature = (proposal, effective, transitions = None))]
    fn apply(
        &mut self,
        py: Python<'_>,
        proposal: &Proposal,
        effective: &[u8],
        transitions: Option<&[u8]>,
    ) -> PyResult<()> {
        let (core, slice) = (proposal.core(), proposal.slice());
        let transitions = transitions.unwrap_or_default();
        py.detach(|| self.0.apply_slice(core, slice, effective, transitions))
            .map_err(value_error)
    }

    #[pyo3(signature = (proposal, dropped = Vec::new()))]
    fn mark_missed(&mut self, proposal: &Proposal, dropped: Vec<String>) {
        if proposal.slice().is_last {
            self.0.mark_missed(proposal.core(), &dropped);
        }
    }

    #[pyo3(signature = (event, now_us, *, excluded = Vec::new(), old_tags = Vec::new(), state = None))]
    fn explain(
        &mut self,
        py: Python<'_>,
        event: &[u8],
        now_us: i64,
        excluded: Vec<(String, String)>,
        old_tags: Vec<u32>,
        state: Option<State>,
    ) -> PyResult<String> {
        let state = state.map(known_state);
        let stored = StoredFacts {
            excluded: &excluded,
            old_tags: &old_tags,
            state: state.as_ref(),
        };
        py.detach(|| self.0.explain(event, now_us, stored))
            .map_err(value_error)
    }

    fn set_zones(&mut self, zones: Vec<(String, Bound<'_, PyBytes>)>) -> PyResult<()> {
        for (name, tzif) in &zones {
            self.0
                .set_zone(name, tzif.as_bytes())
                .map_err(value_error)?;
        }
        Ok(())
    }

    #[pyo3(signature = (tenant_id, *, max_retries, retry_base_ms, notifies))]
    fn set_execution_settings(
        &mut self,
        tenant_id: &str,
        max_retries: u8,
        retry_base_ms: i64,
        notifies: bool,
    ) {
        let settings = TenantSettings {
            max_retries,
            retry_base: retry_base_ms,
            notifies,
        };
        self.0.set_execution_settings(tenant_id, settings);
    }

    fn update_plans(&mut self, workflows: Vec<Bound<'_, PyDict>>) -> PyResult<()> {
        let mut plans = workflows.iter();
        plans.try_for_each(|dict| executions::update_plans(&mut self.0, dict))
    }

    fn load_executions(&mut self, py: Python<'_>, rows: &[u8]) -> PyResult<usize> {
        py.detach(|| self.0.load_executions(rows))
            .map_err(value_error)
    }

    fn load_executions_ended(&mut self) -> bool {
        self.0.load_executions_ended()
    }

    fn advance_timers(&mut self, py: Python<'_>, watermark_ms: i64) {
        py.detach(|| self.0.advance_timers(watermark_ms));
    }

    fn execution_counts<'py>(
        &mut self,
        py: Python<'py>,
        now_ms: i64,
    ) -> PyResult<Bound<'py, PyDict>> {
        executions::counts(py, &self.0.execution_counts(now_ms))
    }

    fn execution_queues(&mut self) -> Vec<(String, String, Option<String>, usize)> {
        let queues = self.0.execution_queues().into_iter();
        let row = |(queue, count): (Queue, usize)| {
            let connection = queue.connection.map(Into::into);
            (queue.tenant.into(), queue.action.into(), connection, count)
        };
        queues.map(row).collect()
    }

    fn queued_executions(
        &mut self,
        tenant_id: &str,
        action: &str,
        connection: Option<&str>,
        limit: usize,
    ) -> Vec<Queued> {
        let queue = Queue {
            tenant: tenant_id.into(),
            action: action.into(),
            connection: connection.map(Into::into),
        };
        let queued = self.0.queued_executions(&queue, limit);
        queued.into_iter().map(executions::queued).collect()
    }

    fn executions_in(&mut self, state: &str) -> PyResult<Vec<ExecutionKey>> {
        let state =
            core_executions::State::of(state).ok_or_else(|| executions::unknown("state"))?;
        Ok(self.0.executions_in(state))
    }

    fn stats<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = self.0.stats();
        let dict = PyDict::new(py);
        dict.set_item("tenants", stats.tenants)?;
        dict.set_item("workflows", stats.workflows)?;
        dict.set_item("goals", stats.goals)?;
        dict.set_item("contacts", stats.contacts)?;
        dict.set_item("enrollments", stats.enrollments)?;
        dict.set_item("listeners", stats.listeners)?;
        dict.set_item("ended_contacts", stats.ended_contacts)?;
        dict.set_item("ended_contacts_dropped", stats.ended_contacts_dropped)?;
        dict.set_item("bytes", stats.bytes)?;
        Ok(dict)
    }
}

/// Tenant, key, target and merges.
type Forward = (String, String, Option<String>, Vec<i64>);

/// Tenant, enrollment id, tags (id, name) and stages (pipeline, stage).
type State = (
    String,
    String,
    Vec<(Option<String>, Option<String>)>,
    Vec<(Option<String>, String)>,
);

/// The origin of a buffer: its index, the merged contact, and whether its events go back.
fn origin((buffer, contact, is_returned): (usize, String, bool)) -> Origin {
    Origin {
        buffer,
        contact,
        is_returned,
    }
}

fn known_state((tenant_id, enrollment_id, tags, stages): State) -> KnownState {
    KnownState {
        tenant_id,
        enrollment_id,
        tags,
        stages,
    }
}
