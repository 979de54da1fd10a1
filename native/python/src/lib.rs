//! Binds `goald-engine` to Python.
use pyo3::prelude::*;

#[pymodule]
mod _native {}
