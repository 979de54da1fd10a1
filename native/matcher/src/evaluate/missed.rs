//! Events that paused workflows miss: the first event of each of its enrollments that would have counted
//! is kept, to be judged when the workflow is activated (E19).

use uuid::Uuid;

use super::stored::missed::Run;
use super::{Evaluation, turn};
use crate::event::Event;
use crate::proposal::{EntryRef, MissedEvent, MissedRun};
use crate::route::slot_of;

impl Evaluation<'_> {
    /// Whether a missed event is judged for this enrollment of the index.
    #[cold]
    pub(super) fn is_replayed(&self, tenant: &str, number: u32, key: Uuid) -> bool {
        let enrollment = self.index.enrollment_id(number);
        self.missed.is_judged(tenant, &enrollment, key)
    }

    /// Keeps an event that would have counted for an enrollment, unless an earlier one is kept. True
    /// if the event has used the turn.
    #[cold]
    pub(super) fn miss(
        &mut self,
        run: Run,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        key: Uuid,
    ) -> bool {
        let (workflow_id, enrollment_id): (Box<str>, Box<str>) = match run {
            Run::Indexed(number) => {
                let workflow = self.index.enrollment(number).workflow();
                (
                    self.index.workflow_id(workflow).into(),
                    self.index.enrollment_id(number).into(),
                )
            }
            Run::New(effect) => {
                let effect = &self.overlay.effects[effect];
                (effect.workflow_id.clone(), effect.enrollment_id.clone())
            }
        };
        if !self.missed.keep(run) {
            return false;
        }
        self.turn.spend(turn::ROW);
        let slot = slot_of(&event.tenant, &event.contact);
        // Rows of one event follow each other. Events of two contacts may have the same key.
        let events = &mut self.proposal.missed_events;
        if events.last().is_none_or(|last| {
            (last.event, &*last.contact_id, &*last.tenant_id)
                != (key, &*event.contact, &*event.tenant)
        }) {
            events.push(MissedEvent {
                tenant_id: (*event.tenant).into(),
                contact_id: (*event.contact).into(),
                slot,
                event: key,
                source: entry.into(),
                received_ms: entry.entry.ms,
                old_tags: self.known.old_tags(&event.tenant, key).into(),
            });
        }
        self.proposal.missed_runs.push(MissedRun {
            number: events.len() - 1,
            workflow_id,
            enrollment_id,
        });
        self.turn.is_spent()
    }
}
