//! Conversions that the classes share.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub fn slices<'a>(buffers: &'a [Bound<'_, PyBytes>]) -> Vec<&'a [u8]> {
    buffers.iter().map(|buffer| buffer.as_bytes()).collect()
}

pub fn value_error(error: impl std::error::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
