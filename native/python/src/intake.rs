//! The events of a request body.

use goald_matcher::intake;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::value_error;

#[pyclass(frozen, module = "goald._native")]
pub struct Intake {
    is_list: bool,
    accepted: Vec<(usize, String, Vec<u8>)>,
    rejected: Vec<(usize, Option<String>, String)>,
    of_other_tenants: Vec<usize>,
}

pub fn read(py: Python<'_>, body: &[u8], tenant: &str, now_us: i64) -> PyResult<Intake> {
    py.detach(|| {
        let intake = intake::intake(body, tenant, now_us)?;
        Ok(Intake {
            is_list: intake.is_list,
            of_other_tenants: intake.of_other_tenants(),
            accepted: intake
                .accepted
                .into_iter()
                .map(|event| (event.index, event.contact, event.payload.into_owned()))
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

#[pymethods]
impl Intake {
    #[getter]
    fn is_list(&self) -> bool {
        self.is_list
    }

    #[getter]
    fn accepted<'py>(&self, py: Python<'py>) -> Vec<(usize, String, Bound<'py, PyBytes>)> {
        let row = |(index, contact, payload): &(usize, String, Vec<u8>)| {
            (*index, contact.clone(), PyBytes::new(py, payload))
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
