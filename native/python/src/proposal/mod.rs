//! A proposal, or a slice of one. Columns become lists when they are read.

mod columns;

use std::collections::BTreeMap;
use std::sync::Arc;

use goald_matcher::proposal::{EndedRun, Owner, Proposal as Core, Slice, SourceEntry};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::executions::ExecutionProposal;

pub use self::columns::{Achievements, Effects, Exits};

#[derive(Clone)]
#[pyclass(frozen, module = "goald._native")]
pub struct Proposal {
    core: Arc<Core>,
    slice: Arc<Slice>,
}

impl Proposal {
    pub fn new(core: Core) -> Proposal {
        let slice = Arc::new(core.whole());
        Proposal {
            core: Arc::new(core),
            slice,
        }
    }

    pub fn core(&self) -> &Core {
        &self.core
    }

    pub fn slice(&self) -> &Slice {
        &self.slice
    }

    fn with_slice(&self, slice: Slice) -> Proposal {
        Proposal {
            core: self.core.clone(),
            slice: Arc::new(slice),
        }
    }

    /// A total for the whole proposal. The last slice returns it and the others return the
    /// default, so that it is counted once.
    fn if_last<T: Default>(&self, value: impl FnOnce(&Core) -> T) -> T {
        if self.slice.is_last {
            value(&self.core)
        } else {
            T::default()
        }
    }

    fn rejected<'py>(
        &self,
        py: Python<'py>,
        owners: &BTreeMap<usize, Owner<'_>>,
        ended: &BTreeMap<usize, EndedRun>,
    ) -> Vec<Reject<'py>> {
        let row = |(source, reason): (&SourceEntry, &str)| {
            (
                source.buffer,
                PyBytes::new(py, source.entry_id.as_bytes()),
                reason.to_owned(),
                PyBytes::new(py, &source.bytes),
            )
        };
        let rejected = self.core.rejected_in(&self.slice, owners, ended);
        rejected.into_iter().map(row).collect()
    }
}

type Deletion = (String, String, u8, i64);
type Acknowledgement = (String, String, String, String, u8, Option<i32>, i64);
type Reversal = (String, String, u8, &'static str, Option<String>, i64);
type ContactEvent = (String, String, u8, String, String, i64, String, i64);
type MissedEvent<'py> = (
    String,
    String,
    u8,
    String,
    String,
    Bound<'py, PyBytes>,
    Vec<u32>,
);
type Merge = (String, String, u8, String, String, i64, i64);
type MergeSource<'py> = (
    usize,
    Bound<'py, PyBytes>,
    Bound<'py, PyBytes>,
    u8,
    Bound<'py, PyBytes>,
);
type Forwarded<'py> = (usize, u8, Bound<'py, PyBytes>, Vec<i64>, String);
type DoubtfulStart = (String, String, String, i64);
type EventCheck = (String, String, String, String, String, i64, i64);
type EndedCheck = (String, String, String, String, i64, i64, i64, bool);
type TagCheck = (ContactEvent, usize, usize);
type StateCheck = (String, String, String, Option<String>, usize, usize);
type Deferred<'py> = (usize, String, u32, Bound<'py, PyBytes>);
type Reject<'py> = (usize, Bound<'py, PyBytes>, String, Bound<'py, PyBytes>);

#[pymethods]
impl Proposal {
    fn slices(&self, max_effects: usize, max_bytes: usize) -> Vec<Proposal> {
        let slices = self.core.slices(max_effects, max_bytes);
        slices
            .into_iter()
            .map(|slice| self.with_slice(slice))
            .collect()
    }

    fn halves(&self) -> Option<(Proposal, Proposal)> {
        let (first, second) = self.core.halves(&self.slice)?;
        Some((self.with_slice(first), self.with_slice(second)))
    }

    #[getter]
    fn events(&self) -> usize {
        self.if_last(|core| core.events)
    }

    #[getter]
    fn work(&self) -> u64 {
        self.if_last(|core| core.work)
    }

    #[getter]
    fn deferred_events(&self) -> u64 {
        let events = |core: &Core| core.deferred.iter().map(|row| u64::from(row.events)).sum();
        self.if_last(events)
    }

