//! Events whose rows belong to no enrollment in memory: refunds and cancelled appointments, which are
//! counted next to conversions (E13, E15), and events that describe contacts.

use super::outcome::GoalFact;
use super::record::microseconds;
use super::{Evaluation, Probe, turn};
use crate::config::GoalType;
use crate::event::Event;
use crate::ids::derived::event_key;
use crate::index::KEEPS_CONTACTS;
use crate::proposal::{ContactEvent, EntryRef, Reversal};
use crate::route::slot_of;

/// `KEEPS_CONTACTS` if events of this goal type describe the contact, else 0.
#[inline]
pub(super) fn contact_bit(goal_type: GoalType) -> u8 {
    match goal_type {
        GoalType::TagAdded | GoalType::PipelineStageReached => KEEPS_CONTACTS,
        _ => 0,
    }
}

impl Evaluation<'_> {
    /// Proposes to undo what achieved goals of this type. The commit finds the enrollments, because
    /// they have ended and are not in memory.
    pub(super) fn reverse(
        &mut self,
        counter: usize,
        event: &Event<'_>,
        goal_type: GoalType,
        reference: Option<&str>,
    ) {
        self.counts[counter] += 1;
        self.turn.spend(turn::ROW);
        self.proposal.reversals.push(Reversal {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            goal_type,
            reference: reference.map(Into::into),
            time: event.time_us,
        });
    }

    /// Whether the event describes a contact, and its tenant has a projection. `fact`: of a goal
    /// type; `None` for other events.
    #[inline]
    pub(super) fn keeps_contact(&self, probe: Probe, fact: Option<GoalFact<'_, '_>>) -> bool {
        let bits = fact.map_or(KEEPS_CONTACTS, |fact| contact_bit(fact.goal_type));
        bits != 0
            && probe
                .tenant
                .is_some_and(|tenant| self.index.tenant_listens(tenant, bits))
    }

    /// Counts an event that only describes its contact, and adds it.
    pub(super) fn describe(&mut self, counter: usize, entry: EntryRef<'_>, event: &Event<'_>) {
        self.counts[counter] += 1;
        self.add_contact_event(entry, event);
    }

    #[inline(never)]
    pub(super) fn add_contact_event(&mut self, entry: EntryRef<'_>, event: &Event<'_>) {
        self.turn.spend(turn::ROW);
        let contact_event = self.contact_event(entry, event);
        self.proposal.contact_events.push(contact_event);
    }

    /// An event that describes its contact. If it is dated ahead, it counts as of when Redis
    /// received it, so that a later deletion covers it.
    pub(super) fn contact_event(&self, entry: EntryRef<'_>, event: &Event<'_>) -> ContactEvent {
        ContactEvent {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            event_type: (*event.name).into(),
            event: event_key(&event.source, &event.id),
            time: event.time_us.min(microseconds(entry.entry.ms)),
            data: event.data.to_whole_json().into(),
            dated: event.time_us,
        }
    }
}
