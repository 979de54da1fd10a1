//! Plans are read strictly, and executions find their step in another version.

use goald_matcher::plan::{Allow, Pattern, StepKind};
use serde_json::{Value, json};

use crate::support::{action, packed, plan, plan_of, read};

fn with(instructions: Value) -> Result<(), String> {
    read(&plan_of(
        Value::Null,
        json!([]),
        json!(["plan"]),
        instructions,
    ))
    .map(|_| ())
}

#[test]
fn every_instruction_is_read() {
    let form = json!([8, r#"{"form_id": "f"}"#, [], null]);
    let changed = json!([32, null, [0], [1, 0, 8, []]]);
    let plan = read(&json!([
        1,
        "Europe/Berlin",
        [2, 86_400_000_001_i64],
        changed,
        [],
        ["plan"],
        [
            action("a", 1),
            [2, "b", 5, 2, 3, [4, [1, 0, 8, []]]],
            [3, "c", 1, 3, 90_000_000],
            [4, "d", 1, 4, 32_400, 31, null, "Asia/Tokyo"],
            [5, "e", 1, 5, 6, form, 1],
            [6, "f", 1],
            [0],
        ],
    ]))
    .expect("a valid plan");
    assert_eq!((plan.end(), plan.step_id(4), plan.step_id(6)), (6, "e", ""));
    assert_eq!(plan.reentry.allow, Allow::Always);
    // Rounded up to milliseconds.
    assert_eq!(plan.reentry.min_interval, 86_400_001);
    assert!(
        matches!(&plan.trigger, Some(Pattern::Changed { attributes, .. }) if attributes.len() == 1)
    );
    assert!(matches!(
        plan.steps[2].kind,
        StepKind::WaitFor {
            next: 3,
            duration: 90_000
        }
    ));
    assert!(matches!(
        plan.steps[4].kind,
        StepKind::WaitForEvent {
            timeout: Some(1),
            ..
        }
    ));
    assert!(matches!(plan.steps[5].kind, StepKind::Exit));
}

#[test]
fn a_plan_of_another_format_is_named() {
    let error = read(&json!([2, null])).expect_err("another format");
    assert_eq!(
        error,
        "a plan has format 2, but this version reads format 1"
    );
}

#[test]
fn invalid_plans_are_refused() {
    assert_eq!(with(json!([action("a", 1)])), Ok(()));
    let errors = json!([null, null, "fail", "continue", "maybe"]);
    let deep = (0..100).fold(json!([1, 0, 8, []]), |inner, _| json!([4, inner]));
    let faults = [
        json!([]),
        json!([action("a", 0)]),
        json!([action("a", 2)]),
        json!([[3, "w", 1, 1, -1]]),
        json!([[4, "w", 1, 1, 86_400, 127, null, null]]),
        json!([[4, "w", 1, 1, 0, 0, null, null]]),
        json!([[2, "c", 1, 1, 1, [1, 1, 8, []]]]),
        json!([[2, "c", 1, 1, 1, [1, 0, 2, ["text"]]]]),
        json!([[2, "c", 1, 1, 1, [2, []]]]),
        json!([[2, "c", 1, 1, 1, deep]]),
        json!([[1, "a", 1, 1, "noop", null, "{}", errors, null]]),
        json!([[7, "a", 1]]),
        Value::Array((0..101).map(|at| action(&at.to_string(), at + 1)).collect()),
    ];
    for fault in faults {
        assert!(with(fault.clone()).is_err(), "{fault}");
    }
}

#[test]
fn no_prefix_of_a_plan_is_a_plan() {
    let bytes = packed(&plan_of(
        Value::Null,
        json!([]),
        json!([]),
        json!([action("a", 1)]),
    ));
    for length in 0..bytes.len() {
        assert!(goald_matcher::plan::Plan::read(&bytes[..length], false).is_err());
    }
}

#[test]
fn an_execution_moves_to_the_step_of_the_same_id_or_the_next_that_exists() {
    let tags = json!([["t", null]]);
    let old = json!([
        action("a", 1),
        [2, "b", 3, 2, 3, [0, 0]],
        action("c", 4),
        action("d", 4),
        action("e", 5),
    ]);
    let old = read(&plan_of(Value::Null, tags, json!([]), old)).expect("a valid plan");
    let new = plan(json!([action("x", 1), action("e", 2), action("a", 3)]));
    assert_eq!(old.position_in(0, &new), 2);
    // The condition and its branches do not exist: the step after them.
    for removed in [1, 2, 3] {
        assert_eq!(old.position_in(removed, &new), 1);
    }
    assert_eq!(old.position_in(5, &new), new.end());
    let without = plan(json!([action("x", 1)]));
    assert_eq!(old.position_in(1, &without), without.end());
}

#[test]
fn a_branch_that_leaves_the_workflow_does_not_decide_what_follows() {
    let old = json!([
        [2, "b", 3, 1, 2, [0, 0]],
        [6, "x", 1],
        action("d", 3),
        action("e", 4)
    ]);
    let old = read(&plan_of(Value::Null, json!([["t", null]]), json!([]), old)).expect("a plan");
    let new = plan(json!([action("z", 1), action("d", 2), action("e", 3)]));
    assert_eq!(old.position_in(0, &new), 1);
    assert_eq!(old.position_in(1, &new), new.end());
}
