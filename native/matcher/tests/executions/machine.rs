//! The states of executions (§4), and the rules of their steps.

use goald_matcher::executions::{
    Answer, CancelReason, End, Facts, Gate, GateAnswer, Input, InputKind, Outcome, Overdue, State,
};
use serde_json::{Value, json};

use crate::shard::{Shard, event, happened, report};
use crate::support::{action, contact, plan_of};

fn steps(instructions: Value) -> Value {
    plan_of(Value::Null, json!([["t-1", null]]), json!([]), instructions)
}

/// send, wait for two hours, send again.
fn drip() -> Value {
    steps(json!([
        action("a", 1),
        [3, "w", 2, 2, 7_200_000_000_i64],
        action("b", 3)
    ]))
}

fn form_wait(timeout: Value) -> Value {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    steps(json!([
        [5, "w", 2, 1, 2, form, timeout],
        action("a", 2),
        action("b", 3)
    ]))
}

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
    let success = InputKind::Result(report(&job, 1, Outcome::Success));
    let goal = InputKind::GoalAchieved {
        execution: &job.execution,
    };
    shard.log();
    shard.feed(vec![success, goal]);
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
    let inputs = [Input {
        tenant: "acme",
        contact: "c-1",
        at: shard.now,
        kind: InputKind::Result(report(&job, 1, Outcome::Success)),
    }];
    let facts = Facts::default();
    let options = goald_matcher::executions::Options {
        now: shard.now,
        watermark: shard.now,
        grants: goald_matcher::executions::Grants::All,
        max_timers: 100,
        only_events: true,
        facts: &facts,
        rules: Default::default(),
    };
    let proposal = shard.matcher.evaluate_executions(&inputs, options);
    assert!(proposal.transitions.is_empty());
}

#[test]
fn a_result_of_another_attempt_changes_nothing() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    for attempt in [0, 2] {
        let result = InputKind::Result(report(&job, attempt, Outcome::Success));
        assert!(shard.feed(vec![result]).transitions.is_empty());
    }
    let twice = [Outcome::Success, Outcome::Success];
    let results = twice.map(|outcome| InputKind::Result(report(&job, 1, outcome)));
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
fn retries_double_their_delay_and_then_the_execution_fails() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let key = shard.transition().job.as_ref().map(|job| job.key);
    for (retry, delay) in [(1, 60), (2, 120), (3, 240)] {
        shard.finish(Outcome::Retry);
        let after = shard.transition().after;
        assert_eq!((after.state, after.retries), (State::BackingOff, retry));
        assert_eq!(after.due, Some(shard.now + delay * 1_000));
        assert!(shard.pass(delay - 1).transitions.is_empty());
        shard.pass(1);
        assert_eq!(shard.transition().after.attempt, u16::from(retry) + 1);
        // The key stays the same over retries.
        assert_eq!(shard.transition().job.as_ref().map(|job| job.key), key);
    }
    shard.log();
    shard.finish(Outcome::Retry);
    assert_eq!(shard.state(), State::Failed);
    assert_eq!(
        shard.log(),
        ["action_started", "action_failed", "max_retries_exhausted"]
    );
    assert_eq!(shard.last.notifications[0].kind, "failed");
    // It can be retried, at the failed step, in a new visit.
    let failed = shard.transition().execution.clone();
    let retry = InputKind::Retry {
        execution: &failed,
        user: Some("u-1"),
    };
    shard.feed(vec![retry.clone()]);
    let after = shard.transition().after;
    assert_eq!(
        (after.state, after.visit, after.attempt, after.retries),
        (State::Running, 2, 1, 0)
    );
    assert_ne!(shard.transition().job.as_ref().map(|job| job.key), key);
    shard.feed(vec![retry]);
    assert_eq!(shard.answers.last(), Some(&Answer::NotFailed));
}

