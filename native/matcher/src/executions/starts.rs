//! Triggers start executions (X9, X11, X12, X14).

use uuid::Uuid;

use super::case::Case;
use super::ids;
use super::input::{Observed, Received, StartFacts};
use super::messages::StartRequest;
use super::run::Run;
use crate::event::Event;
use crate::index::{Execution, State, Steps};
use crate::plan::{Allow, UTC};
use crate::proposal::{Answer, CancelReason, StartCheck};

/// Changes of actions trigger nothing after this number of hops.
const MAX_HOPS: u8 = 10;
/// A second start within this time is the same one. Milliseconds.
const DUPLICATE_WINDOW: i64 = 5_000;

/// A trigger of a workflow that has been accepted so far.
#[derive(Debug)]
struct Start {
    workflow: u32,
    id: Uuid,
    at: Received,
    hops: u8,
    variables: Option<Box<str>>,
}

impl<'c> Case<'c> {
    /// Starts executions of the workflows that an event triggers.
    pub(super) fn start_by_event(&mut self, observed: &Observed<'c>) {
        let Observed { event, at, .. } = observed;
        let (at, registry) = (*at, self.registry());
        for &workflow in registry.workflows_of(&self.tenant) {
            let Some(current) = registry.get(workflow).current else {
                continue;
            };
            let trigger = registry.plan(current).plan.trigger.as_ref();
            let Some(pattern) =
                trigger.filter(|pattern| pattern.selects(&event.fact, &observed.changed))
            else {
                continue;
            };
            if pattern.needs_contact() {
                match self.contact_state() {
                    Some(contact) if pattern.holds(contact) => {}
                    _ => continue,
                }
            }
            let id = &registry.get(workflow).id;
            if observed.hops >= MAX_HOPS {
                self.log_other("hop_limit_reached", at.ms, Some(id), None);
                continue;
            }
            let id = ids::by_event(
                &self.tenant,
                id,
                &observed.original,
                &event.source,
                &event.id,
            );
            let names_trigger = registry.plan(current).plan.names_trigger;
            let variables = names_trigger.then(|| trigger_of(event));
            let start = Start {
                workflow,
                id,
                at,
                hops: observed.hops,
                variables,
            };
            self.start(start);
        }
    }

