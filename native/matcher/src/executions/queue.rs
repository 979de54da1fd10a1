//! Executions that wait for a job, by name.

/// An execution: tenant, contact, and its id.
pub type ExecutionKey = (String, String, String);

/// An execution that waits for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedExecution {
    pub key: ExecutionKey,
    /// When its step became due.
    pub since: i64,
    pub has_permit: bool,
    pub connection: Option<Box<str>>,
}
