//! Routing of stream entries into buffers.

use goald_matcher::route::{self, Packed, SLOTS};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence};

#[pyclass(frozen, module = "goald._native")]
pub struct Router {
    shard_of_slot: [u8; SLOTS],
    max_buffer: usize,
}

#[pymethods]
impl Router {
    #[new]
    #[pyo3(signature = (shard_of_slot, *, max_buffer = 90_000))]
    fn new(shard_of_slot: &[u8], max_buffer: usize) -> PyResult<Router> {
        let shard_of_slot = shard_of_slot
            .try_into()
            .map_err(|_| PyValueError::new_err("shard_of_slot must have 256 bytes"))?;
        Ok(Router {
            shard_of_slot,
            max_buffer,
        })
    }

    fn route(&self, py: Python<'_>, entries: &Bound<'_, PyAny>) -> PyResult<Routed> {
        let entries = (0..entries.len()?)
            .map(|at| read_entry(&item(entries, at)?))
            .collect::<PyResult<Vec<_>>>()?;
        let bytes: Vec<(&[u8], Option<&[u8]>)> = entries
            .iter()
            .map(|(id, event)| (id.as_bytes(), event.as_ref().map(|event| event.as_bytes())))
            .collect();
        let (buffers, rejects) =
            py.detach(|| route::route(&bytes, &self.shard_of_slot, self.max_buffer));
        let rejects = rejects.into_iter().map(|(number, reject)| {
            let (id, event) = &entries[number];
            let event = event.clone().unwrap_or_else(|| PyBytes::new(py, b""));
            (id.clone().unbind(), reject.to_string(), event.unbind())
        });
        Ok(Routed {
            buffers,
            rejects: rejects.collect(),
        })
    }
}

type Reject = (Py<PyBytes>, String, Py<PyBytes>);
type Entry<'py> = (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>);

/// The id of an entry, and the value of its first field `event`.
fn read_entry<'py>(entry: &Bound<'py, PyAny>) -> PyResult<Entry<'py>> {
    if entry.len()? != 2 {
        return Err(PyTypeError::new_err("an entry must be [id, fields]"));
    }
    let (id, fields) = (bytes(item(entry, 0)?)?, item(entry, 1)?);
    let count = fields.len()?;
    if count % 2 == 1 {
        return Err(PyTypeError::new_err(
            "the fields of an entry must be name and value pairs",
        ));
    }
    for at in (0..count).step_by(2) {
        let (name, value) = (bytes(item(&fields, at)?)?, bytes(item(&fields, at + 1)?)?);
        if name.as_bytes() == b"event" {
            return Ok((id, Some(value)));
        }
    }
    Ok((id, None))
}

/// An item of a sequence. Lists, which the Redis client returns, take a faster path.
fn item<'py>(sequence: &Bound<'py, PyAny>, at: usize) -> PyResult<Bound<'py, PyAny>> {
    match sequence.cast::<PyList>() {
        Ok(list) => list.get_item(at),
        Err(_) => sequence.cast::<PySequence>()?.get_item(at),
    }
}

fn bytes(value: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    Ok(value.cast_into::<PyBytes>()?)
}

#[pyclass(frozen, module = "goald._native")]
pub struct Routed {
    buffers: Vec<Packed>,
    rejects: Vec<Reject>,
}

#[pymethods]
impl Routed {
    #[getter]
    fn buffers<'py>(&self, py: Python<'py>) -> Vec<(u8, Bound<'py, PyBytes>, u32)> {
        let row = |packed: &Packed| {
            (
                packed.shard,
                PyBytes::new(py, &packed.bytes),
                packed.entries,
            )
        };
        self.buffers.iter().map(row).collect()
    }

    #[getter]
    fn rejects(&self, py: Python<'_>) -> Vec<Reject> {
        let row =
            |(id, reason, event): &Reject| (id.clone_ref(py), reason.clone(), event.clone_ref(py));
        self.rejects.iter().map(row).collect()
    }
}
