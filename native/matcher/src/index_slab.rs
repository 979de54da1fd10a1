//! Records in chunks of fixed size: adding one never moves the others, and growth never
//! holds the old and the new at once.

/// Records in one chunk. Memory of a chunk is touched only as records fill it.
const CHUNK: usize = 1 << 14;

/// The end of a chain.
pub const NONE: u32 = u32::MAX;

/// A record that can point to another of its kind; free ones are chained through it.
pub trait Linked: Copy {
    fn next(&self) -> u32;
    fn set_next(&mut self, next: u32);
}

/// `size_of::<T>()` bytes a record, and eight a chunk. A freed record is the next used; the
/// memory is not given back.
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

    /// Bytes held, the free records among them.
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
    fn freed_records_are_used_before_new_ones() {
        let mut slab = Slab::new();
        let places: Vec<u32> = (0..40_000).map(|n| slab.insert(Record(n, NONE))).collect();
        assert_eq!(slab.get(places[39_999]).0, 39_999);
        let held = slab.bytes();
        for &at in &places[..20_000] {
            slab.remove(at);
        }
        for n in 0..20_000 {
            slab.insert(Record(n + 50_000, NONE));
        }
        assert_eq!((slab.len(), slab.bytes()), (40_000, held));
        assert_eq!(slab.get(places[30_000]).0, 30_000);
    }
}
