//! The states of executions (§4), and the rules of their steps.

use goald_matcher::executions::{Facts, Outcome, Overdue, State};
use goald_matcher::proposal::{Answer, CancelReason, End};
use serde_json::json;

use crate::shard::{Given, Shard, event, report};
use crate::support::{action, drip, steps};

#[test]
fn steps_follow_each_other_and_the_last_one_completes() {
    let mut shard = Shard::new(&drip());
    assert!(matches!(shard.start(), Answer::Started(_)));
    let started = shard.transition().clone();
    assert_eq!(
        (started.guard.clone(), started.after.state),
        (None, State::Running)
    );
    assert_eq!(
        (&*started.step, started.after.attempt, started.permit),
        ("a", 1, (false, true))
    );
    assert_eq!(shard.log(), ["execution_started"]);

    shard.finish(Outcome::Success);
    let waits = shard.transition().clone();
    assert_eq!(
        (waits.after.state, waits.permit),
        (State::Sleeping, (true, false))
    );
    assert_eq!(waits.after.due, Some(shard.now + 7_200_000));
    assert_eq!(waits.done, ["a".into()]);
    assert_eq!(
        shard.log(),
        ["action_started", "action_completed", "wait_started"]
    );

    assert!(shard.pass(7_199).transitions.is_empty());
    shard.pass(1);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
    assert_ne!(
        shard.transition().job.as_ref().map(|job| job.key),
        started.job.map(|job| job.key)
    );
    shard.log();
    shard.finish(Outcome::Success);
    assert_eq!(shard.transition().end, Some(End::Finished));
    assert_eq!(
        shard.log(),
        ["action_started", "action_completed", "execution_completed"]
    );
    assert_eq!(shard.matcher.stats().enrollments, 0);
}

#[test]
fn an_end_anywhere_in_a_group_precedes_the_start_of_a_step() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    shard.now += 1_000;
    let success = Given::Result(report(&job, 1, Outcome::Success));
    shard.log();
    shard.feed(vec![success, Given::Goal]);
    let end = shard.transition();
    assert_eq!(
        (end.end, end.closes_gate, end.permit),
        (Some(End::GoalAchieved), true, (true, false))
    );
    assert!(end.job.is_none());
    assert_eq!(
        shard.log(),
        ["goal_achieved", "execution_completed", "late_result"]
    );
}

#[test]
fn events_only_may_be_committed_before_the_rest_of_their_contact() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    shard.only_events = true;
    let result = Given::Result(report(&job, 1, Outcome::Success));
    let buffer = shard.buffer(&[result]);
    let proposal = shard.evaluate(&buffer, &[], &Facts::default());
    assert!(proposal.transitions().is_empty());
    // The result is evaluated with a later call.
    assert_eq!(proposal.deferred.len(), 1);
    shard.only_events = false;
    let later = shard.evaluate(&proposal.deferred[0].bytes, &[], &Facts::default());
    assert_eq!(later.transitions()[0].after.state, State::Sleeping);
}

#[test]
fn a_result_of_another_attempt_changes_nothing() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    for attempt in [0, 2] {
        let result = Given::Result(report(&job, attempt, Outcome::Success));
        assert!(shard.feed(vec![result]).transitions.is_empty());
    }
    let twice = [Outcome::Success, Outcome::Success];
    let results = twice.map(|outcome| Given::Result(report(&job, 1, outcome)));
    shard.log();
    shard.feed(results.to_vec());
    assert_eq!(shard.state(), State::Sleeping);
    assert_eq!(
        shard.log(),
        [
            "action_started",
            "action_completed",
            "wait_started",
            "late_result"
        ]
    );
}

#[test]
fn without_a_grant_a_due_step_waits_in_the_queue() {
    let mut shard = Shard::new(&drip());
    shard.grants = Some(Vec::new());
    shard.start();
    assert_eq!(
        (shard.state(), shard.transition().permit),
        (State::Queued, (false, false))
    );
    let queued = shard.queued("noop");
    assert_eq!((queued[0].since, queued[0].has_permit), (shard.now, false));
    let grant = queued[0].key.clone();
    shard.grants = Some(vec![grant.clone()]);
    shard.pass(1);
    assert_eq!(
        (shard.state(), shard.transition().permit),
        (State::Running, (false, true))
    );
    // A grant that starts no job is returned.
    shard.finish(Outcome::Success);
    assert_eq!(shard.state(), State::Sleeping);
    assert_eq!(shard.last.unused_grants[0].1, grant.2.into_boxed_str());
    assert!(shard.queued("noop").is_empty());
}

#[test]
fn a_step_that_would_start_too_late_is_skipped() {
    let errors = json!([null, null, "fail", "continue", "continue"]);
    let limited = json!([1, "a", 2, 1, "noop", null, "{}", errors, 60_000_000]);
    let plan = steps(json!([limited, [3, "w", 2, 2, 1_000_000], action("b", 3)]));
    let mut shard = Shard::new(&plan);
    shard.grants = Some(Vec::new());
    shard.start();
    shard.grants = Some(vec![shard.queued("noop")[0].key.clone()]);
    shard.log();
    shard.pass(61);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Sleeping, "w")
    );
    assert_eq!(shard.log(), ["skipped_expired", "wait_started"]);
}

