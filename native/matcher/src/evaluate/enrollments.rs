//! Events that start, end or delete: the life of an enrollment (E5).

use super::record::microseconds;
use super::turn;
use super::{ACKNOWLEDGED, DELETED, Evaluation, Located};
use crate::event::limits::AHEAD_US;
use crate::event::{Event, Fact};
use crate::proposal::{
    Acknowledgement, Contender, Deletion, Effect, EnrollmentSource, EntryRef, OTHER_OWNER, Status,
    USED_ID,
};
use crate::route::slot_of;

/// The index or batch entry that owns an enrollment id.
enum KnownId {
    /// The index contains the id, under the same contact and workflow.
    Indexed(u32),
    /// An earlier event of the batch proposes the id, under the same contact and workflow.
    Proposed(usize),
    /// The index contains the id under another workflow.
    OwnedByOther,
    /// An earlier event of the batch proposes the id under another contact or workflow.
    Contended(usize),
}

/// When Redis received the entry, if the enrollment that it starts is dated ahead of it. An entry
/// whose id is no credible time (a producer may choose ids) does not count.
fn ahead_of(entry: EntryRef<'_>, enrolled_at: i64) -> Option<i64> {
    let received_at = microseconds(entry.entry.ms) + 999; // the end of that millisecond
    let ahead = enrolled_at.saturating_sub(received_at);
    (ahead > 0 && ahead <= AHEAD_US).then_some(received_at)
}

