//! Finds the number of a contact: an open-addressing hash table with four bytes per bucket.
//!
//! A table of 2^bits buckets keeps the contact's number in `bits` bits of a bucket and a
//! fingerprint of its hash in the others. A look-up therefore reads one cache line of the table
//! and, nearly always, only the record that it is looking for. At most three buckets in four are
//! in use: 5.3 to 10.7 bytes per contact.

use super::prefetch::prefetch;

const EMPTY: u32 = u32::MAX;
const MIN_BITS: u32 = 6;

/// All bits of a hash must be well distributed: the upper bits select the bucket, the lower
/// bits are the fingerprint.
#[derive(Debug)]
pub struct Table {
    buckets: Vec<u32>,
    bits: u32,
    len: usize,
}

impl Table {
    pub fn new() -> Table {
        Table {
            buckets: vec![EMPTY; 1 << MIN_BITS],
            bits: MIN_BITS,
            len: 0,
        }
    }

    /// The number with this hash for which `is_same` holds.
    #[inline]
    pub fn find(&self, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, is_same)
            .map(|bucket| self.number(self.buckets[bucket]))
    }

    /// Prefetches the home bucket of this hash.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        prefetch(&self.buckets[self.home(hash)]);
    }

    /// The first number with the fingerprint of this hash. It is nearly always the only one.
    #[inline]
    pub fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Inserts a number that the table does not have. `hash_of` returns the hash of a number in
    /// the table; it is called when the table grows.
    pub fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        // Numbers must fit next to the fingerprint, even if most of them were removed.
        while self.len >= self.capacity() || number as usize >= self.capacity() {
            self.grow(&hash_of);
        }
        self.put(hash, number);
        self.len += 1;
    }

    /// Removes a number. Numbers that it displaced move back, so that look-ups stay short.
    pub fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(mut hole) = self.probe(hash, |other| other == number) else {
            return;
        };
        let mut bucket = hole;
        loop {
            bucket = self.after(bucket);
            let word = self.buckets[bucket];
            if word == EMPTY {
                break;
            }
            let home = self.home(hash_of(self.number(word)));
            // It can move to the hole unless its home is after the hole, up to its bucket.
            let mask = self.buckets.len() - 1;
            if bucket.wrapping_sub(home) & mask >= bucket.wrapping_sub(hole) & mask {
                self.buckets[hole] = word;
                hole = bucket;
            }
        }
        self.buckets[hole] = EMPTY;
        self.len -= 1;
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<u32>()
    }

    fn capacity(&self) -> usize {
        self.buckets.len() / 4 * 3
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.bits)) as usize
    }

    #[inline]
    fn after(&self, bucket: usize) -> usize {
        (bucket + 1) & (self.buckets.len() - 1)
    }

    #[inline]
    fn number(&self, word: u32) -> u32 {
        word & (u32::MAX >> (32 - self.bits))
    }

    #[inline]
    fn fingerprint(&self, hash: u64) -> u32 {
        (hash as u32) << self.bits
    }

    #[inline]
    fn probe(&self, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<usize> {
        let fingerprint = self.fingerprint(hash);
        let mut bucket = self.home(hash);
        loop {
            let word = self.buckets[bucket];
            if word == EMPTY {
                return None;
            }
            let number = self.number(word);
            if word - number == fingerprint && is_same(number) {
                return Some(bucket);
            }
            bucket = self.after(bucket);
        }
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mut bucket = self.home(hash);
        while self.buckets[bucket] != EMPTY {
            bucket = self.after(bucket);
        }
        // Numbers stay below three quarters of the bucket count, so no word equals EMPTY.
        self.buckets[bucket] = self.fingerprint(hash) | number;
    }

    fn grow(&mut self, hash_of: &impl Fn(u32) -> u64) {
        assert!(self.bits < 30, "more contacts than the index can number");
        let bits = self.bits + 1;
        let buckets = std::mem::replace(&mut self.buckets, vec![EMPTY; 1 << bits]);
        let mask = u32::MAX >> (32 - self.bits);
        self.bits = bits;
        for word in buckets {
            if word != EMPTY {
                let number = word & mask;
                self.put(hash_of(number), number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    /// Few distinct hashes, so that buckets collide and probes wrap around.
    fn hash_of(number: u32) -> u64 {
        let spread = u64::from(number % 7).wrapping_mul(0x2492_4924_9249_2492);
        spread.wrapping_add(u64::from(number % 3))
    }

    proptest! {
        #[test]
        fn it_has_what_a_map_has(changes in prop::collection::vec((any::<bool>(), 0..300_u32), 0..600)) {
            let mut table = Table::new();
            let mut map = HashMap::new();
            for (adds, number) in changes {
                let found = table.find(hash_of(number), |other| other == number);
                prop_assert_eq!(found.is_some(), map.contains_key(&number));
                if adds && found.is_none() {
                    table.insert(hash_of(number), number, hash_of);
                    map.insert(number, ());
                } else if !adds {
                    table.remove(hash_of(number), number, hash_of);
                    map.remove(&number);
                }
            }
            prop_assert_eq!(table.len, map.len());
            for number in 0..300 {
                let found = table.find(hash_of(number), |other| other == number);
                prop_assert_eq!(found.is_some(), map.contains_key(&number), "{}", number);
            }
        }
    }

    #[test]
    fn a_candidate_has_the_fingerprint_of_its_hash() {
        let mut table = Table::new();
        // Both have the same home bucket.
        let hash_of = |number: u32| u64::from(number);
        table.insert(5, 5, hash_of);
        table.insert(6, 6, hash_of);
        assert_eq!(table.candidate(5), Some(5));
        assert_eq!(table.candidate(6), Some(6));
        assert_eq!(table.candidate(7), None);
    }
}
