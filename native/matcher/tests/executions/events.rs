//! Events that start executions, end them, and end their waits.

use goald_matcher::executions::{Outcome, State};
use goald_matcher::proposal::{Answer, CancelReason, End};
use serde_json::{Value, json};

use crate::shard::{Given, Shard, event, report};
use crate::support::{action, contact, drip, plan_of, steps};

fn form_wait(timeout: Value) -> Value {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    steps(json!([
        [5, "w", 2, 1, 2, form, timeout],
        action("a", 2),
        action("b", 3)
    ]))
}

#[test]
fn an_event_ends_a_wait_once() {
    let mut shard = Shard::new(&form_wait(json!(60_000_000)));
    shard.start();
    let form = |form: &str| json!({"form_id": form});
    // Another form.
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
            shard.feed(vec![Given::Cancel(&execution)]);
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
    let data = json!({"opted_in": false});
    let update = event("e-1", "contact.updated", data, shard.now);
    shard.feed(vec![Given::Event(update, Some(opted_out.clone()))]);
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
    let tag = event(
        "e-1",
        "contact.tag.added",
        json!({"tag_id": "t-1"}),
        shard.now,
    );
    shard.feed(vec![Given::Trigger("k")]);
    assert_eq!(&*shard.transition().step, "no");
    let mut shard = Shard::new(&plan);
    let tagged = contact(&[(Some("t-1"), None)], "{}");
    shard.feed(vec![Given::Event(tag, Some(tagged)), Given::Trigger("k")]);
    assert_eq!(&*shard.transition().step, "yes");
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
        let mut form = event(
            &format!("e-{hops}"),
            "form.submitted",
            json!({"form_id": "f"}),
            shard.now,
        );
        form["source"] = "goald/actions".into();
        form["hops"] = hops.into();
        shard.feed(vec![Given::Event(form, None)]);
        assert_eq!(shard.last.transitions.len(), started, "{hops}");
    }
    assert_eq!(
        shard.transition().job.as_ref().map(|job| job.hops),
        Some(10)
    );
    assert_eq!(shard.log(), ["hop_limit_reached", "execution_started"]);
}

#[test]
fn an_event_after_a_result_in_its_group_ends_the_wait_that_the_result_begins() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let wait = json!([5, "w", 2, 2, 2, form, null]);
    let plan = steps(json!([action("a", 1), wait, action("b", 3)]));
    for is_later in [true, false] {
        let mut shard = Shard::new(&plan);
        shard.start();
        let job = shard.transition().clone();
        shard.now += 1_000;
        let form = event("e-1", "form.submitted", json!({"form_id": "f"}), shard.now);
        // Redis receives both within one millisecond.
        let result = Given::Result(report(&job, 1, Outcome::Success));
        let mut given = vec![result, Given::Event(form, None)];
        if !is_later {
            given.reverse();
        }
        shard.feed(given);
        let expected = if is_later {
            State::Running
        } else {
            State::Listening
        };
        assert_eq!(shard.state(), expected);
    }
}

#[test]
fn an_event_within_the_millisecond_of_the_begin_of_a_wait_ends_it_after_a_load() {
    let mut shard = Shard::new(&form_wait(Value::Null));
    shard.start();
    assert!(shard.transition().after.since_seq > 0);
    shard.event("e-1", "form.submitted", json!({"form_id": "f"}));
    assert_eq!(shard.state(), State::Running);
}
