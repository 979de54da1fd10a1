//! A proposal's columns, made into lists when they are asked for.

use std::collections::BTreeMap;
use std::sync::Arc;

use goald_engine::proposal::{Achievement, Effect, Exit, Proposal as Core, Refused};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(frozen, module = "goald._native")]
pub struct Proposal(Arc<Core>);

impl Proposal {
    pub fn new(core: Core) -> Proposal {
        Proposal(Arc::new(core))
    }

    pub fn core(&self) -> &Core {
        &self.0
    }
}

type Deletion = (String, String, u8, i64);
type Acknowledgement = (String, String, String, String, u8, Option<i32>, i64);
type Reject<'py> = (usize, Bound<'py, PyBytes>, String, Bound<'py, PyBytes>);

#[pymethods]
impl Proposal {
    #[getter]
    fn events(&self) -> usize {
        self.0.events
    }

    #[getter]
    fn passed_over(&self) -> usize {
        self.0.passed_over
    }

    #[getter]
    fn events_by_type(&self) -> BTreeMap<&'static str, usize> {
        self.0.events_by_type.clone()
    }

    #[getter]
    fn changes_nothing(&self) -> bool {
        self.0.changes_nothing()
    }

    #[getter]
    fn effects(&self) -> Effects {
        Effects(self.0.clone())
    }

    #[getter]
    fn achievements(&self) -> Achievements {
        Achievements(self.0.clone())
    }

    #[getter]
    fn exits(&self) -> Exits {
        Exits(self.0.clone())
    }

    #[getter]
    fn deletions(&self) -> Vec<Deletion> {
        let row = |row: &goald_engine::proposal::Deletion| {
            (
                row.tenant_id.to_string(),
                row.contact_id.to_string(),
                row.slot,
                row.time,
            )
        };
        self.0.deletions.iter().map(row).collect()
    }

    #[getter]
    fn acknowledgements(&self) -> Vec<Acknowledgement> {
        let row = |row: &goald_engine::proposal::Acknowledgement| {
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
        self.0.acknowledgements.iter().map(row).collect()
    }

    #[getter]
    fn rejects<'py>(&self, py: Python<'py>) -> Vec<Reject<'py>> {
        rejects(py, &self.0.refused)
    }

    fn reject<'py>(
        &self,
        py: Python<'py>,
        effect: usize,
        reason: &str,
    ) -> PyResult<Vec<Reject<'py>>> {
        let refused = self
            .0
            .refuse(effect, reason)
            .ok_or_else(|| PyIndexError::new_err("the proposal has no such effect"))?;
        Ok(rejects(py, &refused))
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
pub struct Effects(Arc<Core>);

impl Effects {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Effect) -> T) -> Vec<T> {
        self.0.effects.iter().map(value).collect()
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
        self.0.effects.len()
    }
}

#[pyclass(frozen, module = "goald._native")]
pub struct Achievements(Arc<Core>);

impl Achievements {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Achievement) -> T) -> Vec<T> {
        self.0.achievements.iter().map(value).collect()
    }
}

#[pymethods]
impl Achievements {
    #[getter]
    fn effect(&self) -> Vec<usize> {
        self.column(|row| row.effect)
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
        self.0.achievements.len()
    }
}

#[pyclass(frozen, module = "goald._native")]
pub struct Exits(Arc<Core>);

impl Exits {
    fn column<'a, T>(&'a self, value: impl Fn(&'a Exit) -> T) -> Vec<T> {
        self.0.exits.iter().map(value).collect()
    }
}

#[pymethods]
impl Exits {
    #[getter]
    fn effect(&self) -> Vec<usize> {
        self.column(|row| row.effect)
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
        self.0.exits.len()
    }
}
