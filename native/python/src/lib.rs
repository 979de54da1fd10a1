//! Binds `goald-engine` to Python as `goald._native`: conversion and nothing else.
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
    use pyo3::prelude::*;

    use goald_engine::{ids_derived, route};

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
