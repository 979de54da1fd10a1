//! Binds `goald-matcher` to Python as `goald._native`. It converts values and decides nothing.
//!
//! The contract of every name is in `src/goald/_native.pyi`.

#[macro_use]
mod columns;
mod convert;
mod ended;
mod executions;
mod intake;
mod matcher;
mod proposal;
mod router;
mod workflows;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use goald_matcher::buffer::BufferError;
    use goald_matcher::evaluate::GoalEvent;
    use goald_matcher::event::{loose_time, time};
    use goald_matcher::{buffer, evaluate, ids, route};
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    use crate::convert::{slices, value_error};

    #[pymodule_export]
    use crate::executions::{ExecutionLogs, ExecutionProposal, ExecutionTransitions};
    #[pymodule_export]
    use crate::intake::Intake;
    #[pymodule_export]
    use crate::matcher::Matcher;
    #[pymodule_export]
    use crate::proposal::{Achievements, Effects, Exits, Proposal};
    #[pymodule_export]
    use crate::router::{Routed, Router};

    #[pymodule_export]
    const SLOTS: usize = route::SLOTS;
    #[pymodule_export]
    const INTERFACE: &str = include_str!("../../../src/goald/_native.pyi");

    #[pyfunction]
    #[pyo3(signature = (body, tenant_id, now_us, defaults=None))]
    fn intake(
        py: Python<'_>,
        body: &[u8],
        tenant_id: &str,
        now_us: i64,
        defaults: Option<(&str, &str)>,
    ) -> PyResult<Intake> {
        crate::intake::read(py, body, tenant_id, now_us, defaults)
    }

    #[pyfunction]
    fn time_us(text: &str) -> Option<i64> {
        time::parse(text).or_else(|| loose_time::parse(text))
    }

    #[pyfunction]
    fn buffer_halves<'py>(
        py: Python<'py>,
        buffer: &[u8],
    ) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let halves = buffer::halves(buffer).map_err(value_error)?;
        Ok(halves.map(|(first, second)| (PyBytes::new(py, &first), PyBytes::new(py, &second))))
    }

    #[pyfunction]
    fn buffer_entries<'py>(
        py: Python<'py>,
        buffer: &[u8],
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let entries = buffer::BufferReader::new(buffer).map_err(value_error)?;
        let row = |entry: buffer::Entry<'_>| {
            let id = buffer::entry_id(entry.ms, entry.seq);
            (
                PyBytes::new(py, id.as_bytes()),
                PyBytes::new(py, entry.event),
            )
        };
        Ok(entries.map(row).collect())
    }

    #[pyfunction]
    fn buffer_of<'py>(
        py: Python<'py>,
        entries: Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let mut writer = buffer::BufferWriter::new();
        for (id, event) in &entries {
            let (ms, seq) = buffer::parse_entry_id(id.as_bytes())
                .ok_or_else(|| PyValueError::new_err("not the id of a stream entry"))?;
            writer.push(ms, seq, event.as_bytes());
        }
        Ok(PyBytes::new(py, &writer.finish()))
    }

    #[pyfunction]
    fn goal_events<'py>(
        py: Python<'py>,
        buffers: Vec<Bound<'py, PyBytes>>,
        now_us: i64,
    ) -> PyResult<Vec<(String, String, Bound<'py, PyBytes>)>> {
        selected(py, &buffers, now_us, evaluate::goal_events)
    }

    #[pyfunction]
    fn run_events<'py>(
        py: Python<'py>,
        buffers: Vec<Bound<'py, PyBytes>>,
        now_us: i64,
    ) -> PyResult<Vec<(String, String, Bound<'py, PyBytes>)>> {
        selected(py, &buffers, now_us, evaluate::run_events)
    }

    type Select = fn(&[&[u8]], i64) -> Result<Vec<GoalEvent>, BufferError>;

    /// The rows of these functions.
    fn selected<'py>(
        py: Python<'py>,
        buffers: &[Bound<'py, PyBytes>],
        now_us: i64,
        select: Select,
    ) -> PyResult<Vec<(String, String, Bound<'py, PyBytes>)>> {
        let buffers = slices(buffers);
        let events = py
            .detach(|| select(&buffers, now_us))
            .map_err(value_error)?;
        let row = |event: GoalEvent| {
            let buffer = PyBytes::new(py, &event.buffer);
            (event.tenant_id, event.contact_id, buffer)
        };
        Ok(events.into_iter().map(row).collect())
    }

    #[pyfunction]
    fn slot_of(tenant_id: &str, contact_id: &str) -> u8 {
        route::slot_of(tenant_id, contact_id)
    }

    #[pyfunction]
    fn with_contact<'py>(
        py: Python<'py>,
        event: &[u8],
        contact_id: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let event = route::with_contact(event, contact_id).map_err(value_error)?;
        Ok(PyBytes::new(py, &event))
    }

    #[pyfunction]
    fn contact_of(event: &[u8]) -> PyResult<(String, String)> {
        let (tenant, contact) = route::routing_key(event).map_err(value_error)?;
        Ok((tenant.to_string(), contact.to_string()))
    }

    #[pyfunction]
    fn exit_id(tenant_id: &str, enrollment_id: &str) -> String {
        ids::derived::exit_id(tenant_id, enrollment_id).to_string()
    }

    #[pyfunction]
    fn event_key(source: &str, event_id: &str) -> String {
        ids::derived::event_key(source, event_id).to_string()
    }

    #[pyfunction]
    fn achievement_id(tenant_id: &str, enrollment_id: &str, goal_id: &str) -> String {
        ids::derived::achievement_id(tenant_id, enrollment_id, goal_id).to_string()
    }
}
