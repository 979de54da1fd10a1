//! Events that a goal can listen to, each in a separate buffer. The shard keeps them until
//! enrollments that arrive later can be matched (E7).

use crate::buffer::{BufferError, BufferReader, BufferWriter};
use crate::config::GoalType;
use crate::decode::decode;

/// An event of a type that goals can listen to, in a separate buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalEvent {
    pub tenant_id: String,
    pub contact_id: String,
    pub buffer: Vec<u8>,
}

/// The goal events of these buffers, in order. Events that cannot be decoded are skipped. Fails
/// if any of the byte strings is not a buffer.
pub fn goal_events(buffers: &[&[u8]], now_us: i64) -> Result<Vec<GoalEvent>, BufferError> {
    let mut events = Vec::new();
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
            events.push(GoalEvent {
                tenant_id: event.tenant.to_string(),
                contact_id: event.contact.to_string(),
                buffer: writer.finish(),
            });
        }
    }
    Ok(events)
}
