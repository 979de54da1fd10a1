//! Errors of actions, and gates after a load.

use goald_matcher::executions::{Gate, GateAnswer, Outcome, State};
use goald_matcher::proposal::{Answer, CancelReason, End};
use serde_json::json;

use crate::shard::{Given, Shard, report};
use crate::support::{drip, steps};

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
    let retry = Given::Retry(&failed);
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
        (Some(shard.now + 10 * 60_000), "connection_paused")
    );
    assert!(shard.pass(599).transitions.is_empty());
    let execution = shard.matcher.executions_in(State::OnHold)[0].2.clone();
    shard.feed(vec![Given::Resume(&execution)]);
    assert_eq!(shard.transition().after.attempt, 3);
    shard.log();
    shard.finish(Outcome::Skip);
    assert_eq!(shard.state(), State::Sleeping);
    assert!(shard.log().contains(&"skipped_non_retryable_error"));
}

#[test]
fn refused_credentials_are_tried_again_without_counting_as_retries() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let minutes = [5, 10, 20, 40, 80, 160, 240, 240];
    for (number, minutes) in (2..).zip(minutes) {
        shard.finish(Outcome::Pause);
        assert!(shard.pass(minutes * 60 - 1).transitions.is_empty());
        shard.pass(1);
        assert_eq!(shard.transition().after.attempt, number);
        assert_eq!(shard.transition().after.retries, 0);
    }
    shard.finish(Outcome::Success);
    assert_eq!(shard.state(), State::Sleeping);
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
        shard.feed(vec![Given::Gate(GateAnswer { key, gate })]);
        let after = shard
            .last
            .transitions
            .first()
            .map(|each| (each.after.state, each.after.attempt));
        assert_eq!(after, expected, "{gate:?}");
    }
}

#[test]
fn a_rate_limit_without_a_delay_holds_the_step_for_a_second() {
    let mut shard = Shard::new(&drip());
    shard.start();
    shard.finish(Outcome::RateLimit { delay: 0 });
    assert_eq!(shard.transition().after.due, Some(shard.now + 1_000));
}
