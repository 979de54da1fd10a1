//! Contacts with very many enrollments, which need a look-up by enrollment id.
//!
//! Most contacts have a short chain of enrollments, which is scanned. Without this table a
//! tenant that enrolls one contact a million times would make its shard scan a chain for hours
//! (D8).

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use super::slab::NONE;

/// A contact with more enrollments than this is a high-fanout contact.
pub const HIGH_FANOUT: usize = 64;

/// The enrollments of one contact: by the hash of their ids, and the predecessor of each in
/// the contact's chain. About 40 bytes per enrollment.
#[derive(Debug, Default)]
struct Enrollments {
    by_id: HashTable<(u64, u32)>,
    previous: HashMap<u32, u32, RandomState>,
}

/// The high-fanout contacts, by contact number.
#[derive(Debug, Default)]
pub struct HighFanout(HashMap<u32, Enrollments, RandomState>);

impl HighFanout {
    #[inline]
    pub fn contains(&self, contact: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&contact)
    }

    /// Adds a contact. `chain` has the hash of each enrollment's id and its number, in the
    /// order of the contact's chain.
    pub fn insert_contact(&mut self, contact: u32, chain: Vec<(u64, u32)>) {
        self.0.insert(contact, Enrollments::default());
        let mut next = NONE;
        for (hash, at) in chain.into_iter().rev() {
            self.insert(contact, hash, at, next);
            next = at;
        }
    }

    /// Adds an enrollment at the front of the contact's chain, before `next`.
    pub fn insert(&mut self, contact: u32, hash: u64, at: u32, next: u32) {
        if let Some(enrollments) = self.0.get_mut(&contact) {
            enrollments
                .by_id
                .insert_unique(hash, (hash, at), |entry| entry.0);
            if next != NONE {
                enrollments.previous.insert(next, at);
            }
        }
    }

    /// The contact's enrollment with this hash for which `is_same` holds.
    pub fn find(&self, contact: u32, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<u32> {
        let by_id = &self.0.get(&contact)?.by_id;
        let entry = by_id.find(hash, |entry| is_same(entry.1));
        entry.map(|entry| entry.1)
    }

    /// Removes an enrollment. Returns its predecessor in the chain, or `None` if it is the
    /// first. `next` is its successor.
    pub fn remove(&mut self, contact: u32, hash: u64, at: u32, next: u32) -> Option<u32> {
        let enrollments = self.0.get_mut(&contact)?;
        if let Ok(entry) = enrollments.by_id.find_entry(hash, |entry| entry.1 == at) {
            entry.remove();
        }
        let previous = enrollments.previous.remove(&at);
        if next != NONE {
            match previous {
                Some(previous) => enrollments.previous.insert(next, previous),
                None => enrollments.previous.remove(&next),
            };
        }
        previous
    }

    /// Removes a contact and its enrollments.
    pub fn remove_contact(&mut self, contact: u32) {
        self.0.remove(&contact);
    }

    /// Bytes of memory in use.
    pub fn bytes(&self) -> usize {
        let size =
            |each: &Enrollments| each.by_id.allocation_size() + each.previous.allocation_size();
        self.0.allocation_size() + self.0.values().map(size).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::HIGH_FANOUT;
    use crate::index::{Index, NewEnrollment};

    /// A long id (more than 15 bytes) if the number is odd.
    fn id(number: usize) -> String {
        if number % 2 == 0 {
            format!("e-{number}")
        } else {
            format!("an-enrollment-{number}")
        }
    }

    fn insert(index: &mut Index, enrollment: &str) {
        index.insert(NewEnrollment {
            tenant: "acme",
            contact: "ann",
            enrollment,
            workflow: "w",
            enrolled_at: 0,
            met: &[],
        });
    }

    fn enrollments(index: &Index) -> BTreeSet<String> {
        let contact = index.contact("acme", "ann");
        let numbers = contact.into_iter().flat_map(|at| index.of_contact(at));
        let ids: Vec<String> = numbers.map(|(at, _)| index.enrollment_id(at)).collect();
        let distinct: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(
            distinct.len(),
            ids.len(),
            "an enrollment is in the chain twice"
        );
        distinct
    }

    #[test]
    fn a_high_fanout_contact_has_what_was_inserted_and_not_removed() {
        let mut index = Index::default();
        let mut expected = BTreeSet::new();
        // Each number occurs several times, in no regular order: inserted, replaced, removed.
        for step in 0..20_000_usize {
            let enrollment = id(step * 7919 % 397);
            let contact = index.contact("acme", "ann");
            let record = contact.and_then(|at| index.find_enrollment(at, &enrollment));
            assert_eq!(record.is_some(), expected.contains(&enrollment));
            match (contact, record) {
                (Some(contact), Some(at)) if step % 3 != 0 => {
                    index.remove(contact, at);
                    expected.remove(&enrollment);
                }
                _ => {
                    insert(&mut index, &enrollment);
                    expected.insert(enrollment);
                }
            }
            if step % 500 == 0 {
                assert_eq!(enrollments(&index), expected);
            }
        }
        assert!(expected.len() > HIGH_FANOUT);
        assert_eq!(enrollments(&index), expected);
    }

    #[test]
    fn a_removed_high_fanout_contact_leaves_nothing_to_its_successor() {
        let mut index = Index::default();
        for round in 0..3 {
            for number in 0..3 * HIGH_FANOUT {
                insert(&mut index, &id(number + round));
            }
            let expected: BTreeSet<String> =
                (0..3 * HIGH_FANOUT).map(|at| id(at + round)).collect();
            assert_eq!(enrollments(&index), expected);
            if round == 0 {
                assert!(index.evict("acme", "ann"));
            } else {
                for enrollment in &expected {
                    let contact = index.contact("acme", "ann").unwrap();
                    let at = index.find_enrollment(contact, enrollment).unwrap();
                    index.remove(contact, at);
                }
            }
            assert_eq!(index.contact("acme", "ann"), None);
        }
    }

    /// A regression shows as a timeout: scanning the chain for each would take minutes.
    #[test]
    fn one_contact_can_have_hundreds_of_thousands_of_enrollments() {
        let mut index = Index::default();
        let ids: Vec<String> = (0..200_000).map(id).collect();
        for enrollment in &ids {
            insert(&mut index, enrollment);
        }
        for enrollment in &ids {
            let contact = index.contact("acme", "ann").unwrap();
            let at = index.find_enrollment(contact, enrollment).unwrap();
            index.remove(contact, at);
        }
        assert_eq!(index.contact("acme", "ann"), None);
    }
}