#[test]
fn a_failed_execution_expires_and_a_new_start_supersedes_it() {
    let fails = json!([0, null, "fail", "fail", "continue"]);
    let plan = steps(json!([[1, "a", 1, 1, "noop", null, "{}", fails, null]]));
    for expires in [true, false] {
        let mut shard = Shard::new(&plan);
        shard.start();
        shard.finish(Outcome::Skip);
        assert_eq!(shard.state(), State::Failed);
        let reason = if expires {
            shard.pass(30 * 86_400);
            CancelReason::FailedExpired
        } else {
            shard.now += 10_000;
            assert!(matches!(shard.start(), Answer::Started(_)));
            CancelReason::Superseded
        };
        assert_eq!(shard.last.transitions[0].end, Some(End::Cancelled(reason)));
    }
}

#[test]
fn errors_pause_delay_or_skip() {
    let mut shard = Shard::new(&drip());
    shard.start();
    shard.finish(Outcome::RateLimit { delay: 30_000 });
    assert_eq!(
        (shard.state(), shard.transition().after.retries),
        (State::RateLimited, 0)
    );
    assert_eq!(shard.last.delays[0].until, Some(shard.now + 30_000));
    shard.pass(30);
    shard.finish(Outcome::Pause);
    assert_eq!(shard.state(), State::OnHold);
    assert_eq!(
        (shard.last.delays[0].until, shard.last.notifications[0].kind),
        (None, "connection_paused")
    );
    assert!(shard.pass(86_400).transitions.is_empty());
    let execution = shard.matcher.executions_in(State::OnHold)[0].2.clone();
    shard.feed(vec![InputKind::Resume {
        execution: &execution,
    }]);
    assert_eq!(shard.transition().after.attempt, 3);
    shard.log();
    shard.finish(Outcome::Skip);
    assert_eq!(shard.state(), State::Sleeping);
    assert!(shard.log().contains(&"skipped_non_retryable_error"));
}

#[test]
fn an_unknown_outcome_is_not_repeated_unless_the_provider_honours_the_key() {
    for (is_keyed, state) in [(true, State::BackingOff), (false, State::Sleeping)] {
        let mut shard = Shard::new(&drip());
        shard.start();
        shard.finish(Outcome::Unknown { is_keyed });
        assert_eq!(shard.state(), state);
        assert!(shard.log().contains(&"outcome_unknown"));
    }
}

#[test]
fn gates_after_a_load_are_granted_again_or_have_an_unknown_outcome() {
    let cases = [
        (Gate::Open, None),
        (Gate::Closed, Some((State::Running, 2))),
        (Gate::Lost { is_keyed: false }, Some((State::Sleeping, 0))),
        (Gate::Lost { is_keyed: true }, Some((State::BackingOff, 1))),
    ];
    for (gate, expected) in cases {
        let mut shard = Shard::new(&drip());
        shard.start();
        let job = shard.transition().clone();
        let key = report(&job, 1, Outcome::Success).key;
        shard.feed(vec![InputKind::Gate(GateAnswer { key, gate })]);
        let after = shard
            .last
            .transitions
            .first()
            .map(|each| (each.after.state, each.after.attempt));
        assert_eq!(after, expected, "{gate:?}");
    }
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
    let queued = shard.matcher.queued_executions("acme", 10);
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
    assert!(shard.matcher.queued_executions("acme", 10).is_empty());
}

#[test]
fn a_step_that_would_start_too_late_is_skipped() {
    let errors = json!([null, null, "fail", "continue", "continue"]);
    let limited = json!([1, "a", 2, 1, "noop", null, "{}", errors, 60_000_000]);
    let plan = steps(json!([limited, [3, "w", 2, 2, 1_000_000], action("b", 3)]));
    let mut shard = Shard::new(&plan);
    shard.grants = Some(Vec::new());
    shard.start();
    shard.grants = Some(vec![
        shard.matcher.queued_executions("acme", 1)[0].key.clone(),
    ]);
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
fn an_event_ends_a_wait_once() {
    let mut shard = Shard::new(&form_wait(json!(60_000_000)));
    shard.start();
    let form = |form: &str| json!({"form_id": form});
    // Not received after the wait began, or another form.
    assert!(
        shard
            .event("e-1", "form.submitted", form("f"))
            .transitions
            .is_empty()
    );
    shard.now += 10;
    assert!(
        shard
            .event("e-2", "form.submitted", form("g"))
            .transitions
            .is_empty()
    );
    shard.event("e-3", "form.submitted", form("f"));
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "a")
    );
    assert_eq!(shard.transition().used_events.len(), 1);
}

