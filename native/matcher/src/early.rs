//! Events that goals may wait for, each by itself: kept by whoever waits for enrollments that
//! come later than they (E7).

use crate::buffer::{BufferError, BufferReader, BufferWriter};
use crate::criteria::GoalType;
use crate::decode::decode;

/// An event that a goal may be met by, in a buffer of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalEvent {
    pub tenant_id: String,
    pub contact_id: String,
    pub buffer: Vec<u8>,
}

/// Those of these buffers, in order. Events that cannot be decoded are passed over.
pub fn goal_events(buffers: &[&[u8]], now_us: i64) -> Result<Vec<GoalEvent>, BufferError> {
    let mut found = Vec::new();
    for bytes in buffers {
        for entry in BufferReader::new(bytes)? {
            let Ok(event) = decode(entry.event, now_us) else {
                continue;
            };
            if GoalType::of(&event.fact).is_none() {
                continue;
            }
            let mut writer = BufferWriter::with_capacity(64 + entry.event.len());
            writer.push(entry.ms, entry.seq, entry.event);
            found.push(GoalEvent {
                tenant_id: event.tenant.to_string(),
                contact_id: event.contact.to_string(),
                buffer: writer.finish(),
            });
        }
    }
    Ok(found)
}
