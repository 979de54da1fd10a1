//! Reads of streams, routed into buffers.

use goald_matcher::route::{self, Packed, Packer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence};

#[pyclass(frozen, module = "goald._native")]
pub struct Router {
    shard_of_slot: [u8; route::SLOTS],
    max_buffer: usize,
}

#[pymethods]
impl Router {
    #[new]
    #[pyo3(signature = (shard_of_slot, *, max_buffer = 90_000))]
    fn new(shard_of_slot: &[u8], max_buffer: usize) -> PyResult<Router> {
        let shard_of_slot = shard_of_slot
            .try_into()
            .map_err(|_| PyValueError::new_err("shard_of_slot is not of 256 bytes"))?;
        Ok(Router {
            shard_of_slot,
            max_buffer,
        })
    }

    fn route(&self, py: Python<'_>, entries: &Bound<'_, PyAny>) -> PyResult<Routed> {
        let read = Read::of(entries)?;
        let ids: Vec<&[u8]> = read.ids.iter().map(|id| id.as_bytes()).collect();
        let events: Vec<&[u8]> = read.events.iter().map(|event| event.as_bytes()).collect();
        let (buffers, refused) = py.detach(|| {
            let mut packer = Packer::new(&self.shard_of_slot, self.max_buffer);
            let mut refused = Vec::new();
            for (number, (id, event)) in ids.iter().zip(&events).enumerate() {
                if let Err(reject) = packer.push(id, event) {
                    refused.push((number, reject.to_string()));
                }
            }
            (packer.finish(), refused)
        });
        let owned = |bytes: &Bound<'_, PyBytes>| bytes.clone().unbind();
        let mut rejects: Vec<Reject> = refused
            .into_iter()
            .map(|(number, reason)| {
                (
                    owned(&read.ids[number]),
                    reason,
                    owned(&read.events[number]),
                )
            })
            .collect();
        for id in &read.without_event {
            let reason = "the entry has no field event".to_owned();
            rejects.push((owned(id), reason, PyBytes::new(py, b"").unbind()));
        }
        Ok(Routed { buffers, rejects })
    }
}

type Reject = (Py<PyBytes>, String, Py<PyBytes>);

/// The entries of a read, by what can be done with them.
#[derive(Default)]
struct Read<'py> {
    ids: Vec<Bound<'py, PyBytes>>,
    /// The event of each id.
    events: Vec<Bound<'py, PyBytes>>,
    without_event: Vec<Bound<'py, PyBytes>>,
}

impl<'py> Read<'py> {
    fn of(entries: &Bound<'py, PyAny>) -> PyResult<Read<'py>> {
        let mut read = Read::default();
        for at in 0..entries.len()? {
            let entry = item(entries, at)?;
            if entry.len()? != 2 {
                return Err(PyTypeError::new_err("an entry is not [id, fields]"));
            }
            let (id, fields) = (bytes(item(&entry, 0)?)?, item(&entry, 1)?);
            match event_of(&fields)? {
                Some(event) => {
                    read.ids.push(id);
                    read.events.push(event);
                }
                None => read.without_event.push(id),
            }
        }
        Ok(read)
    }
}

/// The value of the first field `event`.
fn event_of<'py>(fields: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let count = fields.len()?;
    if count % 2 == 1 {
        return Err(PyTypeError::new_err("an entry's fields are not pairs"));
    }
    for at in (0..count).step_by(2) {
        let (name, value) = (bytes(item(fields, at)?)?, bytes(item(fields, at + 1)?)?);
        if name.as_bytes() == b"event" {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// An item of a sequence; the client of Redis gives lists.
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
        let pair = |packed: &Packed| {
            (
                packed.shard,
                PyBytes::new(py, &packed.bytes),
                packed.entries,
            )
        };
        self.buffers.iter().map(pair).collect()
    }

    #[getter]
    fn rejects(&self, py: Python<'_>) -> Vec<Reject> {
        let copy =
            |(id, reason, event): &Reject| (id.clone_ref(py), reason.clone(), event.clone_ref(py));
        self.rejects.iter().map(copy).collect()
    }
}
