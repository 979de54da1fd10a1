//! Names the enrollments of executions in an evaluation.

/// The enrollment of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnRun {
    /// In the index.
    Indexed(u32),
    /// The number of the effect that starts it.
    New(usize),
}

/// The start of an execution by an event.
#[derive(Debug, Clone, Copy)]
pub struct OwnStart<'s> {
    pub workflow: &'s str,
    pub enrollment: &'s str,
    pub enrolled_at: i64,
}