    #[getter]
    fn deferred<'py>(&self, py: Python<'py>) -> Vec<Deferred<'py>> {
        let row = |row: &goald_matcher::proposal::Deferred| {
            let events = PyBytes::new(py, &row.bytes);
            (row.buffer, row.tenant_id.to_string(), row.events, events)
        };
        self.if_last(|core| core.deferred.iter().map(row).collect())
    }

    #[getter]
    fn refused_starts(&self) -> usize {
        self.if_last(|core| core.refused_starts)
    }

    #[getter]
    fn doubtful_starts(&self) -> Vec<DoubtfulStart> {
        let row = |row: &goald_matcher::proposal::DoubtfulStart| {
            (
                row.tenant_id.to_string(),
                row.enrollment_id.to_string(),
                row.contact_id.to_string(),
                row.enrolled_at,
            )
        };
        self.if_last(|core| core.doubtful_starts.iter().map(row).collect())
    }

    #[getter]
    fn event_checks(&self) -> Vec<EventCheck> {
        let row = |row: &goald_matcher::proposal::EventCheck| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.workflow_id.to_string(),
                row.enrollment_id.to_string(),
                row.event.to_string(),
                row.received_at,
                row.next_merge,
            )
        };
        self.if_last(|core| core.event_checks.iter().map(row).collect())
    }

    #[getter]
    fn ended_checks(&self) -> Vec<EndedCheck> {
        let row = |row: &goald_matcher::proposal::EndedCheck| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.workflow_id.to_string(),
                row.event.to_string(),
                row.time,
                row.first.began,
                row.first.ended,
                row.counts,
            )
        };
        self.if_last(|core| core.ended_checks.iter().map(row).collect())
    }

    #[getter]
    fn tag_checks(&self) -> Vec<TagCheck> {
        let row = |row: &goald_matcher::proposal::TagCheck| {
            (contact_event(&row.event), row.contact_events, row.deletions)
        };
        self.if_last(|core| core.tag_checks.iter().map(row).collect())
    }

    #[getter]
    fn state_checks(&self) -> Vec<StateCheck> {
        let row = |row: &goald_matcher::proposal::StateCheck| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.enrollment_id.to_string(),
                row.started_by.map(|event| event.to_string()),
                row.contact_events,
                row.deletions,
            )
        };
        self.if_last(|core| core.state_checks.iter().map(row).collect())
    }

    #[getter]
    fn ignored(&self) -> usize {
        self.if_last(|core| core.ignored)
    }

    #[getter]
    fn events_by_type(&self) -> BTreeMap<&'static str, usize> {
        self.if_last(|core| core.events_by_type.clone())
    }

    #[getter]
    fn changes_nothing(&self) -> bool {
        self.core.slice_changes_nothing(&self.slice)
    }

    #[getter]
    fn executions(&self) -> Option<ExecutionProposal> {
        ExecutionProposal::of(self)
    }

    #[getter]
    fn effects(&self) -> Effects {
        Effects(self.clone())
    }

    #[getter]
    fn achievements(&self) -> Achievements {
        Achievements(self.clone())
    }

    #[getter]
    fn exits(&self) -> Exits {
        Exits(self.clone())
    }

    #[getter]
    fn used_events(&self) -> Vec<(usize, String, i64)> {
        let rows = self.core.used_events_in(&self.slice);
        rows.map(|(effect, row)| (effect, row.event.to_string(), row.received_at))
            .collect()
    }

    #[getter]
    fn deletions(&self) -> Vec<Deletion> {
        let row = |row: &goald_matcher::proposal::Deletion| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.time,
            )
        };
        self.if_last(|core| core.deletions.iter().map(row).collect())
    }

    #[getter]
    fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let row = |row: &goald_matcher::proposal::Acknowledgement| {
            (
                row.tenant_id.to_string(),
                row.enrollment_id.to_string(),
                row.contact_id.to_string(),
                row.workflow_id.to_string(),
                row.slot,
                row.cancelled_actions,
                row.time,
            )
        };
        self.if_last(|core| core.acknowledgements.iter().map(row).collect())
    }

    #[getter]
    fn reversals(&self) -> Vec<Reversal> {
        let row = |row: &goald_matcher::proposal::Reversal| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.goal_type.name(),
                row.reference.as_deref().map(str::to_owned),
                row.time,
            )
        };
        self.if_last(|core| core.reversals.iter().map(row).collect())
    }

    #[getter]
    fn contact_events(&self) -> Vec<ContactEvent> {
        self.if_last(|core| core.contact_events.iter().map(contact_event).collect())
    }

    #[getter]
    fn missed_events<'py>(&self, py: Python<'py>) -> Vec<MissedEvent<'py>> {
        let row = |row: &goald_matcher::proposal::MissedEvent| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.event.to_string(),
                row.source.entry_id.clone(),
                PyBytes::new(py, &row.source.bytes),
                row.old_tags.to_vec(),
            )
        };
        self.if_last(|core| core.missed_events.iter().map(row).collect())
    }

    #[getter]
    fn missed_runs(&self) -> Vec<(usize, String, String)> {
        let row = |row: &goald_matcher::proposal::MissedRun| {
            (
                row.number,
                row.workflow_id.to_string(),
                row.enrollment_id.to_string(),
            )
        };
        self.if_last(|core| core.missed_runs.iter().map(row).collect())
    }

    #[getter]
    fn merges(&self) -> Vec<Merge> {
        let row = |row: &goald_matcher::proposal::Merge| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.into_contact_id.to_string(),
                row.event.to_string(),
                row.time,
                row.received_at,
            )
        };
        self.if_last(|core| core.merges.iter().map(row).collect())
    }

    #[getter]
    fn merge_sources<'py>(&self, py: Python<'py>) -> Vec<MergeSource<'py>> {
        let row = |row: &goald_matcher::proposal::Merge| {
            (
                row.source.buffer,
                PyBytes::new(py, row.source.entry_id.as_bytes()),
                PyBytes::new(py, &row.source.bytes),
                row.transfer.slot,
                PyBytes::new(py, &row.transfer.bytes),
            )
        };
        self.if_last(|core| core.merges.iter().map(row).collect())
    }

    #[getter]
    fn forwarded<'py>(&self, py: Python<'py>) -> Vec<Forwarded<'py>> {
        let row = |row: &goald_matcher::proposal::Forwarded| {
            let events = PyBytes::new(py, &row.bytes);
            (
                row.buffer,
                row.slot,
                events,
                row.merges.to_vec(),
                row.contact.to_string(),
            )
        };
        self.if_last(|core| core.forwarded.iter().map(row).collect())
    }

    #[getter]
    fn rejects<'py>(&self, py: Python<'py>) -> Vec<Reject<'py>> {
        self.rejected(py, &BTreeMap::new(), &BTreeMap::new())
    }

    #[pyo3(signature = (owners, ended = Vec::new()))]
    fn rejects_given_owners<'py>(
        &self,
        py: Python<'py>,
        owners: Vec<(usize, String, String)>,
        ended: Vec<(usize, i64, Option<i64>)>,
    ) -> PyResult<Vec<Reject<'py>>> {
        let effects = self.slice.effects.len();
        let mut numbers = owners
            .iter()
            .map(|row| row.0)
            .chain(ended.iter().map(|row| row.0));
        if numbers.any(|effect| effect >= effects) {
            return Err(no_effect());
        }
        let owner = |(effect, contact_id, workflow_id)| {
            let owner = Owner {
                contact_id,
                workflow_id,
            };
            (effect, owner)
        };
        let owners = owners
            .iter()
            .map(|(effect, contact, workflow)| owner((*effect, &**contact, &**workflow)));
        let ended = ended
            .into_iter()
            .map(|(effect, enrolled_at, accepted_until)| {
                let run = EndedRun {
                    enrolled_at,
                    accepted_until,
                };
                (effect, run)
            });
        Ok(self.rejected(py, &owners.collect(), &ended.collect()))
    }

    #[getter]
    fn contenders(&self) -> Vec<(usize, String, String)> {
        let effects = self.core.effects_in(&self.slice).iter().enumerate();
        let rows = effects.flat_map(|(number, effect)| {
            let contenders = effect.contenders.iter();
            contenders.map(move |row| {
                (
                    number,
                    row.contact_id.to_string(),
                    row.workflow_id.to_string(),
                )
            })
        });
        rows.collect()
    }

    fn contender_is_owner(&self, effect: usize, contact: &str, workflow: &str) -> PyResult<bool> {
        let owner = Owner {
            contact_id: contact,
            workflow_id: workflow,
        };
        self.core
            .effects_in(&self.slice)
            .get(effect)
            .map(|effect| effect.contender_is_owner(owner))
            .ok_or_else(no_effect)
    }
}

fn contact_event(row: &goald_matcher::proposal::ContactEvent) -> ContactEvent {
    (
        row.tenant_id.to_string(),
        row.contact_id.to_string(),
        row.slot,
        row.event_type.to_string(),
        row.event.to_string(),
        row.time,
        row.data.to_string(),
        row.dated,
    )
}

fn no_effect() -> PyErr {
    PyIndexError::new_err("the proposal has no effect with this index")
}
