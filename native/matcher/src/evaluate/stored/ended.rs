//! The ended enrollments that Postgres has (E18), and those that a batch changes.

use ahash::RandomState;
use hashbrown::HashMap;
use uuid::Uuid;

use crate::event::MatchValues;
use crate::proposal::Status;

/// An enrollment that has ended, otherwise than by its goals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedRun {
    pub enrollment_id: String,
    pub status: Status,
    pub enrolled_at: i64,
    pub ended_at: i64,
    /// At the latest when its start was received.
    pub began_at: i64,
    /// The goals that it has met.
    pub met: Vec<Uuid>,
    pub match_values: Option<MatchValues>,
    pub started_by: Option<Uuid>,
    /// The merges that moved it, each by when Redis received it, in order (E21).
    pub merges: Vec<i64>,
}

/// The ended enrollments of a contact in a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedAnswer {
    pub tenant_id: String,
    pub contact_id: String,
    pub workflow_id: String,
    /// The events that were asked about, and whether they have counted in the workflow.
    pub events: Vec<(Uuid, bool)>,
    pub runs: Vec<WatchedRun>,
}

/// Tenant, contact and workflow.
type Runs<'e> = (&'e str, &'e str, &'e str);

/// The answers to the questions of earlier evaluations, and the effects of the batch.
#[derive(Debug, Default)]
pub struct EndedRuns<'e> {
    answers: HashMap<Runs<'e>, &'e EndedAnswer, RandomState>,
    /// Whether events wait that would ask.
    pub defers: bool,
    /// Whether the batch has ended enrollments.
    pub has_ends: bool,
    /// By tenant and enrollment id: the effect of the batch on an enrollment that had ended.
    pub effects: HashMap<(Box<str>, Box<str>), usize, RandomState>,
}

impl<'e> EndedRuns<'e> {
    pub fn new(answers: &'e [EndedAnswer], defers: bool) -> EndedRuns<'e> {
        let key = |answer: &'e EndedAnswer| {
            let runs = (
                &*answer.tenant_id,
                &*answer.contact_id,
                &*answer.workflow_id,
            );
            (runs, answer)
        };
        EndedRuns {
            answers: answers.iter().map(key).collect(),
            defers,
            has_ends: false,
            effects: HashMap::default(),
        }
    }

    /// Whether the event has counted in the workflow, and the ended enrollments. `None` if Postgres
    /// was not asked.
    pub fn answer(&self, runs: Runs<'_>, event: Uuid) -> Option<(bool, &'e [WatchedRun])> {
        let answer = *self.answers.get(&runs)?;
        let asked = answer.events.iter().find(|(of, _)| *of == event)?;
        Some((asked.1, &answer.runs))
    }
}