#[test]
fn the_time_out_of_a_wait_for_an_event_takes_the_other_branch() {
    let mut shard = Shard::new(&form_wait(json!(60_000_000)));
    shard.start();
    shard.pass(60);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
}

#[test]
fn an_event_that_was_used_does_not_end_a_later_wait() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let wait = |id: &str, next: u8| json!([5, id, 1, next, next, form, null]);
    let mut shard = Shard::new(&steps(json!([wait("v", 1), wait("w", 2)])));
    shard.start();
    shard.now += 10;
    shard.event("e-1", "form.submitted", json!({"form_id": "f"}));
    assert_eq!(&*shard.transition().step, "w");
    shard.now += 10;
    // Postgres would exclude it: the proposal asks.
    shard.event("e-1", "form.submitted", json!({"form_id": "f"}));
    assert_eq!(shard.last.event_checks.len(), 1);
}

#[test]
fn a_trigger_by_an_event_starts_one_execution() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let wait = json!([5, "w", 1, 1, 1, form, null]);
    let plan = plan_of(form, json!([]), json!([]), json!([wait]));
    let mut shard = Shard::new(&plan);
    shard.event("e-1", "form.submitted", json!({"form_id": "f"}));
    assert_eq!(shard.state(), State::Listening);
    shard.now += 10;
    // Delivered again, it neither starts another one nor ends the wait.
    assert!(
        shard
            .event("e-1", "form.submitted", json!({"form_id": "f"}))
            .transitions
            .is_empty()
    );
    // Another one within five seconds is a duplicate, but ends the wait.
    shard.log();
    shard.event("e-2", "form.submitted", json!({"form_id": "f"}));
    assert_eq!(shard.transition().end, Some(End::Finished));
    assert!(shard.log().contains(&"deduplication_blocked"));
}

#[test]
fn reentry_decides_whether_a_contact_starts_again() {
    for (allow, running, ended) in [(0, false, true), (1, false, false), (2, true, true)] {
        let mut plan = drip();
        plan[2] = json!([allow, 0]);
        let mut shard = Shard::new(&plan);
        let first = shard.start();
        assert!(matches!(first, Answer::Started(_)));
        assert_eq!(shard.start(), Answer::Duplicate);
        shard.now += 5_000;
        assert_eq!(
            matches!(shard.start(), Answer::Started(_)),
            running,
            "{allow}"
        );
        shard.now += 5_000;
        for (_, _, execution) in shard.matcher.executions_in(State::Running) {
            let reason = CancelReason::User;
            shard.feed(vec![InputKind::Cancel {
                execution: &execution,
                reason,
                user: None,
            }]);
        }
        shard.now += 5_000;
        assert_eq!(
            matches!(shard.start(), Answer::Started(_)),
            ended,
            "{allow}"
        );
    }
}

#[test]
fn opting_out_cancels_and_blocks() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let mut opted_out = contact(&[], "{}");
    opted_out.opted_in = Some(false);
    let update = event("e-1", "contact.updated", json!({}), shard.now);
    shard.feed(vec![happened(&update, Some(opted_out.clone()))]);
    let end = shard.transition();
    assert_eq!(end.end, Some(End::Cancelled(CancelReason::ContactOptedOut)));
    assert!(end.closes_gate);
    shard.contact = opted_out;
    shard.now += 10_000;
    assert_eq!(shard.start(), Answer::OptedOut);
    assert_eq!(shard.log().last(), Some(&"opt_out_blocked"));
}

