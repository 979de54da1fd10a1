//! A proposal's columns, made into lists when they are asked for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use goald_matcher::proposal::{Achievement, Effect, Exit, Owner, Proposal as Core, Refused};
use goald_matcher::slice::Slice;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A slice of a proposal, or all of it.
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

    fn of(&self, slice: Slice) -> Proposal {
        Proposal {
            core: self.core.clone(),
            slice: Arc::new(slice),
        }
    }

    fn effects_held(&self) -> &[Effect] {
        &self.core.effects[self.slice.effects.clone()]
    }
}

type Deletion = (String, String, u8, i64);
type Acknowledgement = (String, String, String, String, u8, Option<i32>, i64);
type Reject<'py> = (usize, Bound<'py, PyBytes>, String, Bound<'py, PyBytes>);

#[pymethods]
impl Proposal {
    fn slices(&self, most_effects: usize, most_bytes: usize) -> Vec<Proposal> {
        let slices = self.core.slices(most_effects, most_bytes);
        slices.into_iter().map(|slice| self.of(slice)).collect()
    }

    fn halves(&self) -> Option<(Proposal, Proposal)> {
        let (first, second) = self.core.halves(&self.slice)?;
        Some((self.of(first), self.of(second)))
    }

    #[getter]
    fn events(&self) -> usize {
        self.last(|core| core.events)
    }

    #[getter]
    fn passed_over(&self) -> usize {
        self.last(|core| core.passed_over)
    }

    #[getter]
    fn events_by_type(&self) -> BTreeMap<&'static str, usize> {
        self.last(|core| core.events_by_type.clone())
    }

    #[getter]
    fn changes_nothing(&self) -> bool {
        let tail = !self.core.deletions.is_empty() || !self.core.acknowledgements.is_empty();
        self.slice.effects.is_empty() && !(self.slice.is_last && tail)
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
    fn deletions(&self) -> Vec<Deletion> {
        let row = |row: &goald_matcher::proposal::Deletion| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.time,
            )
        };
        self.last(|core| core.deletions.iter().map(row).collect())
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
        self.last(|core| core.acknowledgements.iter().map(row).collect())
    }

    #[getter]
    fn rejects<'py>(&self, py: Python<'py>) -> Vec<Reject<'py>> {
        self.refused(py, &HashMap::new())
    }

    fn rejects_with<'py>(
        &self,
        py: Python<'py>,
        owners: Vec<(usize, String, String)>,
    ) -> PyResult<Vec<Reject<'py>>> {
        let effects = self.effects_held().len();
        if owners.iter().any(|&(effect, ..)| effect >= effects) {
            return Err(PyIndexError::new_err("the proposal has no such effect"));
        }
        let owner = |(effect, contact_id, workflow_id): &'_ (usize, String, String)| {
            (*effect, (contact_id.clone(), workflow_id.clone()))
        };
        Ok(self.refused(py, &owners.iter().map(owner).collect()))
    }

    fn has_rightful(&self, effect: usize, contact: &str, workflow: &str) -> PyResult<bool> {
        let owner = Owner {
            contact_id: contact,
            workflow_id: workflow,
        };
        self.effects_held()
            .get(effect)
            .map(|effect| effect.has_rightful(owner))
            .ok_or_else(|| PyIndexError::new_err("the proposal has no such effect"))
    }
}

impl Proposal {
    /// `owners`: contact and workflow, by effects whose ids are another's in Postgres.
    fn refused<'py>(
        &self,
        py: Python<'py>,
        owners: &HashMap<usize, (String, String)>,
    ) -> Vec<Reject<'py>> {
        let mut found = self.last(|core| rejects(py, &core.refused));
        for (number, effect) in self.effects_held().iter().enumerate() {
            let owner = owners.get(&number).map(|(contact_id, workflow_id)| Owner {
                contact_id,
                workflow_id,
            });
            if owner.is_some() || !effect.rivals.is_empty() {
                found.extend(rejects(py, &effect.refused(owner)));
            }
        }
        found
    }

    /// What hangs on no effect, of the last slice; nothing of the others.
    fn last<T: Default>(&self, value: impl FnOnce(&Core) -> T) -> T {
        if self.slice.is_last {
            value(&self.core)
        } else {
            T::default()
        }
    }
}

fn rejects<'py>(py: Python<'py>, refused: &[Refused]) -> Vec<Reject<'py>> {
    let row = |Refused { source, reason }: &Refused| {
        let id = PyBytes::new(py, source.entry_id.as_bytes());
        (
            source.buffer,
            id,
            reason.clone(),
            PyBytes::new(py, &source.bytes),
        )
    };
    refused.iter().map(row).collect()
}

#[pyclass(frozen, module = "goald._native")]
pub struct Effects(Proposal);

impl Effects {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Effect) -> T) -> Vec<T> {
        self.0.effects_held().iter().map(value).collect()
    }
}

