//! The fixed-size records of contacts and enrollments.

use uuid::Uuid;

use super::slab::Linked;
use crate::event::MatchValues;
use crate::ids::packed::Tagged;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Contact {
    pub id: [u8; 16],
    pub tenant: Tagged,
    /// The first of its enrollments.
    pub first: u32,
}

/// Aligned so that a record never spans two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub struct Enrollment {
    pub id: [u8; 16],
    pub enrolled_at: i64,
    pub workflow: Tagged,
    /// The next enrollment of the same contact.
    pub next: u32,
}

const _: () = assert!(size_of::<Contact>() == 24 && size_of::<Enrollment>() == 32);

impl Enrollment {
    /// The number of its workflow.
    #[inline]
    pub fn workflow(&self) -> u32 {
        self.workflow.number()
    }

    /// Whether Postgres may know events that do not count for it (E11).
    #[inline]
    pub fn excludes(&self) -> bool {
        self.workflow.is_marked()
    }
}

impl Linked for Contact {
    fn next(&self) -> u32 {
        self.first
    }
    fn set_next(&mut self, next: u32) {
        self.first = next;
    }
}

impl Linked for Enrollment {
    fn next(&self) -> u32 {
        self.next
    }
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}

/// An active enrollment to be inserted.
#[derive(Debug, Clone, Copy)]
pub struct NewEnrollment<'a> {
    pub tenant: &'a str,
    pub contact: &'a str,
    pub enrollment: &'a str,
    pub workflow: &'a str,
    /// Microseconds since the epoch.
    pub enrolled_at: i64,
    /// The goals that the enrollment has met.
    pub met: &'a [Uuid],
    /// Whether Postgres may know events that do not count for it (E11).
    pub excludes: bool,
    /// The values that goals may compare with events (E17).
    pub match_values: Option<&'a MatchValues>,
    /// When the enrollment moved to its contact, if it began before that (E21).
    pub joined_at: Option<i64>,
}

/// Counts of the index's contents, and the bytes of memory that they use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub tenants: usize,
    pub workflows: usize,
    pub goals: usize,
    pub contacts: usize,
    pub enrollments: usize,
    pub listeners: usize,
    /// Contacts with ended enrollments that may be watched (E18).
    pub ended_contacts: usize,
    /// Those that were dropped because there were too many.
    pub ended_contacts_dropped: u64,
    pub bytes: usize,
}
