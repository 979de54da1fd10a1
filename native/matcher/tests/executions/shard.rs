//! A matcher whose proposals are all committed, and the rows of its log.

use std::collections::BTreeMap;

use goald_matcher::buffer::BufferWriter;
use goald_matcher::config::{GoalSpec, WorkflowSpec};
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::executions::{
    ActionResult, AttemptKey, EngineRules, Facts, GateAnswer, Grants, Input, InputKind, Options,
    Outcome, Overdue, Queue, QueuedExecution, StartFacts, State, WorkflowPlans,
};
use goald_matcher::matcher::Matcher;
use goald_matcher::plan::Contact;
use goald_matcher::proposal::{Answer, ExecutionRows, LogRow, Proposal, Transition};
use serde_json::{Value, json};

use crate::support::{ms, packed, tzif};

/// Events and inputs for the shard: events of the contact's stream, and inputs that are on no stream.
#[derive(Debug, Clone)]
pub enum Given<'a> {
    /// An event, and the contact after it if it changes the contact.
    Event(Value, Option<Contact>),
    /// A request with this key.
    Trigger(&'a str),
    Retry(&'a str),
    /// By a user.
    Cancel(&'a str),
    Result(ActionResult<'a>),
    /// The contact meets the goal of the workflow.
    Goal,
    Migrate(&'a str),
    Resume(&'a str),
    Gate(GateAnswer<'a>),
}

impl<'a> Given<'a> {
    /// The event, if it is one.
    fn event(&self, at: i64) -> Option<Value> {
        Some(match self {
            Given::Event(event, _) => event.clone(),
            Given::Trigger(key) => {
                let data = json!({"workflow_id": "w-1", "key": key});
                event(
                    &format!("start-{key}"),
                    "workflow.execution.requested",
                    data,
                    at,
                )
            }
            Given::Retry(execution) => {
                let data = json!({"execution_id": execution, "user": "u-1"});
                event("retry", "workflow.execution.retry_requested", data, at)
            }
            Given::Cancel(execution) => {
                let data = json!({"execution_id": execution, "user": "u-1"});
                event("cancel", "workflow.execution.cancel_requested", data, at)
            }
            Given::Result(result) => finished(result, at),
            Given::Goal => event(&format!("paid-{at}"), "payment.completed", json!({}), at),
            _ => return None,
        })
    }

    fn input(&self) -> Option<InputKind<'a>> {
        Some(match *self {
            Given::Migrate(execution) => InputKind::Migrate { execution },
            Given::Resume(execution) => InputKind::Resume { execution },
            Given::Gate(answer) => InputKind::Gate(answer),
            _ => return None,
        })
    }
}

pub const START: &str = "2026-06-01T10:00:00Z";

pub struct Shard {
    pub matcher: Matcher,
    /// Milliseconds since the epoch; also the watermark.
    pub now: i64,
    pub contact: Contact,
    pub last_started: Option<i64>,
    pub grants: Option<Vec<(String, String, String)>>,
    pub logs: Vec<LogRow>,
    pub answers: Vec<Answer>,
    pub last: ExecutionRows,
    /// The statuses of the enrollments in the last proposal, by id.
    pub statuses: BTreeMap<String, &'static str>,
    pub only_events: bool,
    /// The facts that the last evaluation had.
    pub facts: Facts,
    sequence: u64,
    triggers: u32,
    is_active: bool,
}

impl Shard {
    /// A shard whose workflow has this plan, at `START`.
    pub fn new(plan: &Value) -> Shard {
        let mut matcher = Matcher::default();
        matcher.update_workflows(&[goals()]).expect("valid goals");
        let berlin = tzif("CET-1CEST,M3.5.0,M10.5.0/3");
        matcher.set_zone("Europe/Berlin", &berlin).expect("a zone");
        let mut shard = Shard {
            matcher,
            now: ms(START),
            contact: Contact::default(),
            last_started: None,
            grants: None,
            logs: Vec::new(),
            answers: Vec::new(),
            last: ExecutionRows::default(),
            statuses: BTreeMap::new(),
            only_events: false,
            facts: Facts::default(),
            sequence: 0,
            triggers: 0,
            is_active: true,
        };
        shard.publish(1, plan);
        shard
    }

    /// Publishes a version with which executions start from now on.
    pub fn publish(&mut self, version: i32, plan: &Value) {
        let plan = packed(plan);
        let given = WorkflowPlans {
            current: Some(version),
            versions: vec![(version, &plan)],
            ..self.workflow()
        };
        self.matcher.update_plans(&given).expect("a valid plan");
    }

    fn workflow(&self) -> WorkflowPlans<'static> {
        WorkflowPlans {
            tenant: "acme",
            workflow: "w-1",
            is_active: self.is_active,
            activated_at: None,
            overdue: Overdue::Run,
            current: None,
            versions: Vec::new(),
            tag_case_sensitive: false,
        }
    }

    pub fn deactivate(&mut self, plan: &Value) {
        self.is_active = false;
        self.publish(1, plan);
    }

    pub fn activate(&mut self, plan: &Value, overdue: Overdue) {
        self.is_active = true;
        let plan = packed(plan);
        let given = WorkflowPlans {
            activated_at: Some(self.now),
            overdue,
            current: Some(1),
            versions: vec![(1, &plan)],
            ..self.workflow()
        };
        self.matcher.update_plans(&given).expect("a valid plan");
    }

    /// Evaluates these with all facts, and commits everything.
    pub fn feed(&mut self, given: Vec<Given<'_>>) -> &ExecutionRows {
        self.matcher.advance_timers(self.now);
        let buffer = self.buffer(&given);
        self.facts = Facts::default();
        let proposal = self.evaluate_known(&buffer, &given);
        self.commit(proposal)
    }

    /// A buffer with the events among these. Redis has received them now.
    pub fn buffer(&mut self, given: &[Given<'_>]) -> Vec<u8> {
        let mut writer = BufferWriter::new();
        for event in given.iter().filter_map(|each| each.event(self.now)) {
            self.sequence += 1;
            writer.push(self.now as u64, self.sequence, event.to_string().as_bytes());
        }
        writer.finish()
    }

    /// Evaluates with the facts for which the evaluations ask.
    pub fn evaluate_known(&mut self, buffer: &[u8], given: &[Given<'_>]) -> Proposal {
        let described = given.iter().filter_map(|each| match each {
            Given::Event(_, contact) => contact.clone(),
            _ => None,
        });
        let contacts: Vec<Contact> = std::iter::once(self.contact.clone())
            .chain(described)
            .collect();
        loop {
            let proposal = self.evaluate(buffer, given, &self.facts);
            let Some(rows) = proposal
                .executions
                .as_ref()
                .filter(|rows| rows.is_incomplete())
            else {
                return proposal;
            };
            for check in &rows.contact_checks {
                let key = (check.tenant.to_string(), check.contact.to_string());
                let at = (check.position as usize).min(contacts.len() - 1);
                let known = self.facts.contacts.entry(key).or_default();
                known.insert(check.position, contacts[at].clone());
            }
            for check in &rows.start_checks {
                let known = StartFacts {
                    exists: false,
                    last_started: self.last_started,
                };
                let key = (check.tenant.to_string(), check.execution.to_string());
                self.facts.starts.insert(key, known);
            }
        }
    }

    pub fn evaluate(&self, buffer: &[u8], given: &[Given<'_>], facts: &Facts) -> Proposal {
        let inputs = given.iter().filter_map(Given::input);
        let inputs: Vec<Input<'_>> = inputs
            .map(|kind| Input {
                tenant: "acme",
                contact: "c-1",
                at: self.now,
                kind,
            })
            .collect();
        let options = Options {
            inputs: &inputs,
            now: self.now,
            watermark: self.now,
            grants: self.grants.as_deref().map_or(Grants::All, Grants::Some),
            max_timers: 100,
            only_events: self.only_events,
            facts,
            rules: EngineRules::default(),
        };
        let goals = EvaluateOptions::default();
        self.matcher
            .evaluate_with_executions(&[buffer], i64::MAX / 2, goals, options)
            .expect("a buffer")
    }

    pub fn commit(&mut self, mut proposal: Proposal) -> &ExecutionRows {
        for transition in proposal.transitions() {
            if transition.guard.is_none() {
                self.last_started = Some(transition.started_at);
            }
        }
        let (effects, transitions) = (proposal.effects.len(), proposal.transitions().len());
        self.matcher
            .apply_slice(
                &proposal,
                &proposal.whole(),
                &vec![1; effects],
                &vec![1; transitions],
            )
            .expect("a fresh proposal");
        let status = |effect: &goald_matcher::proposal::Effect| {
            (effect.enrollment_id.to_string(), effect.status.name())
        };
        self.statuses = proposal.effects.iter().map(status).collect();
        let rows = proposal
            .executions
            .take()
            .map_or_else(ExecutionRows::default, |rows| *rows);
        self.logs.extend(rows.logs.iter().cloned());
        self.answers
            .extend(rows.answers.iter().map(|(_, answer)| answer.clone()));
        self.last = rows;
        &self.last
    }

    /// The executions whose steps of this action wait.
    pub fn queued(&self, action: &str) -> Vec<QueuedExecution> {
        let queue = Queue {
            tenant: "acme".into(),
            action: action.into(),
            connection: None,
        };
        self.matcher.queued_executions(&queue, 10)
    }

    /// Starts an execution by a request.
    pub fn start(&mut self) -> Answer {
        self.triggers += 1;
        let key = self.triggers.to_string();
        self.feed(vec![Given::Trigger(&key)]);
        self.answers.last().expect("an answer").clone()
    }

    /// Time passes, and timers fire.
    pub fn pass(&mut self, seconds: i64) -> &ExecutionRows {
        self.now += seconds * 1_000;
        self.feed(Vec::new())
    }

    /// The only transition of the last proposal.
    pub fn transition(&self) -> &Transition {
        match &self.last.transitions[..] {
            [transition] => transition,
            other => unreachable!("{other:?} is not one transition"),
        }
    }

    pub fn state(&self) -> State {
        self.transition().after.state
    }

    /// Reports the outcome of the outstanding job, one second later.
    pub fn finish(&mut self, outcome: Outcome) -> &ExecutionRows {
        self.now += 1_000;
        let job = self.transition().clone();
        let result = report(&job, job.after.attempt, outcome);
        self.feed(vec![Given::Result(result)])
    }

    /// The names of the log's rows since the last call.
    pub fn log(&mut self) -> Vec<&'static str> {
        let rows = std::mem::take(&mut self.logs);
        rows.iter().map(|row| row.event).collect()
    }

    /// Feeds an event with this data that happened now.
    pub fn event(&mut self, id: &str, name: &str, data: Value) -> &ExecutionRows {
        self.feed(vec![Given::Event(event(id, name, data, self.now), None)])
    }
}

/// A result of an attempt of the step of a transition.
pub fn report(job: &Transition, attempt: u16, outcome: Outcome) -> ActionResult<'_> {
    ActionResult {
        key: AttemptKey {
            execution: &job.execution,
            step: &job.step,
            visit: job.after.visit,
            attempt,
        },
        outcome,
        error: Some("masked"),
        duration: 40,
    }
}

pub fn event(id: &str, name: &str, mut data: Value, at: i64) -> Value {
    data["contact_id"] = "c-1".into();
    let time = at as f64 / 1_000.0;
    json!({
        "id": id, "source": "test", "type": name, "time": time, "tenantid": "acme", "data": data,
    })
}

/// A result as a worker reports it.
fn finished(result: &ActionResult<'_>, at: i64) -> Value {
    let (outcome, is_keyed, delay) = match result.outcome {
        Outcome::Success => ("success", false, 0),
        Outcome::Retry => ("retry", false, 0),
        Outcome::Skip => ("skip", false, 0),
        Outcome::Pause => ("pause", false, 0),
        Outcome::RateLimit { delay } => ("rate_limit", false, delay),
        Outcome::Unknown { is_keyed } => ("unknown", is_keyed, 0),
        Outcome::Refused => ("refused", false, 0),
        Outcome::RefusedInactive => ("refused_inactive", false, 0),
    };
    let key = result.key;
    let data = json!({
        "execution_id": key.execution, "step_id": key.step, "visit": key.visit,
        "attempt": key.attempt, "outcome": outcome, "is_keyed": is_keyed, "delay_ms": delay,
        "error": result.error, "duration_ms": result.duration,
    });
    event(
        &format!("result-{at}"),
        "workflow.action.finished",
        data,
        at,
    )
}

/// The workflow, with a goal that any purchase meets.
fn goals() -> WorkflowSpec {
    let goal = GoalSpec {
        id: "00000000-0000-4000-8000-000000000001".into(),
        goal_type: "purchase_made".into(),
        criteria: json!({"any_purchase": true}).to_string(),
        check_on_enrollment: false,
        conversion_window: None,
        is_active: true,
        effective_from: Some(0),
        created_at: 0,
        position: 0,
    };
    WorkflowSpec {
        tenant_id: "acme".into(),
        workflow_id: "w-1".into(),
        goal_logic: "any".into(),
        is_active: true,
        tag_case_sensitive: false,
        goals: vec![goal],
    }
}
