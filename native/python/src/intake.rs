//! Bodies of requests, cut and checked.

use goald_matcher::intake;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

#[pyclass(frozen, module = "goald._native")]
pub struct Intake {
    is_list: bool,
    taken: Vec<(usize, String, Vec<u8>)>,
    refused: Vec<(usize, Option<String>, String)>,
    of_others: Vec<usize>,
}

pub fn read(py: Python<'_>, body: &[u8], tenant: &str, now_us: i64) -> PyResult<Intake> {
    py.detach(|| {
        let found = intake::intake(body, tenant, now_us)?;
        Ok(Intake {
            is_list: found.is_list,
            of_others: found.of_others(),
            taken: found
                .taken
                .into_iter()
                .map(|taken| (taken.index, taken.contact, taken.payload.into_owned()))
                .collect(),
            refused: found
                .refused
                .into_iter()
                .map(|refused| (refused.index, refused.id, refused.reject.to_string()))
                .collect(),
        })
    })
    .map_err(|error: intake::BodyError| PyValueError::new_err(error.to_string()))
}

#[pymethods]
impl Intake {
    #[getter]
    fn is_list(&self) -> bool {
        self.is_list
    }

    #[getter]
    fn taken<'py>(&self, py: Python<'py>) -> Vec<(usize, String, Bound<'py, PyBytes>)> {
        let row = |(index, contact, payload): &(usize, String, Vec<u8>)| {
            (*index, contact.clone(), PyBytes::new(py, payload))
        };
        self.taken.iter().map(row).collect()
    }

    #[getter]
    fn refused(&self) -> Vec<(usize, Option<String>, String)> {
        self.refused.clone()
    }

    #[getter]
    fn of_others(&self) -> Vec<usize> {
        self.of_others.clone()
    }
}
