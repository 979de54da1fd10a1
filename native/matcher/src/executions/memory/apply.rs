//! Applies committed transitions to memory.

use crate::index::Index;
use crate::proposal::Transition;

/// Applies a transition, after the effect that starts or ends its enrollment: an execution that
/// ends leaves memory with it.
pub(crate) fn apply_transition(index: &mut Index, transition: &Transition) {
    if transition.end.is_some() {
        return;
    }
    let Some(contact) = index.contact(&transition.tenant, &transition.contact) else {
        return;
    };
    let Some(enrollment) = index.find_enrollment(contact, &transition.execution) else {
        return;
    };
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
