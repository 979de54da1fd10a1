//! Slices, repeated deliveries, and lost memory.

use goald_matcher::executions::{Facts, Outcome, Overdue, StartFacts, State};
use goald_matcher::proposal::{Answer, CancelReason, End, Transition};
use serde_json::json;

use crate::shard::{Given, Shard, event, report};
use crate::support::{action, contact, drip, steps};

/// A shard with executions of one contact, whose jobs are outstanding.
fn running(count: usize) -> (Shard, Vec<Transition>) {
    let mut plan = drip();
    plan[2] = json!([2, 0]);
    let mut shard = Shard::new(&plan);
    let mut jobs = Vec::new();
    for _ in 0..count {
        assert!(matches!(shard.start(), Answer::Started(_)));
        jobs.push(shard.transition().clone());
        shard.now += 10_000;
    }
    (shard, jobs)
}

#[test]
fn the_first_phase_of_a_contact_is_committed_before_the_others() {
    let (mut shard, jobs) = running(3);
    let result = |job| Given::Result(report(job, 1, Outcome::Success));
    let cancel = Given::Cancel(&jobs[2].execution);
    let given = vec![result(&jobs[0]), result(&jobs[1]), cancel];
    let buffer = shard.buffer(&given);
    let proposal = shard.evaluate(&buffer, &given, &Facts::default());
    // The contact is one slice.
    assert_eq!(proposal.slices(1, usize::MAX), [proposal.whole()]);
    assert!(proposal.halves(&proposal.whole()).is_none());
    shard.commit(proposal);
    let order = shard.last.transitions.iter();
    let order: Vec<_> = order.map(|each| (each.is_first_phase, each.end)).collect();
    assert_eq!(
        order,
        [
            (true, Some(End::Cancelled(CancelReason::User))),
            (false, None),
            (false, None)
        ]
    );
}

#[test]
fn the_effects_and_transitions_of_a_contact_are_one_slice() {
    let (mut shard, _) = running(3);
    let buffer = shard.buffer(&[Given::Goal]);
    let proposal = shard.evaluate(&buffer, &[], &Facts::default());
    assert_eq!(
        (proposal.effects.len(), proposal.transitions().len()),
        (3, 3)
    );
    assert_eq!(proposal.slices(1, 1), [proposal.whole()]);
    assert!(proposal.halves(&proposal.whole()).is_none());
}

#[test]
fn a_wait_for_a_time_becomes_one_for_a_wall_time_in_a_new_version() {
    let mut shard = Shard::new(&drip());
    shard.start();
    shard.finish(Outcome::Success);
    let execution = shard.transition().execution.clone();
    let nine = json!([4, "w", 2, 2, 32_400, 127, null, null]);
    shard.publish(2, &steps(json!([action("a", 1), nine, action("b", 3)])));
    shard.feed(vec![Given::Migrate(&execution)]);
    // 09:00 in Berlin, the zone of the plan, on the next day.
    let due = crate::support::ms("2026-06-02T07:00:00Z");
    assert_eq!(shard.transition().after.due, Some(due));
    assert_eq!(&*shard.transition().zone, "Europe/Berlin");
}

#[test]
fn a_wall_time_is_one_of_the_zone_of_the_contact() {
    let nine = json!([4, "w", 2, 1, 32_400, 127, null, null]);
    let mut shard = Shard::new(&steps(json!([nine, action("a", 2)])));
    let mut known = contact(&[], "{}");
    known.timezone = Some("UTC".into());
    shard.contact = known;
    shard.start();
    let due = crate::support::ms("2026-06-02T09:00:00Z");
    assert_eq!(shard.transition().after.due, Some(due));
}

#[test]
fn a_result_for_an_execution_that_is_not_in_memory_is_late() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let execution = shard.transition().execution.clone();
    assert_eq!(shard.matcher.executions_in(State::Running)[0].2, *execution);
    shard.matcher.evict([("acme", "c-1")]);
    assert!(shard.matcher.executions_in(State::Running).is_empty());
    let execution = shard.transition().clone();
    let late = report(&execution, 1, Outcome::Success);
    shard.feed(vec![Given::Result(late)]);
    assert_eq!(shard.last.logs[0].event, "late_result");
}

