//! The events of a request body.

use goald_matcher::intake;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::value_error;

#[pyclass(frozen, module = "goald._native")]
pub struct Intake {
    is_list: bool,
    accepted: Vec<intake::AcceptedEvent<'static>>,
    rejected: Vec<(usize, Option<String>, String)>,
    of_other_tenants: Vec<usize>,
}

pub fn read(
    py: Python<'_>,
    body: &[u8],
    tenant: &str,
    now_us: i64,
    defaults: Option<(&str, &str)>,
) -> PyResult<Intake> {
    let defaults = defaults.map(|(source, id)| intake::Defaults { source, id });
    py.detach(|| {
        let intake = intake::intake(body, tenant, now_us, defaults)?;
        Ok(Intake {
            is_list: intake.is_list,
            of_other_tenants: intake.of_other_tenants(),
            accepted: intake
                .accepted
                .into_iter()
                .map(intake::AcceptedEvent::into_owned)
                .collect(),
            rejected: intake
                .rejected
                .into_iter()
                .map(|event| (event.index, event.id, event.reject.to_string()))
                .collect(),
        })
    })
    .map_err(|error: intake::BodyError| value_error(error))
}

/// (enrollment, workflow, enrolled at) of a start.
type Start = (String, String, i64);

/// (index, contact, payload, work, id, source, type, start).
type Accepted<'py> = (
    usize,
    String,
    Bound<'py, PyBytes>,
    u64,
    String,
    String,
    String,
    Option<Start>,
);

#[pymethods]
impl Intake {
    #[getter]
    fn is_list(&self) -> bool {
        self.is_list
    }

    #[getter]
    fn accepted<'py>(&self, py: Python<'py>) -> Vec<Accepted<'py>> {
        let row = |event: &intake::AcceptedEvent<'_>| {
            let known = event.known.clone();
            let start = known
                .start
                .map(|start| (start.enrollment_id, start.workflow_id, start.enrolled_at_us));
            let payload = PyBytes::new(py, &event.payload);
            (
                event.index,
                known.contact,
                payload,
                known.work,
                known.id,
                known.source,
                known.name,
                start,
            )
        };
        self.accepted.iter().map(row).collect()
    }

    #[getter]
    fn rejected(&self) -> Vec<(usize, Option<String>, String)> {
        self.rejected.clone()
    }

    #[getter]
    fn of_other_tenants(&self) -> Vec<usize> {
        self.of_other_tenants.clone()
    }
}
