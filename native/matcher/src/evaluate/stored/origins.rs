//! The merged contacts of the buffers that other shards passed on (E21).

use ahash::RandomState;
use hashbrown::HashMap;

/// A buffer whose events were received for a merged contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The index of the buffer.
    pub buffer: usize,
    /// The merged contact.
    pub contact: String,
    /// The contact of the buffer does not continue the merged contact any more, so its events go
    /// back.
    pub is_returned: bool,
}

/// The origins by the index of a buffer.
#[derive(Debug, Default)]
pub struct Origins<'o> {
    of_buffer: HashMap<usize, &'o Origin, RandomState>,
    returns_any: bool,
}

impl<'o> Origins<'o> {
    pub fn new(origins: &'o [Origin]) -> Origins<'o> {
        Origins {
            of_buffer: origins.iter().map(|each| (each.buffer, each)).collect(),
            returns_any: origins.iter().any(|each| each.is_returned),
        }
    }

    /// Whether no shard passed on any event.
    pub fn is_empty(&self) -> bool {
        self.of_buffer.is_empty()
    }

    /// The merged contact for which Redis received the events of a buffer.
    pub fn contact(&self, buffer: usize) -> Option<&'o str> {
        self.of_buffer.get(&buffer).map(|each| &*each.contact)
    }

    /// The merged contact, if the events of the buffer go back to it.
    #[inline]
    pub fn returned_to(&self, buffer: usize) -> Option<&'o str> {
        if !self.returns_any {
            return None;
        }
        let origin = self.of_buffer.get(&buffer);
        origin
            .filter(|each| each.is_returned)
            .map(|each| &*each.contact)
    }
}