#[test]
fn a_result_that_is_delivered_again_does_not_schedule_another_retry() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    shard.finish(Outcome::Retry);
    let retries = shard.transition().after.retries;
    let again = report(&job, 1, Outcome::Retry);
    assert!(
        shard
            .feed(vec![Given::Result(again)])
            .transitions
            .is_empty()
    );
    assert_eq!((retries, shard.log().last()), (1, Some(&"late_result")));
}

#[test]
fn a_trigger_that_is_delivered_again_is_repeated_at_any_time() {
    let mut plan = drip();
    plan[2] = json!([2, 0]);
    let mut shard = Shard::new(&plan);
    let trigger = Given::Trigger("k");
    shard.feed(vec![trigger.clone()]);
    let execution = shard.transition().execution.clone();
    shard.now += 60_000;
    assert!(shard.feed(vec![trigger.clone()]).transitions.is_empty());
    assert!(
        matches!(shard.answers.last(), Some(Answer::Repeated(id)) if id.to_string() == *execution)
    );
    // Also after its end, which only Postgres knows.
    shard.feed(vec![Given::Goal]);
    let mut facts = Facts::default();
    let known = StartFacts {
        exists: true,
        last_started: None,
    };
    facts
        .starts
        .insert(("acme".into(), execution.to_string()), known);
    let buffer = shard.buffer(&[trigger]);
    let proposal = shard.evaluate(&buffer, &[], &facts);
    assert!(proposal.transitions().is_empty());
    let rows = proposal.executions.expect("an answer");
    assert!(matches!(rows.answers[0].1, Answer::Repeated(_)));
}

#[test]
fn an_input_of_another_execution_fires_no_timer_of_an_inactive_workflow() {
    let plan = drip();
    let mut shard = Shard::new(&plan);
    shard.start();
    shard.finish(Outcome::Success);
    shard.deactivate(&plan);
    shard.now += 10_000_000;
    let retry = Given::Retry("other");
    assert!(shard.feed(vec![retry]).transitions.is_empty());
    shard.activate(&plan, Overdue::Run);
    shard.pass(0);
    assert_eq!(shard.state(), State::Running);
}

#[test]
fn an_event_that_a_producer_sends_twice_ends_one_wait() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let wait = |id: &str, next: u8| json!([5, id, 1, next, next, form, null]);
    let mut shard = Shard::new(&steps(json!([wait("v", 1), wait("w", 2)])));
    shard.start();
    let form = event("e-1", "form.submitted", json!({"form_id": "f"}), shard.now);
    let form = Given::Event(form, None);
    shard.feed(vec![form.clone(), form]);
    assert_eq!(&*shard.transition().step, "w");
}

#[test]
fn a_proposal_is_stale_when_another_was_applied() {
    let (mut shard, jobs) = running(2);
    let evaluate = |shard: &mut Shard, job| {
        let buffer = shard.buffer(&[Given::Result(report(job, 1, Outcome::Success))]);
        shard.evaluate(&buffer, &[], &Facts::default())
    };
    let (first, second) = (
        evaluate(&mut shard, &jobs[0]),
        evaluate(&mut shard, &jobs[1]),
    );
    let matcher = &mut shard.matcher;
    let mut apply = |proposal| matcher.apply_slice(proposal, &proposal.whole(), &[], &[1]);
    apply(&first).expect("a fresh proposal");
    assert!(apply(&second).is_err());
}

#[test]
fn no_step_of_an_inactive_workflow_is_released() {
    let plan = steps(json!([action("a", 1), action("b", 2)]));
    let mut shard = Shard::new(&plan);
    shard.start();
    shard.deactivate(&plan);
    shard.finish(Outcome::Success);
    let stopped = shard.transition();
    assert_eq!(
        (&*stopped.step, stopped.after.state),
        ("b", State::Inactive)
    );
    assert_eq!(
        (stopped.permit, stopped.job.is_none()),
        ((true, false), true)
    );
    shard.activate(&plan, Overdue::Run);
    shard.pass(0);
    assert_eq!(shard.state(), State::Running);
}
