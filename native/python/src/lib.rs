//! Binds `goald-matcher` to Python as `goald._native`: conversion and nothing else.
//!
//! The contract of every name is in `src/goald/_native.pyi`.

mod engine;
mod intake;
mod proposal;
mod router;
mod workflows;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::exceptions::PyValueError;
    use pyo3::prelude::*;
    use pyo3::types::PyBytes;

    use goald_matcher::{buffer, early, ids_derived, route};

    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::intake::Intake;
    #[pymodule_export]
    use crate::proposal::{Achievements, Effects, Exits, Proposal};
    #[pymodule_export]
    use crate::router::{Routed, Router};

    #[pymodule_export]
    const SLOTS: usize = route::SLOTS;

    #[pyfunction]
    fn intake(py: Python<'_>, body: &[u8], tenant_id: &str, now_us: i64) -> PyResult<Intake> {
        crate::intake::read(py, body, tenant_id, now_us)
    }

    #[pyfunction]
    fn buffer_halves<'py>(
        py: Python<'py>,
        buffer: &[u8],
    ) -> PyResult<Option<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let halves =
            buffer::halves(buffer).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let bytes = |half: Vec<u8>| PyBytes::new(py, &half);
        Ok(halves.map(|(first, second)| (bytes(first), bytes(second))))
    }

    #[pyfunction]
    fn buffer_entries<'py>(
        py: Python<'py>,
        buffer: &[u8],
    ) -> PyResult<Vec<(Bound<'py, PyBytes>, Bound<'py, PyBytes>)>> {
        let entries = buffer::BufferReader::new(buffer)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let entry = |entry: buffer::Entry<'_>| {
            let id = buffer::entry_id(entry.ms, entry.seq);
            (
                PyBytes::new(py, id.as_bytes()),
                PyBytes::new(py, entry.event),
            )
        };
        Ok(entries.map(entry).collect())
    }

    #[pyfunction]
    fn goal_events<'py>(
        py: Python<'py>,
        buffers: Vec<Bound<'py, PyBytes>>,
        now_us: i64,
    ) -> PyResult<Vec<(String, String, Bound<'py, PyBytes>)>> {
        let buffers: Vec<&[u8]> = buffers.iter().map(|buffer| buffer.as_bytes()).collect();
        let found = py
            .detach(|| early::goal_events(&buffers, now_us))
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let event = |event: early::GoalEvent| {
            let buffer = PyBytes::new(py, &event.buffer);
            (event.tenant_id, event.contact_id, buffer)
        };
        Ok(found.into_iter().map(event).collect())
    }

    #[pyfunction]
    fn slot_of(tenant_id: &str, contact_id: &str) -> u8 {
        route::slot_of(tenant_id, contact_id)
    }

    #[pyfunction]
    fn exit_id(tenant_id: &str, enrollment_id: &str) -> String {
        ids_derived::exit_id(tenant_id, enrollment_id).to_string()
    }

    #[pyfunction]
    fn achievement_id(tenant_id: &str, enrollment_id: &str, goal_id: &str) -> String {
        ids_derived::achievement_id(tenant_id, enrollment_id, goal_id).to_string()
    }
}
