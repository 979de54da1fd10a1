//! An execution during an evaluation.

use uuid::Uuid;

use super::proposal::{End, Job};
use crate::index::Execution;

/// An execution with the changes of the evaluation.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Its enrollment in the index; `None` if it is new.
    pub enrollment: Option<u32>,
    /// Its id, if it is new.
    pub id: Option<Uuid>,
    pub workflow: u32,
    pub before: Option<Execution>,
    pub now: Execution,
    pub started_at: i64,
    pub end: Option<End>,
    pub job: Option<Job>,
    /// The ids of the steps that were done.
    pub done: Vec<Box<str>>,
    /// The done steps that its plan does not have.
    pub other_done: Vec<Box<str>>,
    pub used_events: Vec<Uuid>,
    /// Results, timers or jobs have changed it.
    pub is_in_later_phase: bool,
    /// Its gate is finished, because its result is here.
    pub has_result: bool,
}

impl Run {
    pub fn is_live(&self) -> bool {
        self.end.is_none()
    }

    pub fn is_changed(&self) -> bool {
        self.before != Some(self.now) || self.end.is_some()
    }
}

/// When a step becomes due, and when it is reached.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    /// Waits begin at this time.
    pub at: i64,
    /// The lateness of an action counts from this time (X7).
    pub due: i64,
    /// The action is skipped, because the workflow was inactive when it became due.
    pub is_expired: bool,
}

impl Arrival {
    pub fn at(at: i64) -> Arrival {
        Arrival {
            at,
            due: at,
            is_expired: false,
        }
    }
}
