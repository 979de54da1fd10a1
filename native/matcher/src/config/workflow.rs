//! Workflows and their goals, compiled for evaluation.

use std::fmt;

use uuid::Uuid;

use super::criteria::{Criteria, GoalType};
use super::criteria_read::read_match;
use super::products::Products;
use crate::decode::EventValues;
use crate::event::time::LAST_US;
use crate::event::{Fact, MatchValues};
use crate::ids::packed::uuid_bytes;

/// A workflow as the store describes it.
#[derive(Debug, Clone)]
pub struct WorkflowSpec {
    pub tenant_id: String,
    pub workflow_id: String,
    /// `any` or `all`.
    pub goal_logic: String,
    pub is_active: bool,
    /// Whether its tenant distinguishes names of tags by case (E16).
    pub tag_case_sensitive: bool,
    pub goals: Vec<GoalSpec>,
}

/// A goal as the store describes it. Times are microseconds since the epoch.
#[derive(Debug, Clone)]
pub struct GoalSpec {
    /// A UUID in canonical form.
    pub id: String,
    pub goal_type: String,
    /// A JSON object.
    pub criteria: String,
    /// Whether a state that the contact already has meets the goal (E22).
    pub check_on_enrollment: bool,
    /// For how long after the enrollment an event may meet the goal although the enrollment has
    /// ended, in microseconds (E18). `None`: until some time after the end.
    pub conversion_window: Option<i64>,
    pub is_active: bool,
    /// `None` if the goal was never activated. It then matches nothing.
    pub effective_from: Option<i64>,
    pub created_at: i64,
    pub position: i64,
}

/// Why a configuration is invalid. The message names the workflow and the goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logic {
    Any,
    All,
}

#[derive(Debug, Clone)]
pub struct Goal {
    pub id: Uuid,
    pub criteria: Criteria,
    pub check_on_enrollment: bool,
    /// The names of the values that the enrollment and the event must have in common (E17).
    pub match_names: Box<[Box<str>]>,
    /// As in `GoalSpec`.
    pub conversion_window: Option<i64>,
    pub is_active: bool,
    pub effective_from: Option<i64>,
}

/// Goals watch the enrollments that began, or that ended, at or after these times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedSince {
    pub began: i64,
    pub ended: i64,
}

impl WatchedSince {
    const NEVER: WatchedSince = WatchedSince {
        began: LAST_US,
        ended: LAST_US,
    };
}

/// In the bits of `Workflow::listens`, next to those of the goal types: a listening goal is checked
/// when an enrollment starts (E22).
pub const CHECKS_ON_ENROLLMENT: u8 = 1 << 6;

/// A compiled workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    pub logic: Logic,
    pub is_active: bool,
    /// Oldest first: by creation, then by position (E4).
    pub goals: Box<[Goal]>,
    /// Whether any goal compares values of enrollments (E17).
    pub compares_values: bool,
}

impl Workflow {
    pub fn read(spec: &WorkflowSpec) -> Result<Workflow, ConfigError> {
        let fault = |what: String| {
            ConfigError(format!(
                "workflow {} of tenant {}: {what}",
                spec.workflow_id, spec.tenant_id
            ))
        };
        let logic = match spec.goal_logic.as_str() {
            "any" => Logic::Any,
            "all" => Logic::All,
            other => return Err(fault(format!("goal_logic must be any or all, not {other}"))),
        };
        let mut goals = Vec::with_capacity(spec.goals.len());
        for goal in &spec.goals {
            let mut read =
                read_goal(goal).map_err(|what| fault(format!("goal {}: {what}", goal.id)))?;
            if spec.tag_case_sensitive {
                read.criteria.distinguish_tags_by_case();
            }
            goals.push((goal.created_at, goal.position, read));
        }
        goals.sort_by_key(|(created_at, position, _)| (*created_at, *position));
        let goals: Box<[Goal]> = goals.into_iter().map(|(_, _, goal)| goal).collect();
        Ok(Workflow {
            logic,
            is_active: spec.is_active,
            compares_values: goals.iter().any(|goal| !goal.match_names.is_empty()),
            goals,
        })
    }

