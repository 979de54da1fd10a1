//! The enrollments of executions: goald starts and ends them itself. They are enrollments like all
//! others, so their effects are in the overlay, where later events of the batch find them.

use super::batch::{OwnRun, OwnStart};
use super::record::microseconds;
use super::{Evaluation, Located, TYPES, turn};
use crate::event::Event;
use crate::ids::derived::event_key;
use crate::ids::packed::Key;
use crate::index::NONE;
use crate::proposal::{Effect, EntryRef, Status};
use crate::route::slot_of;

impl<'i> Evaluation<'i> {
    /// How many contact events and deletions the events so far have caused.
    #[inline]
    pub fn place(&self) -> (usize, usize) {
        (
            self.proposal.contact_events.len(),
            self.proposal.deletions.len(),
        )
    }

    /// Whether an event is passed on, because its contact was merged into another, or back (E21).
    pub fn is_forwarded(&self, entry: EntryRef<'_>, event: &Event<'_>) -> bool {
        let forward = || self.index.forward_of(&event.tenant, &event.contact);
        self.origins.returned_to(entry.buffer).is_some()
            || (self.index.has_forwards() && forward().is_some())
    }

    /// The merged contact of an entry, if another shard has passed it on (E21).
    pub fn original_contact(&self, entry: EntryRef<'_>) -> Option<&str> {
        self.origins.contact(entry.buffer)
    }

    /// Whether an event of the tenant is evaluated further when this proposal is committed, so that
    /// the first phase of its contact is not complete. Events beyond the tenant's share are those of
    /// a later group: if results waited for them, the results could fill the share forever.
    pub fn holds(&self, tenant: &str) -> bool {
        self.turn.holds(tenant)
    }

    /// Keeps an evaluated entry of this tenant for a later call as well.
    pub fn defer_again(&mut self, tenant: &str, entry: EntryRef<'_>) {
        self.turn.defer(tenant, entry);
    }

    /// Counts an event that is read for executions only.
    pub fn count_message(&mut self, event: &Event<'_>) {
        if let Some(number) = TYPES.iter().position(|name| **name == *event.name) {
            self.counts[number] += 1;
            self.proposal.ignored -= 1;
        }
    }

    /// The status of an enrollment after the events so far, and the effect on it, if there is one.
    pub fn own_status(&self, run: OwnRun) -> (Status, Option<usize>) {
        let effect = match run {
            OwnRun::Indexed(number) => self.overlay.on_record(number),
            OwnRun::New(effect) => Some(effect),
        };
        let status = effect.map(|effect| self.overlay.effects[effect].status);
        (status.unwrap_or(Status::Active), effect)
    }

    /// Starts the enrollment of an execution, and returns its effect. It may meet goals immediately (E22).
    pub fn start_own(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        start: OwnStart<'_>,
    ) -> usize {
        let at = self.locate_contact(&event.tenant, &event.contact);
        self.turn.start(0);
        self.turn.spend(turn::ROW);
        let (used_before, after_event) = self.used_before(event, start.workflow, at);
        let effect = Effect {
            tenant_id: (*event.tenant).into(),
            enrollment_id: start.enrollment.into(),
            contact_id: (*event.contact).into(),
            workflow_id: start.workflow.into(),
            slot: slot_of(&event.tenant, &event.contact),
            record: None,
            after_end: false,
            status: Status::Active,
            enrolled_at: start.enrolled_at,
            ended_at: None,
            met: Vec::new(),
            pending_actions: None,
            received_at: None,
            merges: self.later_merges.of(entry.buffer).into(),
            is_repeat: false,
            started_by: Some(event_key(&event.source, &event.id)),
            match_values: None,
            used_before,
            after_event,
            sources: Vec::new(),
            contenders: Vec::new(),
        };
        let number = self.overlay.add(at.hash, effect);
        self.check_on_enrollment(entry, event, number);
        self.turn.end(&event.tenant);
        number
    }

    /// Ends the enrollment of an execution of this contact, and returns its effect. `ended_ms`: in
    /// milliseconds.
    pub fn end_own(
        &mut self,
        (tenant, contact): (&str, &str),
        run: OwnRun,
        status: Status,
        ended_ms: i64,
    ) -> usize {
        let number = match run {
            OwnRun::New(effect) => effect,
            OwnRun::Indexed(number) => match self.overlay.on_record(number) {
                Some(effect) => effect,
                None => {
                    let hash = self.locate_contact(tenant, contact).hash;
                    self.add_update(number, tenant, contact, hash)
                }
            },
        };
        self.turn.spend(turn::ROW);
        let effect = &mut self.overlay.effects[number];
        let ended_at = microseconds(ended_ms.max(0).unsigned_abs());
        effect.status = status;
        effect.ended_at = Some(ended_at.max(effect.enrolled_at));
        number
    }

    fn locate_contact(&self, tenant: &str, contact: &str) -> Located {
        let number = self.index.tenant(tenant);
        let key = Key::of(contact);
        let hash = self.index.hash(number.unwrap_or(NONE), key);
        Located {
            hash,
            tenant: number,
            contact: number.and_then(|tenant| self.index.find_hashed(hash, tenant, key)),
        }
    }
}
