//! An execution during an evaluation.

use uuid::Uuid;

use super::input::Received;
use crate::index::Execution;
use crate::proposal::{End, Job};

/// An execution with the changes of the evaluation.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Its enrollment in the index; `None` if it is new.
    pub enrollment: Option<u32>,
    /// Its id, if it is new, and when it started.
    pub id: Option<Uuid>,
    pub begun: Option<Received>,
    /// The number of the effect on its enrollment, if it has one.
    pub effect: Option<usize>,
    pub workflow: u32,
    pub before: Option<Execution>,
    pub now: Execution,
    pub started_at: i64,
    /// How and when it has ended.
    pub end: Option<(End, i64)>,
    pub job: Option<Job>,
    /// The ids of the steps that were done.
    pub done: Vec<Box<str>>,
    /// The done steps that its plan does not have.
    pub other_done: Vec<Box<str>>,
    pub used_events: Vec<Uuid>,
    /// Of a new execution (`Transition::variables`).
    pub variables: Option<Box<str>>,
    /// Timers, gates and jobs leave it as it is.
    pub is_held: bool,
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
    pub at: Received,
    /// The lateness of an action counts from this time (X7).
    pub due: i64,
    /// The action is skipped, because the workflow was inactive when it became due.
    pub is_expired: bool,
}

impl Arrival {
    pub fn at(at: Received) -> Arrival {
        Arrival {
            at,
            due: at.ms,
            is_expired: false,
        }
    }
}