    /// Starts an execution by a request. `original`: its contact before it was passed on. `None` if facts are
    /// missing.
    pub(super) fn request(
        &mut self,
        request: StartRequest,
        original: &str,
        at: Received,
    ) -> Option<Answer> {
        let StartRequest {
            workflow,
            key,
            attributes,
        } = request;
        let workflow = &workflow;
        let id = ids::by_request(&self.tenant, workflow, original, &key);
        let Some(workflow) = self.registry().find(&self.tenant, workflow) else {
            return Some(Answer::InactiveWorkflow);
        };
        self.start(Start {
            workflow,
            id,
            at,
            hops: 0,
            variables: attributes.map(|json| format!(r#"{{"attributes":{json}}}"#).into()),
        })
    }

    /// `None` if facts are missing.
    fn start(&mut self, start: Start) -> Option<Answer> {
        let workflow = self.registry().get(start.workflow);
        let plan = match workflow.current {
            Some(plan) if workflow.is_active => plan,
            _ => return Some(Answer::InactiveWorkflow),
        };
        let id = start.id.to_string();
        let facts = self.start_facts(start.workflow, &id);
        let is_live =
            self.runs.iter().any(|run| run.id == Some(start.id)) || self.find(&id).is_some();
        if is_live || facts.is_some_and(|facts| facts.exists) {
            return Some(Answer::Repeated(start.id));
        }
        // Both are read in one query, so that both are asked for.
        let allows = self.allows_contact();
        let (Some(facts), Some(allows)) = (facts, allows) else {
            return None;
        };
        if !allows {
            self.log_other("opt_out_blocked", start.at.ms, Some(&workflow.id), None);
            return Some(Answer::OptedOut);
        }
        if let Some(answer) = self.blocked(&start, facts) {
            let message = answer.name();
            let row = self.log_other(
                "deduplication_blocked",
                start.at.ms,
                Some(&workflow.id),
                None,
            );
            row.message = Some(message.into());
            return Some(answer);
        }
        let id = start.id;
        self.begin(start, plan);
        Some(Answer::Started(id))
    }

    /// The rows of Postgres about a start; `None` if they must be read.
    fn start_facts(&mut self, workflow: u32, execution: &str) -> Option<StartFacts> {
        let key = (self.tenant.to_string(), execution.to_owned());
        let found = self.context.options.facts.starts.get(&key).copied();
        if found.is_none() {
            let check = StartCheck {
                tenant: self.tenant.clone(),
                contact: self.contact.clone(),
                workflow: self.registry().get(workflow).id.clone(),
                execution: execution.into(),
            };
            if !self.start_checks.contains(&check) {
                self.start_checks.push(check);
            }
        }
        found
    }

    /// The reason for which a start is not allowed, if there is one.
    fn blocked(&self, start: &Start, facts: StartFacts) -> Option<Answer> {
        let in_group = self.last_starts.iter().rev();
        let in_group = in_group.filter(|(workflow, _)| *workflow == start.workflow);
        let last = in_group.map(|(_, at)| *at).chain(facts.last_started).max();
        if last.is_some_and(|last| (start.at.ms - last).abs() < DUPLICATE_WINDOW) {
            return Some(Answer::Duplicate);
        }
        let workflow = self.registry().get(start.workflow);
        let reentry = self.registry().plan(workflow.current?).plan.reentry;
        let is_running = self.runs.iter().any(|run| {
            run.workflow == start.workflow && run.is_live() && run.now.state != State::Failed
        });
        match reentry.allow {
            Allow::AfterExit if is_running => return Some(Answer::AlreadyRunning),
            Allow::Once if last.is_some() => return Some(Answer::NotAllowedAgain),
            _ => {}
        }
        let is_early = last.is_some_and(|last| start.at.ms - last < reentry.min_interval);
        is_early.then_some(Answer::NotAllowedAgain)
    }

    /// Adds the execution, and ends those of the workflow that have failed. It enters its first step
    /// when it is released (§4).
    fn begin(&mut self, start: Start, plan: u32) {
        for run in 0..self.runs.len() {
            let other = &self.runs[run];
            let has_failed = other.is_live() && other.now.state == State::Failed;
            if has_failed && other.workflow == start.workflow {
                self.cancel(run, CancelReason::Superseded, None, start.at.ms);
            }
        }
        self.last_starts.push((start.workflow, start.at.ms));
        self.runs.push(Run {
            enrollment: None,
            id: Some(start.id),
            begun: Some(start.at),
            effect: None,
            workflow: start.workflow,
            before: None,
            now: Execution {
                plan,
                state: State::Queued,
                step: 0,
                visit: 1,
                attempt: 0,
                retries: 0,
                hops: start.hops,
                zone: UTC,
                since: start.at.ms,
                since_seq: 0,
                due: None,
                done: Steps::default(),
                migrates: false,
                used_event: false,
            },
            started_at: start.at.ms,
            end: None,
            job: None,
            done: Vec::new(),
            other_done: Vec::new(),
            used_events: Vec::new(),
            variables: start.variables,
            is_held: false,
            is_in_later_phase: false,
            has_result: false,
        });
        let run = self.runs.len() - 1;
        self.log_step(run, "execution_started", start.at.ms);
    }
}

/// An event as the templates of the execution that it starts see it.
fn trigger_of(event: &Event<'_>) -> Box<str> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let (id, source, name) = (text(&event.id), text(&event.source), text(&event.name));
    let (time, data) = (text(&event.time), event.data.to_json());
    let fields =
        format!(r#""id":{id},"source":{source},"type":{name},"time":{time},"data":{data}"#);
    format!(r#"{{"trigger":{{{fields}}}}}"#).into()
}
