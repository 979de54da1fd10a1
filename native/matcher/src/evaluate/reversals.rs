//! Refunds and cancelled appointments: they achieve nothing, and are counted next to conversions
//! (E13, E15).

use super::{Evaluation, turn};
use crate::config::GoalType;
use crate::event::Event;
use crate::proposal::Reversal;
use crate::route::slot_of;

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
}
