//! Contacts with very many enrollments, which need more than a chain.
//!
//! Most contacts have a short chain of enrollments, which is scanned. Without these tables a
//! tenant that enrolls one contact many times would make its shard scan a long chain for every
//! event (D8).

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use ahash::RandomState;
use hashbrown::{HashMap, HashTable};
use uuid::Uuid;

use super::slab::NONE;

/// A contact with more enrollments than this is a high-fanout contact.
pub const HIGH_FANOUT: usize = 64;

/// An event's effect on an enrollment depends on these, and on `enrolled_at`: its workflow, and
/// the goals that it has met, sorted.
type GroupKey = (u32, Box<[Uuid]>);

/// `enrolled_at` and number of each enrollment, earliest first.
type Members = BTreeSet<(i64, u32)>;

/// An enrollment as the tables know it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The hash of its id.
    pub hash: u64,
    pub at: u32,
    pub workflow: u32,
    pub enrolled_at: i64,
    pub met: &'a [Uuid],
}

impl Entry<'_> {
    fn group(&self) -> GroupKey {
        group_key(self.workflow, self.met)
    }
}

fn group_key(workflow: u32, met: &[Uuid]) -> GroupKey {
    let mut met: Box<[Uuid]> = met.into();
    met.sort_unstable();
    (workflow, met)
}

/// Enrollments of one contact that have the same workflow and have met the same goals. An event
/// has the same effect on each that began before it, so its criteria are checked once.
#[derive(Debug, Clone, Copy)]
pub struct Group<'i> {
    pub workflow: u32,
    pub met: &'i [Uuid],
    members: &'i Members,
}

impl<'i> Group<'i> {
    /// The numbers of the enrollments that began at or before this time.
    pub fn until(self, time: i64) -> impl Iterator<Item = u32> + 'i {
        self.members.range(..=(time, u32::MAX)).map(|&(_, at)| at)
    }

    /// Whether an enrollment began after `time`, and at or before `end`.
    pub fn has_between(self, time: i64, end: i64) -> bool {
        let mut between = self.members.range((time, u32::MAX)..=(end, u32::MAX));
        between.any(|&(began, _)| began > time)
    }
}

/// The enrollments of one contact: by the hash of their ids, the predecessor of each in the
/// contact's chain, and in groups. About 100 bytes per enrollment.
#[derive(Debug, Default)]
struct Enrollments {
    by_id: HashTable<(u64, u32)>,
    previous: HashMap<u32, u32, RandomState>,
    groups: BTreeMap<GroupKey, Members>,
}

impl Enrollments {
    fn add_to_group(&mut self, entry: Entry<'_>) {
        let members = self.groups.entry(entry.group()).or_default();
        members.insert((entry.enrolled_at, entry.at));
    }

    fn remove_from_group(&mut self, entry: Entry<'_>) {
        let key = entry.group();
        if let Some(members) = self.groups.get_mut(&key) {
            members.remove(&(entry.enrolled_at, entry.at));
            if members.is_empty() {
                self.groups.remove(&key);
            }
        }
    }

    fn bytes(&self) -> usize {
        let node = mem::size_of::<(GroupKey, Members)>() + mem::size_of::<usize>();
        let member = mem::size_of::<(i64, u32)>() + mem::size_of::<usize>();
        self.by_id.allocation_size()
            + self.previous.allocation_size()
            + self.groups.len() * node
            + self.by_id.len() * member
    }
}

/// The high-fanout contacts, by contact number.
#[derive(Debug, Default)]
pub struct HighFanout(HashMap<u32, Enrollments, RandomState>);

impl HighFanout {
    /// Adds a contact without enrollments.
    pub fn insert_contact(&mut self, contact: u32) {
        self.0.insert(contact, Enrollments::default());
    }

    /// Adds an enrollment at the front of the contact's chain, before `next`.
    pub fn insert(&mut self, contact: u32, entry: Entry<'_>, next: u32) {
        if let Some(enrollments) = self.0.get_mut(&contact) {
            enrollments
                .by_id
                .insert_unique(entry.hash, (entry.hash, entry.at), |other| other.0);
            if next != NONE {
                enrollments.previous.insert(next, entry.at);
            }
            enrollments.add_to_group(entry);
        }
    }

    /// The number of the contact's enrollments.
    pub fn len(&self, contact: u32) -> usize {
        self.0.get(&contact).map_or(0, |each| each.by_id.len())
    }

    /// The contact's enrollment with this hash for which `is_same` holds.
    pub fn find(&self, contact: u32, hash: u64, is_same: impl Fn(u32) -> bool) -> Option<u32> {
        let by_id = &self.0.get(&contact)?.by_id;
        let entry = by_id.find(hash, |entry| is_same(entry.1));
        entry.map(|entry| entry.1)
    }

    /// The groups of a contact, those of one workflow one after the other.
    pub fn groups(&self, contact: u32) -> impl Iterator<Item = Group<'_>> {
        let groups = self.0.get(&contact).map(|each| each.groups.iter());
        groups
            .into_iter()
            .flatten()
            .map(|((workflow, met), members)| Group {
                workflow: *workflow,
                met,
                members,
            })
    }

    /// Moves an enrollment to the group of the goals `met`. `entry` has those met before.
    pub fn set_met(&mut self, contact: u32, entry: Entry<'_>, met: &[Uuid]) {
        if let Some(enrollments) = self.0.get_mut(&contact) {
            enrollments.remove_from_group(entry);
            enrollments.add_to_group(Entry { met, ..entry });
        }
    }

    /// Removes an enrollment. Returns its predecessor in the chain, or `None` if it is the
    /// first. `next` is its successor.
    pub fn remove(&mut self, contact: u32, entry: Entry<'_>, next: u32) -> Option<u32> {
        let enrollments = self.0.get_mut(&contact)?;
        enrollments.remove_from_group(entry);
        let Entry { hash, at, .. } = entry;
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
        self.0.allocation_size() + self.0.values().map(Enrollments::bytes).sum::<usize>()
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
            excludes: false,
            match_values: None,
            joined_at: None,
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
