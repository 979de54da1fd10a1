//! The transitions of a contact, from its runs.

use super::case::Case;
use crate::index::State;
use crate::proposal::{ExecutionRows, Guard, Transition};
use crate::route::slot_of;

impl Case<'_> {
    /// Adds the changed runs to the proposal, those of the first phase first (X1), and the rows of
    /// the log.
    pub(crate) fn finish(mut self, out: &mut ExecutionRows) {
        let mut order: Vec<usize> = (0..self.runs.len())
            .filter(|&run| self.runs[run].is_changed())
            .collect();
        order.sort_by_key(|&run| self.runs[run].is_in_later_phase);
        let mut transitions = vec![None; self.runs.len()];
        for run in order {
            transitions[run] = Some(out.transitions.len());
            let transition = self.transition(run);
            out.transitions.push(transition);
        }
        for (run, transition) in transitions.iter().enumerate() {
            let Some(transition) = transition else {
                continue;
            };
            // Only a run that had used events before may have used these.
            if self.runs[run]
                .before
                .is_some_and(|before| before.used_event)
            {
                let used = self.runs[run].used_events.iter();
                let checks = used.map(|event| (*transition, *event));
                out.event_checks.extend(checks);
            }
        }
        for mut notification in std::mem::take(&mut self.notifications) {
            if let Some(transition) = transitions[notification.transition] {
                notification.transition = transition;
                out.notifications.push(notification);
            }
        }
        self.publish_logs(&transitions, &mut out.logs);
        out.answers.append(&mut self.answers);
        out.delays.append(&mut self.delays);
        out.contact_checks.append(&mut self.contact_checks);
        out.start_checks.append(&mut self.start_checks);
    }

    fn transition(&mut self, number: usize) -> Transition {
        let execution = self.id_of(number);
        let registry = self.registry();
        let run = &mut self.runs[number];
        let published = registry.plan(run.now.plan);
        let workflow = registry.get(run.workflow);
        let guard = run.before.map(|before| {
            let plan = &registry.plan(before.plan).plan;
            Guard {
                step: plan.step_id(before.step).into(),
                visit: before.visit,
                attempt: before.attempt,
                state: before.state.name(),
            }
        });
        let was_running = run
            .before
            .is_some_and(|before| before.state == State::Running);
        let is_same_job = run.end.is_none()
            && run.now.state == State::Running
            && run.before.map(|before| before.attempt) == Some(run.now.attempt);
        let had_permit = run.before.is_some_and(|before| before.state.has_permit());
        let steps = published.plan.steps.len() as u8;
        let longest = published
            .plan
            .step(run.now.step)
            .map_or(0, |step| step.longest);
        let act = published.plan.act(run.now.step);
        Transition {
            tenant: self.tenant.clone(),
            contact: self.contact.clone(),
            slot: slot_of(&self.tenant, &self.contact),
            workflow: workflow.id.clone(),
            execution,
            effect: run.effect,
            version: published.version,
            guard,
            after: run.now,
            step: published.plan.step_id(run.now.step).into(),
            action: act.map(|act| act.action.clone()),
            connection: act.and_then(|act| act.connection.clone()),
            zone: registry.zones.name(run.now.zone).into(),
            total_steps: (run.now.done.count() + longest).min(steps),
            done: std::mem::take(&mut run.done),
            other_done: std::mem::take(&mut run.other_done),
            started_at: run.started_at,
            variables: run.variables.take(),
            end: run.end.map(|(end, _)| end),
            job: run.job.take(),
            closes_gate: was_running && !is_same_job && !run.has_result,
            permit: (had_permit, run.end.is_none() && run.now.state.has_permit()),
            used_events: run.used_events.clone(),
            is_first_phase: !run.is_in_later_phase,
        }
    }
}
