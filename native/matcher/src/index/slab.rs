//! Records in chunks of fixed size. Growth never moves a record and never needs memory for two
//! copies.

/// Records per chunk. The memory of a chunk is touched only as records fill it.
const CHUNK: usize = 1 << 14;

/// The end of a chain.
pub const NONE: u32 = u32::MAX;

/// A record with a link to another of its kind. The slab chains free records through it.
pub trait Linked: Copy {
    fn next(&self) -> u32;
    fn set_next(&mut self, next: u32);
}

/// A slab of records. A free record is reused before a new one; memory is never returned to the
/// allocator.
#[derive(Debug)]
pub struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: u32,
    len: usize,
}

impl<T: Linked> Slab<T> {
    pub fn new() -> Slab<T> {
        Slab {
            chunks: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Records in use.
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub fn get(&self, at: u32) -> &T {
        &self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.chunks[at as usize / CHUNK][at as usize % CHUNK]
    }

    pub fn insert(&mut self, record: T) -> u32 {
        self.len += 1;
        if self.free != NONE {
            let at = self.free;
            self.free = self.get(at).next();
            *self.get_mut(at) = record;
            return at;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(record);
        (chunk * CHUNK + self.chunks[chunk].len() - 1) as u32
    }

    pub fn remove(&mut self, at: u32) {
        self.len -= 1;
        let free = self.free;
        self.get_mut(at).set_next(free);
        self.free = at;
    }

    /// Bytes of memory in use, including free records.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    struct Record(u32, u32);

    impl Linked for Record {
        fn next(&self) -> u32 {
            self.1
        }
        fn set_next(&mut self, next: u32) {
            self.1 = next;
        }
    }

    #[test]
    fn free_records_are_reused_before_new_ones() {
        let mut slab = Slab::new();
        let numbers: Vec<u32> = (0..40_000).map(|n| slab.insert(Record(n, NONE))).collect();
        assert_eq!(slab.get(numbers[39_999]).0, 39_999);
        let bytes = slab.bytes();
        for &at in &numbers[..20_000] {
            slab.remove(at);
        }
        for n in 0..20_000 {
            slab.insert(Record(n + 50_000, NONE));
        }
        assert_eq!((slab.len(), slab.bytes()), (40_000, bytes));
        assert_eq!(slab.get(numbers[30_000]).0, 30_000);
    }
}