    /// The ids of the goals that a fact matches at this time (E2, E3), oldest first, whether or not
    /// the workflow is active (E19). `products` are the fact's. `of_run` decides about the values of
    /// an enrollment.
    #[inline]
    pub fn matched<'a>(
        &'a self,
        goal_type: GoalType,
        time: i64,
        fact: &'a Fact<'_>,
        products: &'a Products<'_>,
    ) -> impl Iterator<Item = Uuid> + 'a {
        let matches = move |goal: &&Goal| {
            goal.criteria.goal_type() == goal_type
                && goal.is_active
                && goal.effective_from.is_some_and(|from| time >= from)
                && goal.criteria.check(fact, products).is_ok()
        };
        self.goals.iter().filter(matches).map(|goal| goal.id)
    }

    /// The goals that a state of the contact meets when its enrollment starts (E22), oldest first,
    /// with their types. `facts`: events that would give this state.
    pub fn matched_by_state(&self, time: i64, facts: &[Fact<'_>]) -> Vec<(Uuid, GoalType)> {
        let is_met = |goal: &&Goal| {
            let matches = |fact| goal.criteria.check(fact, &Products::of(fact)).is_ok();
            goal.check_on_enrollment && goal.counts_at(time) && facts.iter().any(matches)
        };
        let met = self.goals.iter().filter(is_met);
        met.map(|goal| (goal.id, goal.criteria.goal_type()))
            .collect()
    }

    /// Those of these goals whose values an enrollment and the event have in common (E17). Without
    /// `compares_values`, that is all of them.
    pub fn of_run(
        &self,
        matched: &[Uuid],
        run: Option<&MatchValues>,
        event: &EventValues<'_>,
    ) -> Vec<Uuid> {
        let holds = |id: &&Uuid| {
            let goal = self.goals.iter().find(|goal| goal.id == **id);
            goal.is_some_and(|goal| goal.check_values(run, event).is_ok())
        };
        matched.iter().filter(holds).copied().collect()
    }

    /// The goal types that the workflow listens to, as bits. A paused workflow listens too, because
    /// what it misses is kept (E19). `CHECKS_ON_ENROLLMENT` only if it is active.
    pub fn listens(&self) -> u8 {
        let listening = self.goals.iter().filter(|goal| goal.is_listening());
        listening.fold(0, |bits, goal| {
            let checks = u8::from(self.is_active && goal.check_on_enrollment);
            bits | goal.criteria.goal_type().bit() | (checks * CHECKS_ON_ENROLLMENT)
        })
    }

    /// Whether a goal needs the projection of contacts, also while it is inactive: what it does not
    /// know when the goal becomes active, no event repeats (E22).
    pub fn needs_contacts(&self) -> bool {
        self.goals.iter().any(|goal| goal.check_on_enrollment)
    }

    /// For how long after its end an enrollment may be watched at most (E18). `late_us`: by goals
    /// without a window. 0: not at all.
    pub fn horizon(&self, late_us: i64) -> i64 {
        let listening = self.goals.iter().filter(|goal| goal.is_listening());
        let horizons = listening.map(|goal| goal.conversion_window.unwrap_or(late_us));
        horizons.max().unwrap_or(0).max(0)
    }

    /// Those of these goals that watch an ended enrollment at this time (E18).
    pub fn watching(
        &self,
        matched: &[Uuid],
        time: i64,
        run: (i64, i64),
        late_us: i64,
    ) -> Vec<Uuid> {
        let watches = |id: &&Uuid| {
            let goal = self.goals.iter().find(|goal| goal.id == **id);
            goal.and_then(|goal| goal.watches_until(run, late_us))
                .is_some_and(|until| time <= until)
        };
        matched.iter().filter(watches).copied().collect()
    }

    /// Since when the enrollments have begun or ended that these goals watch at this time (E18).
    /// `None`: they watch none. Each of these goals watches some.
    pub fn watched_since(&self, matched: &[Uuid], time: i64, late_us: i64) -> Option<WatchedSince> {
        let goals = self.goals.iter().filter(|goal| matched.contains(&goal.id));
        let mut first = WatchedSince::NEVER;
        for goal in goals {
            match goal.conversion_window {
                Some(window) => first.began = first.began.min(time.saturating_sub(window)),
                None if late_us > 0 => first.ended = time.saturating_sub(late_us),
                None => {}
            }
        }
        (first != WatchedSince::NEVER).then_some(first)
    }

    /// The number of its goals that listen, for each of its enrollments.
    pub fn listeners_per_enrollment(&self) -> usize {
        let active = self.goals.iter().filter(|goal| goal.is_listening()).count();
        if self.is_active { active } else { 0 }
    }
}

impl Goal {
    /// `Ok` if the enrollment and the event have the same value of each name that the goal
    /// requires; otherwise the reason, with the name.
    pub fn check_values(
        &self,
        run: Option<&MatchValues>,
        event: &EventValues<'_>,
    ) -> Result<(), (&'static str, &str)> {
        for name in self.match_names.iter().map(|name| &**name) {
            let own = run.and_then(|run| run.get(name));
            match (own, event.get(name)) {
                (None, _) => return Err(("the enrollment has no", name)),
                (_, None) => return Err(("the event has no", name)),
                (Some(own), Some(value)) if own != value => {
                    return Err(("the enrollment has another", name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Until when it watches an enrollment that began and ended at these times (E18). `None`: it
    /// does not.
    pub fn watches_until(&self, (enrolled_at, ended_at): (i64, i64), late_us: i64) -> Option<i64> {
        match self.conversion_window {
            Some(window) => Some(enrolled_at.saturating_add(window)),
            None => (late_us > 0).then(|| ended_at.saturating_add(late_us)),
        }
    }

    fn is_listening(&self) -> bool {
        self.is_active && self.effective_from.is_some()
    }

    fn counts_at(&self, time: i64) -> bool {
        self.is_active && self.effective_from.is_some_and(|from| time >= from)
    }
}

fn read_goal(spec: &GoalSpec) -> Result<Goal, String> {
    let goal_type = GoalType::ALL
        .into_iter()
        .find(|goal_type| goal_type.name() == spec.goal_type)
        .ok_or_else(|| format!("unknown goal_type: {}", spec.goal_type))?;
    let match_names = read_match(&spec.criteria)?;
    Ok(Goal {
        id: goal_id(&spec.id).ok_or("the id is not a UUID in canonical form")?,
        criteria: Criteria::read(goal_type, &spec.criteria)?,
        // A state of the contact has no values of a run (E17).
        check_on_enrollment: spec.check_on_enrollment && match_names.is_empty(),
        match_names,
        conversion_window: spec.conversion_window,
        is_active: spec.is_active,
        effective_from: spec.effective_from,
    })
}

/// Parses a goal id in canonical form.
pub fn goal_id(text: &str) -> Option<Uuid> {
    uuid_bytes(text.as_bytes()).map(Uuid::from_bytes)
}
