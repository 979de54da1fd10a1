//! The limit of active enrollments of one contact (E5).
//!
//! Memory has the active enrollments only. It does not show that a start is a repeat: that its id
//! exists in Postgres, or that its contact was deleted later. So an evaluation that refuses a start
//! lists all starts that the refusal depends on, and is repeated once Postgres has said which of
//! them are repeats. Then its result does not depend on how the events were batched.

use super::turn;
use super::{Evaluation, Located};
use crate::event::Event;
use crate::proposal::{DoubtfulStart, EntryRef, Status};

impl Evaluation<'_> {
    /// Whether the contact of a start has as many active enrollments as one may have. A repeat is
    /// never refused: the commit finds that it changes nothing.
    pub(super) fn is_refused(&mut self, event: &Event<'_>, enrollment: &str, at: Located) -> bool {
        let most = self.rules.max_enrollments_per_contact;
        let indexed = at.contact.map_or(0, |contact| self.index.count(contact));
        let proposed = self
            .overlay
            .of_contact(at.hash, &event.tenant, &event.contact);
        if indexed + proposed.len() < most || self.repeats.contain(&event.tenant, enrollment) {
            return false;
        }
        self.turn.spend(turn::JUDGED * proposed.len() as u64);
        let (mut begun, mut ended) = (0, 0);
        for effect in proposed.iter().map(|&number| &self.overlay.effects[number]) {
            let is_active = effect.status == Status::Active;
            begun += usize::from(effect.is_new() && is_active && !effect.is_repeat);
            ended += usize::from(!effect.is_new() && !is_active);
        }
        indexed + begun - ended >= most
    }

    /// Dead-letters a start beyond the limit.
    pub(super) fn refuse_start(
        &mut self,
        entry: EntryRef<'_>,
        event: &Event<'_>,
        enrollment: &str,
        began_at: i64,
        at: Located,
    ) {
        let most = self.rules.max_enrollments_per_contact;
        self.dead_letter(
            entry,
            format!(
                "the contact has {most} active enrollments, which is the limit \
                 (GOALD_MAX_ENROLLMENTS_PER_CONTACT)"
            ),
        );
        self.full.starts.push(DoubtfulStart {
            tenant_id: (*event.tenant).into(),
            enrollment_id: enrollment.into(),
            contact_id: (*event.contact).into(),
            enrolled_at: began_at,
        });
        let contact = (at.hash, (*event.tenant).into(), (*event.contact).into());
        self.full.contacts.insert(contact);
        self.proposal.refused_starts += 1;
    }

    /// Adds the starts on which the refusals depend: the refused ones, and the proposed ones of
    /// the same contacts.
    pub(super) fn add_starts_at_limit(&mut self) {
        let starts = &mut self.proposal.doubtful_starts;
        starts.append(&mut self.full.starts);
        for (hash, tenant, contact) in &self.full.contacts {
            let proposed = self.overlay.of_contact(*hash, tenant, contact);
            let effects = proposed.iter().map(|&number| &self.overlay.effects[number]);
            starts.extend(
                effects
                    .filter(|effect| effect.is_new())
                    .map(|effect| DoubtfulStart {
                        tenant_id: effect.tenant_id.clone(),
                        enrollment_id: effect.enrollment_id.clone(),
                        contact_id: effect.contact_id.clone(),
                        enrolled_at: effect.began_at(),
                    }),
            );
        }
    }
}