#[test]
fn an_inactive_workflow_holds_everything() {
    let plan = drip();
    let mut shard = Shard::new(&plan);
    shard.start();
    shard.finish(Outcome::Success);
    shard.deactivate(&plan);
    assert_eq!(shard.start(), Answer::InactiveWorkflow);
    assert!(shard.pass(10_000).transitions.is_empty());
    shard.activate(&plan, Overdue::Run);
    shard.pass(1);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
    // A refused job waits until the workflow is active.
    shard.deactivate(&plan);
    shard.finish(Outcome::RefusedInactive);
    assert_eq!(
        (shard.state(), shard.transition().permit),
        (State::Inactive, (true, false))
    );
    assert!(shard.pass(10_000).transitions.is_empty());
    shard.activate(&plan, Overdue::Run);
    shard.pass(1);
    assert_eq!(
        (shard.state(), shard.transition().after.attempt),
        (State::Running, 2)
    );
}

#[test]
fn overdue_steps_run_are_skipped_or_cancelled_as_the_activation_says() {
    let cases = [
        (Overdue::Run, None, State::Running),
        (Overdue::Skip, Some(End::Finished), State::Sleeping),
        (
            Overdue::Cancel,
            Some(End::Cancelled(CancelReason::User)),
            State::Sleeping,
        ),
    ];
    for (overdue, end, state) in cases {
        let plan = drip();
        let mut shard = Shard::new(&plan);
        shard.start();
        shard.finish(Outcome::Success);
        shard.deactivate(&plan);
        shard.pass(10_000);
        shard.activate(&plan, overdue);
        shard.pass(1);
        assert_eq!(
            (shard.transition().end, shard.state()),
            (end, state),
            "{overdue:?}"
        );
    }
}

#[test]
fn an_execution_enters_its_first_step_when_the_account_has_room() {
    let plan = steps(json!([[3, "w", 2, 1, 60_000_000], action("a", 2)]));
    let mut shard = Shard::new(&plan);
    shard.grants = Some(Vec::new());
    shard.start();
    assert_eq!(
        (shard.state(), shard.transition().permit),
        (State::Queued, (false, false))
    );
    let grant = shard.queued("")[0].key.clone();
    shard.grants = Some(vec![grant.clone()]);
    shard.pass(10);
    // The wait begins now, and needs no permit.
    let waits = shard.transition();
    assert_eq!(
        (waits.after.state, waits.after.due),
        (State::Sleeping, Some(shard.now + 60_000))
    );
    assert_eq!(shard.last.unused_grants[0].1, grant.2.into_boxed_str());
}

#[test]
fn a_goal_precedes_results_and_timers_in_every_order() {
    for goal_first in [true, false] {
        let mut shard = Shard::new(&drip());
        shard.start();
        let job = shard.transition().clone();
        shard.finish(Outcome::Success);
        shard.now += 8_000_000;
        let late = Given::Result(report(&job, 1, Outcome::Success));
        let mut given = vec![Given::Goal, late];
        if !goal_first {
            given.reverse();
        }
        shard.feed(given);
        let end = shard.transition();
        assert_eq!(
            (end.end, end.job.is_none()),
            (Some(End::GoalAchieved), true)
        );
        let status = shard.statuses.get(&*end.execution);
        assert_eq!(status, Some(&"completed_goal"));
        assert_eq!(shard.matcher.stats().enrollments, 0);
    }
}

#[test]
fn a_goal_counts_for_an_execution_that_its_group_starts() {
    let mut shard = Shard::new(&drip());
    shard.feed(vec![Given::Goal, Given::Trigger("a")]);
    assert_eq!(shard.state(), State::Running);
    let mut shard = Shard::new(&drip());
    shard.feed(vec![Given::Trigger("a"), Given::Goal]);
    let ended = shard.transition();
    assert_eq!(
        (ended.end, ended.guard.is_none()),
        (Some(End::GoalAchieved), true)
    );
    assert!(ended.job.is_none());
}

#[test]
fn the_end_of_an_enrollment_ends_its_execution() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let execution = shard.transition().execution.clone();
    let data = json!({
        "workflow_id": "w-1", "enrollment_id": execution, "reason": "exited"
    });
    let ended = event("e-1", "workflow.enrollment.ended", data, shard.now);
    shard.feed(vec![Given::Event(ended, None)]);
    let end = shard.transition();
    assert_eq!(
        (end.end, end.closes_gate),
        (Some(End::Cancelled(CancelReason::User)), true)
    );
    assert_eq!(shard.statuses.get(&*execution), Some(&"exited"));
    shard.now += 10_000;
    shard.start();
    let deleted = event("e-2", "contact.deleted", json!({}), shard.now);
    shard.feed(vec![Given::Event(deleted, None)]);
    let reason = CancelReason::ContactDeleted;
    assert_eq!(shard.transition().end, Some(End::Cancelled(reason)));
}
