//! A hierarchical timing wheel: eight levels of 64 places, of 1 ms to 139 years.
//!
//! A timer is a record, chained through its links, so that a timer needs no other memory, and is
//! inserted and removed in constant time. A timer moves to a lower level at most seven times.

use super::record::Record;
use crate::index::slab::{NONE, Slab};

const LEVELS: usize = 8;
const BITS: usize = 6;
const PLACES: usize = 1 << BITS;

/// In `Record::previous`: the record is the first of this place.
const FIRST: u32 = 1 << 31;

#[derive(Debug)]
pub(super) struct Wheel {
    /// All timers are later.
    elapsed: u64,
    first: [[u32; PLACES]; LEVELS],
    /// By level: the places that have timers.
    occupied: [u64; LEVELS],
}

impl Default for Wheel {
    fn default() -> Wheel {
        Wheel {
            elapsed: 0,
            first: [[NONE; PLACES]; LEVELS],
            occupied: [0; LEVELS],
        }
    }
}

impl Wheel {
    /// Inserts a record with this time. False if the time is not later than the last `advance`.
    pub fn insert(&mut self, records: &mut Slab<Record>, at: u32, due: i64) -> bool {
        let due = due.max(0) as u64;
        if due <= self.elapsed {
            return false;
        }
        // The highest digit in which the time differs from the present.
        let differing = (self.elapsed ^ due) | (PLACES as u64 - 1);
        let level = (63 - differing.leading_zeros() as usize) / BITS;
        let place = (due >> (level * BITS)) as usize % PLACES;
        let next = std::mem::replace(&mut self.first[level][place], at);
        self.occupied[level] |= 1 << place;
        if next != NONE {
            records.get_mut(next).previous = at;
        }
        let record = records.get_mut(at);
        record.next = next;
        record.previous = FIRST | (level * PLACES + place) as u32;
        true
    }

    /// Removes a record of the wheel.
    pub fn remove(&mut self, records: &mut Slab<Record>, at: u32) {
        let Record { next, previous, .. } = *records.get(at);
        if next != NONE {
            records.get_mut(next).previous = previous;
        }
        if previous & FIRST == 0 {
            records.get_mut(previous).next = next;
            return;
        }
        let number = (previous & !FIRST) as usize;
        let (level, place) = (number / PLACES, number % PLACES);
        self.first[level][place] = next;
        if next == NONE {
            self.occupied[level] &= !(1 << place);
        }
    }

    /// Removes the timers that are not later than `to`, and passes each to `fire`.
    pub fn advance(&mut self, records: &mut Slab<Record>, to: i64, mut fire: impl FnMut(i64, u32)) {
        let to = to.max(0) as u64;
        while let Some((level, place, start)) = self.next_place().filter(|next| next.2 <= to) {
            self.elapsed = start;
            self.occupied[level] &= !(1 << place);
            let mut at = std::mem::replace(&mut self.first[level][place], NONE);
            while at != NONE {
                let record = records.get(at);
                let (next, due) = (record.next, record.due().unwrap_or(0));
                if !self.insert(records, at, due) {
                    fire(due, at);
                }
                at = next;
            }
        }
        self.elapsed = self.elapsed.max(to);
    }

    /// The number of timers that are not later than `to`, and the time of the first one.
    pub fn until(&self, records: &Slab<Record>, to: i64) -> (usize, Option<i64>) {
        let (mut count, mut first) = (0, None);
        for level in 0..LEVELS {
            for place in (0..PLACES).filter(|place| self.occupied[level] >> place & 1 == 1) {
                if self.start(level, place) > to.max(0) as u64 {
                    break;
                }
                let mut at = self.first[level][place];
                while at != NONE {
                    let record = records.get(at);
                    if let Some(due) = record.due().filter(|&due| due <= to) {
                        count += 1;
                        first = first.min(Some(due)).or(Some(due));
                    }
                    at = record.next;
                }
            }
        }
        (count, first)
    }

    /// The first place with timers: its level, number, and the time at which it starts. On each
    /// level all places with timers are later than the present.
    fn next_place(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|places| *places != 0)?;
        let place = self.occupied[level].trailing_zeros() as usize;
        Some((level, place, self.start(level, place)))
    }

    /// The time at which a place starts.
    fn start(&self, level: usize, place: usize) -> u64 {
        let above = (level + 1) * BITS;
        self.elapsed >> above << above | (place as u64) << (level * BITS)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::record::{Execution, State};
    use super::super::steps::Steps;
    use super::*;

    fn record(due: i64) -> Record {
        let execution = Execution {
            plan: 0,
            state: State::Sleeping,
            step: 0,
            visit: 1,
            attempt: 0,
            retries: 0,
            hops: 0,
            zone: 0,
            since_seq: 0,
            since: 0,
            due: Some(due),
            done: Steps::default(),
            migrates: false,
            used_event: false,
        };
        Record::new(0, 0, &execution)
    }

    #[derive(Debug, Clone)]
    enum Change {
        Insert(i64),
        /// Removes one of the timers.
        Remove(usize),
        Advance(i64),
    }

    fn changes() -> impl Strategy<Value = Vec<Change>> {
        // Small and large distances, so that all levels are used.
        let distance = (0_u32..44).prop_flat_map(|bits| 0..1_i64 << bits);
        let change = prop_oneof![
            4 => distance.clone().prop_map(Change::Insert),
            1 => (0_usize..100).prop_map(Change::Remove),
            2 => distance.prop_map(Change::Advance),
        ];
        prop::collection::vec(change, 1..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn exactly_the_timers_that_are_due_fire(changes in changes()) {
            let mut records = Slab::new();
            let mut wheel = Wheel::default();
            let mut expected: Vec<(i64, u32)> = Vec::new();
            let mut now = 0;
            for change in changes {
                match change {
                    Change::Insert(distance) => {
                        let due = now + distance;
                        let at = records.insert(record(due));
                        let is_later = wheel.insert(&mut records, at, due);
                        prop_assert_eq!(is_later, due > now);
                        if is_later {
                            expected.push((due, at));
                        }
                    }
                    Change::Remove(number) => {
                        if !expected.is_empty() {
                            let (_, at) = expected.swap_remove(number % expected.len());
                            wheel.remove(&mut records, at);
                        }
                    }
                    Change::Advance(distance) => {
                        now += distance;
                        let due = || expected.iter().map(|timer| timer.0).filter(|&due| due <= now);
                        let counted = (due().count(), due().min());
                        prop_assert_eq!(wheel.until(&records, now), counted);
                        let mut fired = Vec::new();
                        wheel.advance(&mut records, now, |due, at| fired.push((due, at)));
                        let (mut due, later): (Vec<_>, Vec<_>) =
                            expected.into_iter().partition(|timer| timer.0 <= now);
                        expected = later;
                        fired.sort_unstable();
                        due.sort_unstable();
                        prop_assert_eq!(fired, due);
                    }
                }
            }
        }
    }
}
