//! Units of work, of roughly 100 ns each, including what the commit and the messages of an effect
//! cost later. Work is counted, not measured.

use super::Fact;

/// Decoding an event, and looking up its contact.
pub const EVENT: u64 = 3;
/// Bytes of an event per unit.
pub const EVENT_BYTES: u64 = 64;
/// Line items per unit, if they are compared with goals.
pub const LINE_ITEMS: u64 = 2;
/// Judging the goals of an enrollment or of a group of them.
pub const JUDGED: u64 = 1;
/// An enrollment that starts or ends: a row.
pub const ROW: u64 = 250;
/// A question to Postgres about the ended enrollments of a contact.
pub const ASKED: u64 = 1_000;
/// A further workflow in which the same event may count for them.
pub const ASKED_MORE: u64 = 100;
/// An ended enrollment that Postgres returned.
pub const RETURNED: u64 = 20;
/// An enrollment that meets a goal: a row, an achievement and messages.
pub const ACHIEVED: u64 = 2_400;
/// An event that is dead-lettered.
pub const REJECTED: u64 = 300;
/// A deleted contact, whose payloads are redacted.
pub const DELETED: u64 = 2_000;

/// The work of an event of this size that does not depend on the enrollments of its contact.
pub fn known(fact: &Fact<'_>, bytes: usize) -> u64 {
    let of_fact = match fact {
        Fact::PaymentCompleted { line_items, .. } => line_items.len() as u64 / LINE_ITEMS,
        Fact::PaymentRefunded { .. }
        | Fact::AppointmentCancelled { .. }
        | Fact::EnrollmentStarted { .. }
        | Fact::EnrollmentEnded { .. }
        | Fact::ExitAcknowledged { .. }
        | Fact::ContactUpdated
        | Fact::TagRemoved => ROW,
        Fact::ContactDeleted | Fact::ContactMerged { .. } => DELETED,
        _ => 0,
    };
    EVENT + bytes as u64 / EVENT_BYTES + of_fact
}
