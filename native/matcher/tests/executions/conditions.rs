//! Conditions of steps: which hold, and how missing attributes are reported.

use goald_matcher::plan::{Condition, StepKind};
use serde_json::{Value, json};

use crate::support::{contact, plan_of, read};

const ATTRIBUTES: [&str; 3] = ["plan", "age", "list"];

/// A condition over the tags VIP (name) and t-1 (id), and `ATTRIBUTES`.
fn condition(value: Value) -> Condition {
    let tags = json!([[null, "VIP"], ["t-1", null]]);
    let step = json!([[2, "c", 1, 1, 1, value]]);
    let plan = read(&plan_of(Value::Null, tags, json!(ATTRIBUTES), step)).expect("a valid plan");
    match plan.steps.into_iter().next().map(|step| step.kind) {
        Some(StepKind::Branch { condition, .. }) => condition,
        other => unreachable!("{other:?} is no condition"),
    }
}

fn holds(value: Value, attributes: &str) -> bool {
    condition(value).check(&contact(&[], attributes)).holds
}

#[test]
fn tags_are_found_by_id_if_both_have_one_else_by_name() {
    let (by_name, by_id) = (condition(json!([0, 0])), condition(json!([0, 1])));
    let vip = contact(&[(Some("t-9"), Some(" vip "))], "{}");
    assert!(by_name.check(&vip).holds);
    assert!(!by_id.check(&vip).holds);
    assert!(by_id.check(&contact(&[(Some("t-1"), None)], "{}")).holds);
}

#[test]
fn values_are_compared_by_their_type_and_value() {
    let of = |operator: u8, values: Value| json!([1, 0, operator, values]);
    let cases = [
        (of(0, json!(["pro"])), r#"{"plan": "pro"}"#, true),
        (of(0, json!(["1"])), r#"{"plan": 1}"#, false),
        (of(0, json!([["1.50"]])), r#"{"plan": 1.5}"#, true),
        (of(0, json!([true])), r#"{"plan": true}"#, true),
        (of(1, json!(["pro"])), r#"{"plan": "free"}"#, true),
        (of(1, json!(["pro"])), r#"{"plan": null}"#, false),
        (of(2, json!([["10"]])), r#"{"plan": 9.99}"#, true),
        (of(3, json!([["10"]])), r#"{"plan": 1e1}"#, true),
        (of(4, json!([["10"]])), r#"{"plan": "11"}"#, false),
        (of(5, json!([["10"]])), r#"{"plan": 10.0}"#, true),
        (of(6, json!(["ro"])), r#"{"plan": "pro"}"#, true),
        (of(6, json!(["ro"])), r#"{"plan": ["ro", "x"]}"#, true),
        (of(6, json!(["ro"])), r#"{"plan": ["pro"]}"#, false),
        (of(6, json!([["2"]])), r#"{"plan": [1, 2.0]}"#, true),
        (of(7, json!(["a", ["7"]])), r#"{"plan": 7}"#, true),
        (of(7, json!(["a", ["7"]])), r#"{"plan": "7"}"#, false),
        (of(8, json!([])), r#"{"plan": false}"#, true),
        (of(8, json!([])), r#"{"plan": null}"#, false),
    ];
    for (test, attributes, expected) in cases {
        assert_eq!(
            holds(test.clone(), attributes),
            expected,
            "{test} {attributes}"
        );
    }
}

#[test]
fn a_missing_attribute_is_false_and_named() {
    let known = contact(&[], r#"{"plan": "pro"}"#);
    let pro = json!([1, 0, 0, ["pro"]]);
    let adult = json!([1, 1, 5, [["18"]]]);
    let both = condition(json!([2, [pro, adult]]));
    let verdict = both.check(&known);
    assert_eq!((verdict.holds, verdict.missing), (false, Some("age")));
    // Not evaluated, so not missing.
    let either = condition(json!([3, [pro, adult]]));
    let verdict = either.check(&known);
    assert_eq!((verdict.holds, verdict.missing), (true, None));
    let minor = condition(json!([4, adult]));
    let verdict = minor.check(&known);
    assert_eq!((verdict.holds, verdict.missing), (true, Some("age")));
}
