//! Events that are evaluated again when enrollments arrive after them, each in a separate buffer.

use crate::buffer::{BufferError, BufferReader, BufferWriter};
use crate::config::GoalType;
use crate::decode::decode;
use crate::event::Fact;

/// An event in a separate buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalEvent {
    pub tenant_id: String,
    pub contact_id: String,
    pub buffer: Vec<u8>,
}

/// The events of these buffers that goals can listen to, in order. Events that cannot be decoded
/// are skipped. Fails if any of the byte strings is not a buffer.
pub fn goal_events(buffers: &[&[u8]], now_us: i64) -> Result<Vec<GoalEvent>, BufferError> {
    select(buffers, now_us, |fact| GoalType::of(fact).is_some())
}

/// The same, with the events that end enrollments, and those about enrollments that have ended.
/// Enrollments that move to another contact are changed by its events since then (E21).
pub fn run_events(buffers: &[&[u8]], now_us: i64) -> Result<Vec<GoalEvent>, BufferError> {
    select(buffers, now_us, |fact| {
        let changes_runs = matches!(
            fact,
            Fact::EnrollmentEnded { .. }
                | Fact::ExitAcknowledged { .. }
                | Fact::PaymentRefunded { .. }
                | Fact::AppointmentCancelled { .. }
        );
        changes_runs || GoalType::of(fact).is_some()
    })
}

fn select(
    buffers: &[&[u8]],
    now_us: i64,
    is_selected: impl Fn(&Fact<'_>) -> bool,
) -> Result<Vec<GoalEvent>, BufferError> {
    let mut events = Vec::new();
    for bytes in buffers {
        for entry in BufferReader::new(bytes)? {
            let Ok(event) = decode(entry.event, now_us) else {
                continue;
            };
            if !is_selected(&event.fact) {
                continue;
            }
            let mut writer = BufferWriter::with_capacity(64 + entry.event.len());
            writer.push(entry.ms, entry.seq, entry.event);
            events.push(GoalEvent {
                tenant_id: event.tenant.to_string(),
                contact_id: event.contact.to_string(),
                buffer: writer.finish(),
            });
        }
    }
    Ok(events)
}
