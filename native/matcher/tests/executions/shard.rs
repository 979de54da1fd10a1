//! A matcher whose proposals are all committed, and the rows of its log.

use goald_matcher::decode::decode;
use goald_matcher::executions::{
    ActionResult, Answer, AttemptKey, EngineRules, ExecutionProposal, Facts, Grants, Happened,
    Input, InputKind, LogRow, Options, Outcome, Overdue, StartFacts, State, Transition, Trigger,
    WorkflowPlans,
};
use goald_matcher::matcher::Matcher;
use goald_matcher::plan::Contact;
use serde_json::{Value, json};

use crate::support::{ms, packed, tzif};

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
    pub last: ExecutionProposal,
    triggers: u32,
    is_active: bool,
}

impl Shard {
    /// A shard whose workflow has this plan, at `START`.
    pub fn new(plan: &Value) -> Shard {
        let mut matcher = Matcher::default();
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
            last: ExecutionProposal::default(),
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

    /// Evaluates inputs with all facts, and commits everything.
    pub fn feed(&mut self, kinds: Vec<InputKind<'_>>) -> &ExecutionProposal {
        let at = self.now;
        let inputs: Vec<Input<'_>> = kinds
            .into_iter()
            .map(|kind| Input {
                tenant: "acme",
                contact: "c-1",
                at,
                kind,
            })
            .collect();
        self.matcher.advance_timers(self.now);
        let mut facts = Facts::default();
        let contact = ("acme".to_owned(), "c-1".to_owned());
        facts.contacts.insert(contact, self.contact.clone());
        let mut proposal = self.evaluate(&inputs, &facts);
        if proposal.is_incomplete() {
            for check in &proposal.start_checks {
                let known = StartFacts {
                    exists: false,
                    last_started: self.last_started,
                };
                let key = (check.tenant.to_string(), check.execution.to_string());
                facts.starts.insert(key, known);
            }
            proposal = self.evaluate(&inputs, &facts);
        }
        assert!(!proposal.is_incomplete());
        self.commit(proposal)
    }

    pub fn evaluate(&self, inputs: &[Input<'_>], facts: &Facts) -> ExecutionProposal {
        let options = Options {
            now: self.now,
            watermark: self.now,
            grants: self.grants.as_deref().map_or(Grants::All, Grants::Some),
            max_timers: 100,
            only_events: false,
            facts,
            rules: EngineRules::default(),
        };
        self.matcher.evaluate_executions(inputs, options)
    }

    fn commit(&mut self, proposal: ExecutionProposal) -> &ExecutionProposal {
        let count = proposal.transitions.len();
        for transition in &proposal.transitions {
            if transition.guard.is_none() {
                self.last_started = Some(transition.started_at);
            }
        }
        self.matcher
            .apply_executions(&proposal, 0..count, &vec![1; count])
            .expect("a fresh proposal");
        self.logs.extend(proposal.logs.iter().cloned());
        self.answers
            .extend(proposal.answers.iter().map(|(_, answer)| answer.clone()));
        self.last = proposal;
        &self.last
    }

    /// Starts an execution by a request.
    pub fn start(&mut self) -> Answer {
        self.triggers += 1;
        let key = self.triggers.to_string();
        let trigger = Trigger {
            workflow: "w-1",
            key: &key,
        };
        self.feed(vec![InputKind::Trigger(trigger)]);
        self.answers.last().expect("an answer").clone()
    }

    /// Time passes, and timers fire.
    pub fn pass(&mut self, seconds: i64) -> &ExecutionProposal {
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
    pub fn finish(&mut self, outcome: Outcome) -> &ExecutionProposal {
        self.now += 1_000;
        let job = self.transition().clone();
        let result = report(&job, job.after.attempt, outcome);
        self.feed(vec![InputKind::Result(result)])
    }

    /// The names of the log's rows since the last call.
    pub fn log(&mut self) -> Vec<&'static str> {
        let rows = std::mem::take(&mut self.logs);
        rows.iter().map(|row| row.event).collect()
    }

    /// Feeds an event with this data that happened now.
    pub fn event(&mut self, id: &str, name: &str, data: Value) -> &ExecutionProposal {
        let bytes = event(id, name, data, self.now);
        let happened = happened(&bytes, None);
        self.feed(vec![happened])
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

pub fn event(id: &str, name: &str, mut data: Value, at: i64) -> Vec<u8> {
    data["contact_id"] = "c-1".into();
    let time = at as f64 / 1_000.0;
    let event = json!({
        "id": id, "source": "test", "type": name, "time": time, "tenantid": "acme", "data": data,
    });
    event.to_string().into_bytes()
}

pub fn happened(bytes: &[u8], contact: Option<Contact>) -> InputKind<'_> {
    InputKind::Event(Box::new(Happened {
        event: decode(bytes, i64::MAX / 2).expect("a valid event"),
        hops: 0,
        contact,
        changed: Vec::new(),
    }))
}
