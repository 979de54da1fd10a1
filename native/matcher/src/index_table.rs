//! Where each contact is: an open-addressing table of four bytes a place.
//!
//! A place holds a contact's number in as many bits as the table has (2^bits places), and a
//! fingerprint of its hash in the rest, so that a look-up touches one cache line here and
//! then, nearly always, only the record that it is after. At most three places in four are
//! taken: 5.3 to 10.7 bytes a contact.

use crate::index_prefetch::prefetch;

const EMPTY: u32 = u32::MAX;
const LEAST_BITS: u32 = 6;

/// Hashes must spread well over all their bits: the upper ones choose the place, the lower
/// ones make the fingerprint.
#[derive(Debug)]
pub struct Table {
    places: Vec<u32>,
    bits: u32,
    len: usize,
}

impl Table {
    pub fn new() -> Table {
        Table {
            places: vec![EMPTY; 1 << LEAST_BITS],
            bits: LEAST_BITS,
            len: 0,
        }
    }

    /// The number under this hash for which `is` holds.
    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.probe(hash, is)
            .map(|place| self.number(self.places[place]))
    }

    /// A look-up of this hash will follow.
    #[inline]
    pub fn announce(&self, hash: u64) {
        prefetch(&self.places[self.home(hash)]);
    }

    /// The first number with the fingerprint of this hash: nearly always the only one.
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Add a number that is not there yet; `hash_of` gives the hash of those that are, and
    /// is asked when the table grows.
    pub fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        // Numbers must fit beside the fingerprint, also where few of many are left.
        while self.len >= self.room() || number as usize >= self.room() {
            self.grow(&hash_of);
        }
        self.put(hash, number);
        self.len += 1;
    }

    /// Take a number away. What was pushed on by it moves back, so that look-ups stay short.
    pub fn remove(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let Some(mut hole) = self.probe(hash, |other| other == number) else {
            return;
        };
        let mut place = hole;
        loop {
            place = self.after(place);
            let word = self.places[place];
            if word == EMPTY {
                break;
            }
            let home = self.home(hash_of(self.number(word)));
            // It may move back where its home is not between the hole and its place.
            let mask = self.places.len() - 1;
            if place.wrapping_sub(home) & mask >= place.wrapping_sub(hole) & mask {
                self.places[hole] = word;
                hole = place;
            }
        }
        self.places[hole] = EMPTY;
        self.len -= 1;
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.places.capacity() * size_of::<u32>()
    }

    fn room(&self) -> usize {
        self.places.len() / 4 * 3
    }

    #[inline]
    fn home(&self, hash: u64) -> usize {
        (hash >> (64 - self.bits)) as usize
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.places.len() - 1)
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
    fn probe(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        let fingerprint = self.fingerprint(hash);
        let mut place = self.home(hash);
        loop {
            let word = self.places[place];
            if word == EMPTY {
                return None;
            }
            let number = self.number(word);
            if word - number == fingerprint && is(number) {
                return Some(place);
            }
            place = self.after(place);
        }
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mut place = self.home(hash);
        while self.places[place] != EMPTY {
            place = self.after(place);
        }
        // Numbers stay below three quarters of the places: no word is EMPTY.
        self.places[place] = self.fingerprint(hash) | number;
    }

    fn grow(&mut self, hash_of: &impl Fn(u32) -> u64) {
        assert!(self.bits < 30, "more contacts than the index can number");
        let bits = self.bits + 1;
        let places = std::mem::replace(&mut self.places, vec![EMPTY; 1 << bits]);
        let mask = u32::MAX >> (32 - self.bits);
        self.bits = bits;
        for word in places {
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

    /// Few different hashes, so that places collide and chains wrap around.
    fn hash_of(number: u32) -> u64 {
        let spread = u64::from(number % 7).wrapping_mul(0x2492_4924_9249_2492);
        spread.wrapping_add(u64::from(number % 3))
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(changes in prop::collection::vec((any::<bool>(), 0..300_u32), 0..600)) {
            let mut table = Table::new();
            let mut map = HashMap::new();
            for (adds, number) in changes {
                let held = table.find(hash_of(number), |other| other == number);
                prop_assert_eq!(held.is_some(), map.contains_key(&number));
                if adds && held.is_none() {
                    table.insert(hash_of(number), number, hash_of);
                    map.insert(number, ());
                } else if !adds {
                    table.remove(hash_of(number), number, hash_of);
                    map.remove(&number);
                }
            }
            prop_assert_eq!(table.len, map.len());
            for number in 0..300 {
                let held = table.find(hash_of(number), |other| other == number);
                prop_assert_eq!(held.is_some(), map.contains_key(&number), "{}", number);
            }
        }
    }

    #[test]
    fn a_guess_passes_over_what_has_another_fingerprint() {
        let mut table = Table::new();
        // Two that begin at one place.
        let hash_of = |number: u32| u64::from(number);
        table.insert(5, 5, hash_of);
        table.insert(6, 6, hash_of);
        assert_eq!(table.guess(5), Some(5));
        assert_eq!(table.guess(6), Some(6));
        assert_eq!(table.guess(7), None);
    }
}
