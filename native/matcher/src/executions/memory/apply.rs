//! Applies committed transitions to memory.

use crate::executions::proposal::Transition;
use crate::index::{Index, NewEnrollment};

/// Applies a transition: the execution, and the start or the end of its enrollment.
pub(crate) fn apply_transition(index: &mut Index, transition: &Transition) {
    if transition.guard.is_none() && transition.end.is_none() {
        index.insert(NewEnrollment {
            tenant: &transition.tenant,
            contact: &transition.contact,
            enrollment: &transition.execution,
            workflow: &transition.workflow,
            enrolled_at: transition.started_at * 1_000,
            met: &[],
            // The event that started it does not count for it (E11).
            excludes: true,
            match_values: None,
            joined_at: None,
        });
    }
    let Some(contact) = index.contact(&transition.tenant, &transition.contact) else {
        return;
    };
    let Some(enrollment) = index.find_enrollment(contact, &transition.execution) else {
        return;
    };
    if transition.end.is_some() {
        return index.remove(contact, enrollment);
    }
    let executions = index.executions_mut();
    let at = match executions.of(enrollment) {
        Some(at) => {
            executions.update(at, &transition.after);
            at
        }
        None => executions.insert(contact, enrollment, &transition.after),
    };
    executions.set_other_done(at, &transition.other_done);
}
