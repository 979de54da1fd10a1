//! Contacts with very many enrollments: what finds one of them without a walk over all.
//!
//! Nearly no contact needs it. Without it a tenant that enrolls one contact a million times
//! would have its shard walk a chain for hours (D8).

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::index_slab::NONE;

/// So many enrollments make a crowd; a chain of fewer is walked.
pub const CROWD: usize = 64;

/// The enrollments of one contact: by the hash of their ids, and which is before which in
/// the contact's chain. About 40 bytes each.
#[derive(Debug, Default)]
struct Crowd {
    by_id: HashTable<(u64, u32)>,
    before: HashMap<u32, u32, RandomState>,
}

/// Crowds by the number of their contact.
#[derive(Debug, Default)]
pub struct Crowds(HashMap<u32, Crowd, RandomState>);

impl Crowds {
    #[inline]
    pub fn has(&self, contact: u32) -> bool {
        !self.0.is_empty() && self.0.contains_key(&contact)
    }

    /// Begin the crowd of a contact that has none, with its chain from the first on: each
    /// enrollment with the hash of its id.
    pub fn begin(&mut self, contact: u32, chain: Vec<(u64, u32)>) {
        self.0.insert(contact, Crowd::default());
        let mut next = NONE;
        for (hash, at) in chain.into_iter().rev() {
            self.join(contact, hash, at, next);
            next = at;
        }
    }

    /// An enrollment is put before `next`, which was the contact's first.
    pub fn join(&mut self, contact: u32, hash: u64, at: u32, next: u32) {
        if let Some(crowd) = self.0.get_mut(&contact) {
            crowd.by_id.insert_unique(hash, (hash, at), |entry| entry.0);
            if next != NONE {
                crowd.before.insert(next, at);
            }
        }
    }

    /// The enrollment of a crowd under this hash for which `is` holds.
    pub fn find(&self, contact: u32, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let found = self.0.get(&contact)?.by_id.find(hash, |entry| is(entry.1));
        found.map(|entry| entry.1)
    }

    /// An enrollment leaves its crowd; gives the one before it in the chain, `None` where it
    /// is the first. `next` is the one behind it.
    pub fn leave(&mut self, contact: u32, hash: u64, at: u32, next: u32) -> Option<u32> {
        let crowd = self.0.get_mut(&contact)?;
        if let Ok(entry) = crowd.by_id.find_entry(hash, |entry| entry.1 == at) {
            entry.remove();
        }
        let before = crowd.before.remove(&at);
        if next != NONE {
            match before {
                Some(before) => crowd.before.insert(next, before),
                None => crowd.before.remove(&next),
            };
        }
        before
    }

    /// The contact is gone.
    pub fn end(&mut self, contact: u32) {
        self.0.remove(&contact);
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let of = |crowd: &Crowd| crowd.by_id.allocation_size() + crowd.before.allocation_size();
        self.0.allocation_size() + self.0.values().map(of).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::CROWD;
    use crate::index::{Index, NewEnrollment};

    /// More than 15 bytes where the number is odd: a long id.
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

    fn held(index: &Index) -> BTreeSet<String> {
        let contact = index.contact("acme", "ann");
        let numbers = contact.into_iter().flat_map(|at| index.of_contact(at));
        let ids: Vec<String> = numbers.map(|(at, _)| index.enrollment_id(at)).collect();
        let distinct: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(distinct.len(), ids.len(), "one is there twice");
        distinct
    }

    #[test]
    fn a_crowd_holds_what_came_and_did_not_go() {
        let mut index = Index::default();
        let mut expected = BTreeSet::new();
        // Numbers in an order without a pattern, each met several times: in, again, out.
        for step in 0..20_000_usize {
            let enrollment = id(step * 7919 % 397);
            let contact = index.contact("acme", "ann");
            let known = contact.and_then(|at| index.find_enrollment(at, &enrollment));
            assert_eq!(known.is_some(), expected.contains(&enrollment));
            match (contact, known) {
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
                assert_eq!(held(&index), expected);
            }
        }
        assert!(expected.len() > CROWD);
        assert_eq!(held(&index), expected);
    }

    #[test]
    fn what_a_crowd_leaves_behind_is_not_the_next_contacts() {
        let mut index = Index::default();
        for round in 0..3 {
            for number in 0..3 * CROWD {
                insert(&mut index, &id(number + round));
            }
            let expected: BTreeSet<String> = (0..3 * CROWD).map(|at| id(at + round)).collect();
            assert_eq!(held(&index), expected);
            if round == 0 {
                assert!(index.forget("acme", "ann"));
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

    /// Fails by its time alone: walking the chain for each would take minutes.
    #[test]
    fn enrollments_of_one_contact_come_and_go_by_the_hundred_thousand() {
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
