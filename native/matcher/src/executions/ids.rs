//! The ids of executions and the keys of jobs.

use uuid::Uuid;

use crate::ids::derived;

/// The id of the execution that an event starts (X9).
pub(super) fn by_event(
    tenant: &str,
    workflow: &str,
    contact: &str,
    source: &str,
    id: &str,
) -> Uuid {
    derived::execution_id(&["event", tenant, workflow, contact, source, id])
}

/// The id of the execution that a request starts.
pub(super) fn by_request(tenant: &str, workflow: &str, contact: &str, key: &str) -> Uuid {
    derived::execution_id(&["request", tenant, workflow, contact, key])
}

/// The idempotency key of the jobs of a visit (X3).
pub(super) fn job_key(tenant: &str, execution: &str, step: &str, visit: u16) -> Uuid {
    derived::job_key(&[tenant, execution, step, &visit.to_string()])
}