#[pymethods]
impl Effects {
    #[getter]
    fn tenant_id(&self) -> Vec<&str> {
        self.column(|row| &*row.tenant_id)
    }

    #[getter]
    fn enrollment_id(&self) -> Vec<&str> {
        self.column(|row| &*row.enrollment_id)
    }

    #[getter]
    fn contact_id(&self) -> Vec<&str> {
        self.column(|row| &*row.contact_id)
    }

    #[getter]
    fn workflow_id(&self) -> Vec<&str> {
        self.column(|row| &*row.workflow_id)
    }

    #[getter]
    fn slot(&self) -> Vec<u16> {
        self.column(|row| u16::from(row.slot))
    }

    #[getter]
    fn is_new(&self) -> Vec<bool> {
        self.column(Effect::is_new)
    }

    #[getter]
    fn status(&self) -> Vec<&'static str> {
        self.column(|row| row.status.name())
    }

    #[getter]
    fn enrolled_at(&self) -> Vec<i64> {
        self.column(|row| row.enrolled_at)
    }

    #[getter]
    fn ended_at(&self) -> Vec<Option<i64>> {
        self.column(|row| row.ended_at)
    }

    #[getter]
    fn met_goals(&self) -> Vec<String> {
        self.column(|row| {
            let goals: Vec<String> = row.met.iter().map(ToString::to_string).collect();
            format!("{{{}}}", goals.join(","))
        })
    }

    #[getter]
    fn pending_actions(&self) -> Vec<Option<i32>> {
        self.column(|row| row.pending_actions)
    }

    fn __len__(&self) -> usize {
        self.0.effects_held().len()
    }
}

#[pyclass(frozen, module = "goald._native")]
pub struct Achievements(Proposal);

impl Achievements {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Achievement) -> T) -> Vec<T> {
        let rows = &self.0.core.achievements;
        let slice = &self.0.slice.achievements;
        slice.iter().map(|&row| value(&rows[row])).collect()
    }
}

#[pymethods]
impl Achievements {
    #[getter]
    fn effect(&self) -> Vec<usize> {
        let first = self.0.slice.effects.start;
        self.column(|row| row.effect - first)
    }

    #[getter]
    fn id(&self) -> Vec<String> {
        self.column(|row| row.id.to_string())
    }

    #[getter]
    fn goal_id(&self) -> Vec<String> {
        self.column(|row| row.goal_id.to_string())
    }

    #[getter]
    fn goal_type(&self) -> Vec<&'static str> {
        self.column(|row| row.goal_type.name())
    }

    #[getter]
    fn achieved_at(&self) -> Vec<i64> {
        self.column(|row| row.achieved_at)
    }

    #[getter]
    fn trigger_event(&self) -> Vec<&str> {
        self.column(|row| &*row.trigger_event)
    }

    #[getter]
    fn metadata(&self) -> Vec<&str> {
        self.column(|row| &*row.metadata)
    }

    fn __len__(&self) -> usize {
        self.0.slice.achievements.len()
    }
}

#[pyclass(frozen, module = "goald._native")]
pub struct Exits(Proposal);

impl Exits {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Exit) -> T) -> Vec<T> {
        let rows = &self.0.core.exits;
        let slice = &self.0.slice.exits;
        slice.iter().map(|&row| value(&rows[row])).collect()
    }
}

#[pymethods]
impl Exits {
    #[getter]
    fn effect(&self) -> Vec<usize> {
        let first = self.0.slice.effects.start;
        self.column(|row| row.effect - first)
    }

    #[getter]
    fn id(&self) -> Vec<String> {
        self.column(|row| row.id.to_string())
    }

    #[getter]
    fn goal_type(&self) -> Vec<&'static str> {
        self.column(|row| row.goal_type.name())
    }

    #[getter]
    fn goal_ids(&self) -> Vec<Vec<String>> {
        self.column(|row| row.goal_ids.iter().map(ToString::to_string).collect())
    }

    #[getter]
    fn achieved_at(&self) -> Vec<i64> {
        self.column(|row| row.achieved_at)
    }

    #[getter]
    fn event_id(&self) -> Vec<&str> {
        self.column(|row| &*row.event_id)
    }

    #[getter]
    fn event_source(&self) -> Vec<&str> {
        self.column(|row| &*row.event_source)
    }

    #[getter]
    fn event_type(&self) -> Vec<&str> {
        self.column(|row| &*row.event_type)
    }

    #[getter]
    fn traceparent(&self) -> Vec<Option<&str>> {
        self.column(|row| row.traceparent.as_deref())
    }

    #[getter]
    fn received_at(&self) -> Vec<i64> {
        self.column(|row| row.received_at)
    }

    fn __len__(&self) -> usize {
        self.0.slice.exits.len()
    }
}
