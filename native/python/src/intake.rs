//! The events of a request body.

use goald_matcher::intake;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::convert::value_error;

#[pyclass(frozen, module = "goald._native")]
pub struct Intake {
    is_list: bool,
    accepted: Vec<(usize, String, Vec<u8>, u64)>,
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
                .map(|event| {
                    let payload = event.payload.into_owned();
                    (event.index, event.contact, payload, event.work)
                })
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

type Accepted<'py> = (usize, String, Bound<'py, PyBytes>, u64);

#[pymethods]
impl Intake {
    #[getter]
    fn is_list(&self) -> bool {
        self.is_list
    }

    #[getter]
    fn accepted<'py>(&self, py: Python<'py>) -> Vec<Accepted<'py>> {
        let row = |(index, contact, payload, work): &(usize, String, Vec<u8>, u64)| {
            (*index, contact.clone(), PyBytes::new(py, payload), *work)
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
