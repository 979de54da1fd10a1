//! Workflows and their goals, compiled for evaluation.

use std::fmt;

use uuid::Uuid;

use super::criteria::{Criteria, GoalType};
use super::products::Products;
use crate::event::Fact;
use crate::ids::packed::uuid_bytes;

/// A workflow as the store describes it.
#[derive(Debug, Clone)]
pub struct WorkflowSpec {
    pub tenant_id: String,
    pub workflow_id: String,
    /// `any` or `all`.
    pub goal_logic: String,
    pub is_active: bool,
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
    pub is_active: bool,
    pub effective_from: Option<i64>,
}

/// A compiled workflow.
#[derive(Debug, Clone)]
pub struct Workflow {
    pub logic: Logic,
    pub is_active: bool,
    /// Oldest first: by creation, then by position (E4).
    pub goals: Box<[Goal]>,
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
            let read =
                read_goal(goal).map_err(|what| fault(format!("goal {}: {what}", goal.id)))?;
            goals.push((goal.created_at, goal.position, read));
        }
        goals.sort_by_key(|(created_at, position, _)| (*created_at, *position));
        let goals = goals.into_iter().map(|(_, _, goal)| goal).collect();
        Ok(Workflow {
            logic,
            is_active: spec.is_active,
            goals,
        })
    }

    /// The ids of the goals that a fact matches at this time (E2, E3), oldest first. `products`
    /// are the fact's.
    #[inline]
    pub fn matched<'a>(
        &'a self,
        goal_type: GoalType,
        time: i64,
        fact: &'a Fact<'_>,
        products: &'a Products<'_>,
    ) -> impl Iterator<Item = Uuid> + 'a {
        let matches = move |goal: &&Goal| {
            self.is_active
                && goal.criteria.goal_type() == goal_type
                && goal.is_active
                && goal.effective_from.is_some_and(|from| time >= from)
                && goal.criteria.check(fact, products).is_ok()
        };
        self.goals.iter().filter(matches).map(|goal| goal.id)
    }

    /// The goal types that the workflow listens to, as bits.
    pub fn listens(&self) -> u8 {
        if !self.is_active {
            return 0;
        }
        let listening = self.goals.iter().filter(|goal| goal.is_listening());
        listening.fold(0, |bits, goal| bits | goal.criteria.goal_type().bit())
    }

    /// The number of its goals that listen, for each of its enrollments.
    pub fn listeners_per_enrollment(&self) -> usize {
        let active = self.goals.iter().filter(|goal| goal.is_listening()).count();
        if self.is_active { active } else { 0 }
    }
}

impl Goal {
    fn is_listening(&self) -> bool {
        self.is_active && self.effective_from.is_some()
    }
}

fn read_goal(spec: &GoalSpec) -> Result<Goal, String> {
    let goal_type = GoalType::ALL
        .into_iter()
        .find(|goal_type| goal_type.name() == spec.goal_type)
        .ok_or_else(|| format!("unknown goal_type: {}", spec.goal_type))?;
    Ok(Goal {
        id: goal_id(&spec.id).ok_or("the id is not a UUID in canonical form")?,
        criteria: Criteria::read(goal_type, &spec.criteria)?,
        is_active: spec.is_active,
        effective_from: spec.effective_from,
    })
}

/// Parses a goal id in canonical form.
pub fn goal_id(text: &str) -> Option<Uuid> {
    uuid_bytes(text.as_bytes()).map(Uuid::from_bytes)
}
