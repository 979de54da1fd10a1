//! The effect of an event on one enrollment (E2 to E4).

use uuid::Uuid;

use crate::config::{Goal, GoalType, Logic, Products, Workflow};
use crate::event::{Event, Fact};

/// The result of a match: the goals that the enrollment meets for the first time, and whether
/// it completes.
#[derive(Debug)]
pub struct Outcome {
    pub new_goals: Vec<Uuid>,
    /// Every goal that the enrollment has met, if the event completes it.
    pub completed_goals: Option<Vec<Uuid>>,
}

impl Outcome {
    /// Whether the enrollment meets nothing new and does not complete.
    pub fn changes_nothing(&self) -> bool {
        self.new_goals.is_empty() && self.completed_goals.is_none()
    }

    /// The enrollment meets one goal.
    pub fn meets(goal: Uuid) -> Outcome {
        Outcome {
            new_goals: vec![goal],
            completed_goals: None,
        }
    }

    /// The enrollment completes with these goals, all of which it has met before.
    pub fn completes(goals: Vec<Uuid>) -> Outcome {
        Outcome {
            new_goals: Vec::new(),
            completed_goals: Some(goals),
        }
    }

    /// The result for an enrollment that has met the goals `met`, of an event that matches the
    /// goals `matched` of its workflow, oldest first (E4). Nothing changes if it matches none.
    pub fn of(config: &Workflow, matched: &[Uuid], met: &[Uuid]) -> Outcome {
        let is_new = |goal: &Uuid| !met.contains(goal);
        let (new_goals, completes): (Vec<Uuid>, bool) = match config.logic {
            Logic::Any => {
                let first = matched.iter().take(1);
                (first.copied().filter(is_new).collect(), !matched.is_empty())
            }
            Logic::All => {
                let new_goals: Vec<Uuid> = matched.iter().copied().filter(is_new).collect();
                let is_met = |goal: &Goal| met.contains(&goal.id) || new_goals.contains(&goal.id);
                let is_complete = || {
                    let mut active = config.goals.iter().filter(|goal| goal.is_active);
                    active.all(is_met)
                };
                let completes = !matched.is_empty() && is_complete();
                (new_goals, completes)
            }
        };
        let completed_goals = completes.then(|| {
            let mut goals = [met, &new_goals].concat();
            // Goals that are no longer configured come first, then the others, oldest first.
            goals.sort_by_key(|id| config.goals.iter().position(|goal| goal.id == *id));
            goals
        });
        Outcome {
            new_goals,
            completed_goals,
        }
    }
}

/// An event whose type can achieve a goal.
#[derive(Debug, Clone, Copy)]
pub struct GoalFact<'e, 'a> {
    pub goal_type: GoalType,
    /// The event's time plus the allowed clock skew (E3).
    pub time_us: i64,
    fact: &'e Fact<'a>,
}

impl<'e, 'a> GoalFact<'e, 'a> {
    /// `None` if no goal type listens to events of this type.
    #[inline]
    pub fn of(event: &'e Event<'a>, clock_skew_us: i64) -> Option<GoalFact<'e, 'a>> {
        Some(GoalFact {
            goal_type: GoalType::of(&event.fact)?,
            fact: &event.fact,
            time_us: event.time_us.saturating_add(clock_skew_us),
        })
    }

    /// The same time with another fact of this type.
    pub fn with<'f>(&self, fact: &'f Fact<'a>) -> GoalFact<'f, 'a> {
        GoalFact {
            goal_type: self.goal_type,
            time_us: self.time_us,
            fact,
        }
    }

    /// The number of listed tags that each workflow is compared with.
    #[inline]
    pub fn tags(&self) -> u64 {
        match self.fact {
            Fact::TagAdded { tags, .. } => tags.len() as u64,
            _ => 0,
        }
    }

    /// The products of the event, to be passed to `matched` for each workflow.
    #[inline]
    pub fn products(&self) -> Products<'e> {
        Products::of(self.fact)
    }

    /// The goals of a workflow that the event matches (E2, E3), oldest first. The same for each
    /// enrollment that began at or before `time_us`.
    #[inline]
    pub fn matched(&self, config: &Workflow, products: &Products<'_>) -> Vec<Uuid> {
        config
            .matched(self.goal_type, self.time_us, self.fact, products)
            .collect()
    }
}
