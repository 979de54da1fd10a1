//! The effect of an event on one enrollment (E2 to E4).

use uuid::Uuid;

use crate::config::{Goal, GoalType, Logic, Workflow};
use crate::event::{Event, Fact};

/// The result of a match: the goals that the enrollment meets for the first time, and whether
/// it completes.
#[derive(Debug)]
pub struct Outcome {
    pub new_goals: Vec<Uuid>,
    /// Every goal that the enrollment has met, if the event completes it.
    pub completed_goals: Option<Vec<Uuid>>,
}

/// An event whose type can achieve a goal.
#[derive(Debug, Clone, Copy)]
pub struct GoalFact<'e, 'a> {
    pub goal_type: GoalType,
    fact: &'e Fact<'a>,
    /// The event's time plus the allowed clock skew (E3).
    time_us: i64,
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

    /// Whether the event matches any goal of the workflow (E2) and is not earlier than the
    /// enrollment (E3).
    #[inline]
    pub fn matches(&self, config: &Workflow, enrolled_at: i64) -> bool {
        self.time_us >= enrolled_at
            && config
                .matched(self.goal_type, self.time_us, self.fact)
                .next()
                .is_some()
    }

    /// The result of a match for an enrollment that has met the goals `met` (E4).
    pub fn outcome(&self, config: &Workflow, met: &[Uuid]) -> Outcome {
        let matched = config.matched(self.goal_type, self.time_us, self.fact);
        let is_new = |goal: &Uuid| !met.contains(goal);
        let (new_goals, completes): (Vec<Uuid>, bool) = match config.logic {
            Logic::Any => (matched.take(1).filter(is_new).collect(), true),
            Logic::All => {
                let new_goals: Vec<Uuid> = matched.filter(is_new).collect();
                let is_met = |goal: &Goal| met.contains(&goal.id) || new_goals.contains(&goal.id);
                let completes = config
                    .goals
                    .iter()
                    .all(|goal| !goal.is_active || is_met(goal));
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
