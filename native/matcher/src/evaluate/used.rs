//! One event counts in one run (E11): events that counted for earlier enrollments of the contact in
//! the workflow do not count for a new one. And an event counts for the enrollments that its contact
//! had when Redis received it (E21).
//!
//! Memory has no used events and no merges of enrollments. It knows which enrollments Postgres must be
//! asked about: those that started after an event had counted, those that were moved, and those of
//! this batch. The rest costs nothing.

use uuid::Uuid;

use super::record::receipt;
use super::stored::later_merges::next;
use super::stored::used_events::runs;
use super::{Evaluation, Located};
use crate::event::Event;
use crate::proposal::{DoubtfulStart, EntryRef, EventCheck, UsedEvent};

/// An event that would count for an enrollment.
#[derive(Debug, Clone, Copy)]
pub(super) struct JudgedEvent<'e, 'a> {
    pub entry: EntryRef<'e>,
    pub event: &'e Event<'a>,
    /// Identifies the event within its tenant.
    pub key: Uuid,
}

impl Evaluation<'_> {
    /// Whether the event does not count for an enrollment of the index. If the enrollment excludes
    /// events, Postgres must be asked.
    #[cold]
    pub(super) fn is_excluded(&mut self, number: u32, event: JudgedEvent<'_, '_>) -> bool {
        if !self.index.enrollment(number).excludes() {
            return !self.later_merges.of(event.entry.buffer).is_empty();
        }
        let enrollment = self.index.enrollment_id(number);
        let workflow = self.index.enrollment(number).workflow();
        let workflow = self.index.workflow_id(workflow);
        self.ask(event, workflow, &enrollment)
    }

    /// The same for an enrollment that the batch starts.
    pub(super) fn is_excluded_for_new(
        &mut self,
        effect: usize,
        event: JudgedEvent<'_, '_>,
    ) -> bool {
        let JudgedEvent { entry, key, .. } = event;
        let effect = &self.overlay.effects[effect];
        if effect.started_by == Some(key) {
            return true;
        }
        let received_at = receipt(entry.entry);
        let merges = self.later_merges.of(entry.buffer);
        if next(&effect.merges, received_at) != merges.first().copied() {
            return true;
        }
        let (workflow, enrollment) = (effect.workflow_id.clone(), effect.enrollment_id.clone());
        let before = effect.used_before;
        if before > 0 {
            let used = self.used.in_batch.get(&runs(event.event, &workflow));
            if used.is_some_and(|used| used[..before].contains(&key)) {
                return true;
            }
        }
        self.ask(event, &workflow, &enrollment)
    }

    /// Whether Postgres excludes the event; otherwise, that is a question to it.
    fn ask(&mut self, judged: JudgedEvent<'_, '_>, workflow: &str, enrollment: &str) -> bool {
        let JudgedEvent { entry, event, key } = judged;
        // A missed event counted for its enrollment before the merges of this one.
        let (received_at, next_merge) = if self.missed.is_replay() {
            (i64::MAX, 0)
        } else {
            let merges = self.later_merges.of(entry.buffer);
            (
                receipt(entry.entry),
                merges.first().copied().unwrap_or_default(),
            )
        };
        let excluded = (&*event.tenant, enrollment, key, received_at);
        if self.used.excluded.contains(&excluded) {
            return true;
        }
        self.proposal.event_checks.push(EventCheck {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            workflow_id: workflow.into(),
            enrollment_id: enrollment.into(),
            event: key,
            received_at,
            next_merge,
        });
        false
    }

    /// The event counted for an enrollment.
    pub(super) fn use_event(&mut self, effect: usize, judged: JudgedEvent<'_, '_>) {
        let JudgedEvent { entry, event, key } = judged;
        let workflow = &self.overlay.effects[effect].workflow_id;
        let used = self.used.in_batch.entry(runs(event, workflow)).or_default();
        if !used.contains(&key) {
            used.push(key);
        }
        self.proposal.used_events.push(UsedEvent {
            effect,
            event: key,
            received_at: receipt(entry.entry),
        });
    }

    /// How many events of the batch counted for the contact in a workflow, and the last of them.
    /// If starts of the batch that may be repeats caused that, they are doubtful.
    pub(super) fn used_before(
        &mut self,
        event: &Event<'_>,
        workflow: &str,
        at: Located,
    ) -> (usize, Option<Uuid>) {
        if self.used.in_batch.is_empty() {
            return (0, None);
        }
        let Some(used) = self.used.in_batch.get(&runs(event, workflow)) else {
            return (0, None);
        };
        let before = (used.len(), used.last().copied());
        for number in self.proposed_for(event, at) {
            let effect = &self.overlay.effects[number];
            if effect.is_new() && !effect.met.is_empty() && *effect.workflow_id == *workflow {
                self.proposal.doubtful_starts.push(DoubtfulStart {
                    tenant_id: effect.tenant_id.clone(),
                    enrollment_id: effect.enrollment_id.clone(),
                    contact_id: effect.contact_id.clone(),
                    enrolled_at: effect.began_at(),
                });
            }
        }
        before
    }
}
