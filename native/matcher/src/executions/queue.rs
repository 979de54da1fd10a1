//! Executions that wait for a job, by name.

/// An execution: tenant, contact, and its id.
pub type ExecutionKey = (String, String, String);

/// Due steps that share a connection; without one, those of the same action (X16).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    pub tenant: Box<str>,
    /// Empty: steps that are no actions, and need a permit only.
    pub action: Box<str>,
    pub connection: Option<Box<str>>,
}

/// An execution that waits for a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedExecution {
    pub key: ExecutionKey,
    /// When its step became due.
    pub since: i64,
    pub has_permit: bool,
}