impl Evaluation<'_> {
    /// `workflow.enrollment.started` and `workflow.enrollment.ended` (E5). False if the event must
    /// wait for the commit of earlier ones.
    pub(super) fn start_or_end(
        &mut self,
        counter: usize,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        at: Located,
    ) -> bool {
        let (workflow, enrollment, status, enrolled_at, pending_actions, started_by, match_values) =
            match &event.fact {
                Fact::EnrollmentStarted {
                    workflow_id,
                    enrollment_id,
                    enrolled_at_us,
                    pending_actions,
                    started_by,
                    match_values,
                } => {
                    let enrolled_at = enrolled_at_us.unwrap_or(event.time_us);
                    (
                        workflow_id,
                        enrollment_id,
                        Status::Active,
                        enrolled_at,
                        *pending_actions,
                        *started_by,
                        match_values.as_ref(),
                    )
                }
                Fact::EnrollmentEnded {
                    workflow_id,
                    enrollment_id,
                    reason,
                } => (
                    workflow_id,
                    enrollment_id,
                    Status::from(*reason),
                    event.time_us,
                    None,
                    None,
                    None,
                ),
                _ => return true,
            };
        let ends = status != Status::Active;
        self.ended.has_ends |= ends;
        // An enrollment that began before its contact was deleted, and arrives after it, is
        // cancelled from its start.
        let received_at = if ends {
            None
        } else {
            ahead_of(entry, enrolled_at)
        };
        let began_at = received_at.unwrap_or(enrolled_at);
        let is_deleted = self.deletions.cover(event, began_at);
        // Which events counted before an enrollment of the new contact is known only when the
        // deletion of the old one is committed.
        if !ends && !is_deleted && self.deletions.contain(event) {
            return false;
        }
        let source = || EnrollmentSource {
            source: entry.into(),
            enrolled_at: (!ends && !is_deleted).then_some(enrolled_at),
            began_at,
        };
        let known = self.known_id(event, enrollment, workflow, at);
        if !ends && !is_deleted && self.waits(known.as_ref(), enrolled_at) {
            return false;
        }
        self.counts[counter] += 1;
        let effect = match known {
            Some(KnownId::OwnedByOther) => {
                self.dead_letter(entry, OTHER_OWNER.to_owned());
                return true;
            }
            Some(KnownId::Contended(effect)) => {
                self.turn.spend(turn::REJECTED);
                self.overlay.effects[effect].contenders.push(Contender {
                    source: source(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                });
                return true;
            }
            Some(KnownId::Indexed(number)) if !ends => {
                if !is_deleted && self.has_ended_at_another_time(number, enrolled_at) {
                    self.dead_letter(entry, USED_ID.to_owned());
                }
                return true;
            }
            Some(KnownId::Indexed(number)) => self.update_of(number, event, at),
            Some(KnownId::Proposed(effect)) => {
                self.overlay.effects[effect].sources.push(source());
                effect
            }
            None if !ends && !is_deleted && self.is_refused(event, enrollment, at) => {
                self.refuse_start(entry, event, enrollment, began_at, at);
                return true;
            }
            None => {
                self.turn.spend(turn::ROW);
                let (used_before, after_event) = self.used_before(event, workflow, at);
                let (status, ended_at) = if is_deleted {
                    (Status::Cancelled, Some(enrolled_at))
                } else {
                    (status, ends.then_some(event.time_us))
                };
                let effect = Effect {
                    tenant_id: (*event.tenant).into(),
                    enrollment_id: (**enrollment).into(),
                    contact_id: (*event.contact).into(),
                    workflow_id: (**workflow).into(),
                    slot: slot_of(&event.tenant, &event.contact),
                    record: None,
                    after_end: false,
                    status,
                    enrolled_at,
                    ended_at,
                    met: Vec::new(),
                    pending_actions,
                    received_at,
                    merges: self.later_merges.of(entry.buffer).into(),
                    is_repeat: self.repeats.contain(&event.tenant, enrollment),
                    started_by,
                    match_values: match_values.cloned(),
                    used_before,
                    after_event,
                    sources: vec![source()],
                    contenders: Vec::new(),
                };
                let number = self.overlay.add(at.hash, effect);
                self.check_on_enrollment(entry, event, number);
                return true;
            }
        };
        if ends {
            self.end(effect, status, event.time_us);
        }
        true
    }

    /// Whether a start must wait for the commit: the batch ends an enrollment with its id, and only
    /// the commit shows if that enrollment had begun at another time, or its contact was deleted.
    fn waits(&self, known: Option<&KnownId>, enrolled_at: i64) -> bool {
        match known {
            Some(KnownId::Proposed(effect)) => {
                let effect = &self.overlay.effects[*effect];
                effect.status != Status::Active && effect.enrolled_at != enrolled_at
            }
            Some(KnownId::Indexed(number)) => {
                self.has_ended_at_another_time(*number, enrolled_at)
                    && enrolled_at < self.index.enrollment(*number).enrolled_at
            }
            _ => false,
        }
    }

    /// Whether the batch has ended an enrollment of the index that began at another time (E12).
    fn has_ended_at_another_time(&self, number: u32, enrolled_at: i64) -> bool {
        let effect = self.overlay.on_record(number);
        effect.is_some_and(|effect| self.overlay.effects[effect].status != Status::Active)
            && self.index.enrollment(number).enrolled_at != enrolled_at
    }

    /// Whether the enrollment id is known, and under which contact and workflow.
    fn known_id(
        &self,
        event: &Event<'_>,
        enrollment: &str,
        workflow: &str,
        at: Located,
    ) -> Option<KnownId> {
        let indexed = at
            .contact
            .and_then(|contact| self.index.find_enrollment(contact, enrollment));
        if let Some(number) = indexed {
            let current = self
                .index
                .workflow_id(self.index.enrollment(number).workflow());
            return if *current == *workflow {
                Some(KnownId::Indexed(number))
            } else {
                Some(KnownId::OwnedByOther)
            };
        }
        let number = self.overlay.by_id(&event.tenant, enrollment)?;
        let effect = &self.overlay.effects[number];
        let is_same = *effect.contact_id == *event.contact && *effect.workflow_id == *workflow;
        if is_same {
            Some(KnownId::Proposed(number))
        } else {
            Some(KnownId::Contended(number))
        }
    }

    /// `contact.deleted` cancels the enrollments that began at or before its time, without an
    /// exit, unless they moved to the contact after it. False if some of them must wait.
    pub(super) fn delete(&mut self, event: &Event<'_>, at: Located) -> bool {
        let index = self.index;
        let began = |contact: u32| -> Box<dyn Iterator<Item = u32> + '_> {
            if index.is_high_fanout(contact) {
                let groups = index.groups(contact);
                return Box::new(groups.flat_map(|group| group.until(event.time_us)));
            }
            let chain = index.of_contact(contact);
            let earlier = chain.filter(|(_, record)| record.enrolled_at <= event.time_us);
            Box::new(earlier.map(|(number, _)| number))
        };
        let earlier = at.contact.into_iter().flat_map(began);
        for number in earlier.filter(|number| !index.joined_after(*number, event.time_us)) {
            let effect = self.update_of(number, event, at);
            if self.end(effect, Status::Cancelled, event.time_us) && self.turn.is_spent() {
                return false;
            }
        }
        for effect in self.proposed_for(event, at) {
            let proposed = &self.overlay.effects[effect];
            let ended_at = event.time_us.max(proposed.enrolled_at);
            if proposed.began_at() <= event.time_us
                && self.end(effect, Status::Cancelled, ended_at)
                && self.turn.is_spent()
            {
                return false;
            }
        }
        self.turn.spend(turn::DELETED);
        self.counts[DELETED] += 1;
        if self.may_be_ahead(event, at) {
            self.turn.wait(&event.tenant);
        }
        if !self.origins.is_empty() {
            // The deletion may end the forward that brought a later event of the batch.
            self.turn.hold(&event.tenant);
        }
        self.deletions.add(event);
        self.proposal.deletions.push(Deletion {
            tenant_id: (*event.tenant).into(),
            contact_id: (*event.contact).into(),
            slot: slot_of(&event.tenant, &event.contact),
            time: event.time_us,
        });
        true
    }

    /// Whether memory has an enrollment that may be dated ahead of its start's receipt and of this
    /// deletion. Only Postgres knows when its start was received, so the commit cancels it.
    fn may_be_ahead(&self, event: &Event<'_>, at: Located) -> bool {
        let index = self.index;
        let (time, end) = (event.time_us, event.time_us.saturating_add(AHEAD_US));
        at.contact.is_some_and(|contact| {
            if index.is_high_fanout(contact) {
                let mut groups = index.groups(contact);
                groups.any(|group| group.has_between(time, end))
            } else {
                let mut chain = index.of_contact(contact);
                chain.any(|(_, record)| time < record.enrolled_at && record.enrolled_at <= end)
            }
        })
    }

    pub(super) fn acknowledge(&mut self, event: &Event<'_>) {
        self.counts[ACKNOWLEDGED] += 1;
        self.turn.spend(turn::ROW);
        if let Fact::ExitAcknowledged {
            workflow_id,
            enrollment_id,
            cancelled_actions,
        } = &event.fact
        {
            self.proposal.acknowledgements.push(Acknowledgement {
                tenant_id: (*event.tenant).into(),
                enrollment_id: (**enrollment_id).into(),
                contact_id: (*event.contact).into(),
                workflow_id: (**workflow_id).into(),
                slot: slot_of(&event.tenant, &event.contact),
                cancelled_actions: *cancelled_actions,
                time: event.time_us,
            });
        }
    }

    /// Sets a final status, unless the enrollment already has one (E5). Returns whether it had
    /// none.
    fn end(&mut self, effect: usize, status: Status, time: i64) -> bool {
        let effect = &mut self.overlay.effects[effect];
        let was_active = effect.status == Status::Active;
        if was_active {
            effect.status = status;
            effect.ended_at = Some(time);
            if time <= effect.enrolled_at {
                // Otherwise, it could be an enrollment of which only the end is known.
                effect.received_at.get_or_insert(effect.enrolled_at);
            }
        }
        self.turn
            .spend(if was_active { turn::ROW } else { turn::JUDGED });
        was_active
    }

    /// The effect on an enrollment of the index; added if there is none yet.
    fn update_of(&mut self, number: u32, event: &Event<'_>, at: Located) -> usize {
        match self.overlay.on_record(number) {
            Some(effect) => effect,
            None => self.add_update(number, &event.tenant, &event.contact, at.hash),
        }
    }

    pub(super) fn add_update(
        &mut self,
        number: u32,
        tenant: &str,
        contact: &str,
        hash: u64,
    ) -> usize {
        let enrollment = self.index.enrollment(number);
        let effect = Effect {
            tenant_id: tenant.into(),
            enrollment_id: self.index.enrollment_id(number).into(),
            contact_id: contact.into(),
            workflow_id: self.index.workflow_id(enrollment.workflow()).into(),
            slot: slot_of(tenant, contact),
            record: Some(number),
            after_end: false,
            status: Status::Active,
            enrolled_at: enrollment.enrolled_at,
            ended_at: None,
            met: Vec::new(),
            pending_actions: None,
            received_at: None,
            merges: Box::default(),
            is_repeat: false,
            started_by: None,
            match_values: None,
            used_before: 0,
            after_event: None,
            sources: Vec::new(),
            contenders: Vec::new(),
        };
        self.overlay.add(hash, effect)
    }
}