#[test]
fn a_condition_sees_the_changes_that_precede_it() {
    let branch = json!([2, "c", 2, 1, 2, [0, 0]]);
    let plan = steps(json!([branch, action("yes", 2), action("no", 3)]));
    let mut shard = Shard::new(&plan);
    let tagged = contact(&[(Some("t-1"), None)], "{}");
    let tag = event(
        "e-1",
        "contact.tag.added",
        json!({"tag_id": "t-1"}),
        shard.now,
    );
    let trigger = goald_matcher::executions::Trigger {
        workflow: "w-1",
        key: "k",
    };
    shard.feed(vec![happened(&tag, Some(tagged))]);
    assert!(shard.last.transitions.is_empty());
    shard.feed(vec![InputKind::Trigger(trigger)]);
    assert_eq!(&*shard.transition().step, "no");
    let mut shard = Shard::new(&plan);
    let tagged = contact(&[(Some("t-1"), None)], "{}");
    shard.feed(vec![
        happened(&tag, Some(tagged)),
        InputKind::Trigger(trigger),
    ]);
    assert_eq!(&*shard.transition().step, "yes");
}

#[test]
fn an_execution_moves_to_a_new_version_when_its_job_is_finished() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    shard.publish(
        2,
        &steps(json!([[3, "v", 1, 1, 1_000_000], action("b", 2)])),
    );
    let migrate = InputKind::Migrate {
        execution: &job.execution,
    };
    shard.feed(vec![migrate]);
    assert!(shard.transition().after.migrates);
    assert_eq!(
        (shard.transition().version, shard.state()),
        (1, State::Running)
    );
    let result = report(&job, 1, Outcome::Success);
    shard.feed(vec![InputKind::Result(result)]);
    assert_eq!(
        (shard.transition().version, &*shard.transition().step),
        (2, "b")
    );
}

#[test]
fn a_wait_is_computed_again_from_its_begin_in_a_new_version() {
    let mut shard = Shard::new(&drip());
    shard.start();
    shard.finish(Outcome::Success);
    let began = shard.now;
    let execution = shard.transition().execution.clone();
    shard.pass(3_600);
    shard.publish(
        2,
        &steps(json!([
            action("a", 1),
            [3, "w", 2, 2, 1_800_000_000],
            action("b", 3)
        ])),
    );
    shard.feed(vec![InputKind::Migrate {
        execution: &execution,
    }]);
    assert_eq!(shard.transition().after.due, Some(began + 1_800_000));
    shard.pass(1);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
}

#[test]
fn done_steps_are_passed_after_a_migration() {
    let mut shard = Shard::new(&drip());
    shard.start();
    shard.finish(Outcome::Success);
    let execution = shard.transition().execution.clone();
    shard.publish(
        2,
        &steps(json!([
            [3, "w", 3, 1, 1_000_000],
            action("a", 2),
            action("b", 3)
        ])),
    );
    shard.feed(vec![InputKind::Migrate {
        execution: &execution,
    }]);
    shard.log();
    shard.pass(1);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
    assert_eq!(shard.log(), ["wait_ended", "skipped_already_done"]);
}

#[test]
fn changes_of_actions_trigger_nothing_after_ten_hops() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let mut shard = Shard::new(&plan_of(
        form,
        json!([]),
        json!([]),
        json!([action("a", 1)]),
    ));
    for (hops, started) in [(10, 0), (9, 1)] {
        let bytes = event(
            &format!("e-{hops}"),
            "form.submitted",
            json!({"form_id": "f"}),
            shard.now,
        );
        let InputKind::Event(mut input) = happened(&bytes, None) else {
            unreachable!("an event");
        };
        input.hops = hops;
        shard.feed(vec![InputKind::Event(input)]);
        assert_eq!(shard.last.transitions.len(), started, "{hops}");
    }
    assert_eq!(
        shard.transition().job.as_ref().map(|job| job.hops),
        Some(10)
    );
    assert_eq!(shard.log(), ["hop_limit_reached", "execution_started"]);
}
