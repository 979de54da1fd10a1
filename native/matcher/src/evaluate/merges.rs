//! Merged contacts (E21): the merge itself, and the events that follow under the old id.

use serde_json::json;

use super::record::receipt;
use super::{CONTACT_MERGED, Evaluation, turn};
use crate::buffer::BufferWriter;
use crate::event::{Event, Fact};
use crate::ids::derived::event_key;
use crate::proposal::{EntryRef, Forwarded, Merge};
use crate::route::{slot_of, with_contact};

/// Why a merge of a contact into itself is rejected.
const INTO_ITSELF: &str = "a contact cannot be merged into itself";

/// The type of the event that asks for the runs of a merged contact, in its new place.
const TRANSFER: &str = "workflow.transfer.moved";

impl Evaluation<'_> {
    /// `contact.merged`. The commit decides whether it is possible, and moves the runs. Later
    /// events of the tenant wait for it.
    pub(super) fn merge(&mut self, entry: EntryRef<'_>, event: &Event<'_>, into: &str) {
        self.counts[CONTACT_MERGED] += 1;
        if *event.contact == *into {
            self.dead_letter(entry, INTO_ITSELF.to_owned());
            return;
        }
        self.turn.spend(turn::DELETED);
        self.turn.hold(&event.tenant);
        let key = event_key(&event.source, &event.id);
        let into_slot = slot_of(&event.tenant, into);
        let transfer = json!({
            "specversion": "1.0",
            "id": key.to_string(),
            "source": "goald",
            "type": TRANSFER,
            "tenantid": event.tenant,
            "time": event.time,
            "data": {"contact_id": into},
        });
        let mut writer = BufferWriter::new();
        let EntryRef { entry: at, .. } = entry;
        writer.push(at.ms, at.seq, transfer.to_string().as_bytes());
        self.proposal.merges.push(Merge {
            source: entry.into(),
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            into_contact_id: into.into(),
            event: key,
            time: event.time_us,
            received_at: receipt(at),
            transfer: Forwarded {
                buffer: entry.buffer,
                slot: into_slot,
                contact: Box::default(),
                merges: Box::default(),
                bytes: writer.finish(),
            },
        });
    }

    /// Passes on an event whose contact was merged into another, as an event of that contact. False
    /// if it was not, or the event is about the old id itself: a deletion or a merge.
    #[cold]
    #[inline(never)]
    pub(super) fn forward(&mut self, entry: EntryRef<'_>, event: &Event<'_>) -> bool {
        if matches!(
            event.fact,
            Fact::ContactDeleted | Fact::ContactMerged { .. }
        ) {
            return false;
        }
        let Some(target) = self.index.forward_of(&event.tenant, &event.contact) else {
            return false;
        };
        let Ok(bytes) = with_contact(entry.entry.event, &target.contact) else {
            return false;
        };
        self.turn.spend(turn::ROW);
        let earlier = self.later_merges.of(entry.buffer);
        let last = earlier.last().copied().unwrap_or(receipt(entry.entry));
        let later = target.merges.iter().filter(|merge| **merge > last);
        let merges = earlier.iter().chain(later).copied().collect();
        let slot = slot_of(&event.tenant, &target.contact);
        let contact = self.origins.contact(entry.buffer);
        let contact = contact.unwrap_or(&event.contact);
        let merged = (&*event.tenant, contact);
        self.forwarded.push(entry, slot, merges, merged, &bytes);
        true
    }

    /// Passes an event back to the merged contact that it named, because its contact does not
    /// continue that one any more. It is as if it had not been passed on.
    #[cold]
    #[inline(never)]
    pub(super) fn pass_back(&mut self, entry: EntryRef<'_>, event: &Event<'_>, contact: &str) {
        self.turn.spend(turn::ROW);
        match with_contact(entry.entry.event, contact) {
            Ok(bytes) => {
                let slot = slot_of(&event.tenant, contact);
                let own = (&*event.tenant, "");
                self.forwarded
                    .push(entry, slot, Box::default(), own, &bytes);
            }
            Err(reject) => self.dead_letter(entry, reject.to_string()),
        }
    }
}
