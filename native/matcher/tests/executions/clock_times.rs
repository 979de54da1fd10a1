//! A wall time stays a wall time through changes of daylight saving (§5).

use goald_matcher::plan::{StepKind, Zones};
use serde_json::{Value, json};

use crate::support::{ms, plan, tzif, zones};

/// When a wait for `second` of the day ends that begins at `begin` in this zone.
fn end_of_wait(begin: &str, zone: &str, second: u32, weekdays: u8, date: Value) -> i64 {
    let plan = plan(json!([[4, "w", 1, 1, second, weekdays, date, null]]));
    let StepKind::WaitUntil { time, .. } = &plan.steps[0].kind else {
        unreachable!("the step is a wait");
    };
    let zones = zones();
    time.after(ms(begin), zones.number(zone).expect("a zone"), &zones)
}

fn daily(begin: &str, hour: u32, minute: u32) -> i64 {
    end_of_wait(
        begin,
        "Europe/Berlin",
        hour * 3600 + minute * 60,
        127,
        Value::Null,
    )
}

#[test]
fn nine_o_clock_is_nine_o_clock_on_both_sides_of_a_change() {
    assert_eq!(
        daily("2026-03-28T08:30:00Z", 9, 0),
        ms("2026-03-29T07:00:00Z")
    );
    assert_eq!(
        daily("2026-10-24T12:00:00Z", 9, 0),
        ms("2026-10-25T08:00:00Z")
    );
}

#[test]
fn a_skipped_time_is_the_first_instant_after_the_gap() {
    assert_eq!(
        daily("2026-03-28T12:00:00Z", 2, 30),
        ms("2026-03-29T01:00:00Z")
    );
}

#[test]
fn of_a_time_that_occurs_twice_the_first_counts() {
    assert_eq!(
        daily("2026-10-24T12:00:00Z", 2, 30),
        ms("2026-10-25T00:30:00Z")
    );
    // Between the two, the next one is tomorrow's.
    assert_eq!(
        daily("2026-10-25T00:45:00Z", 2, 30),
        ms("2026-10-26T01:30:00Z")
    );
}

#[test]
fn the_end_of_a_wait_is_later_than_its_begin() {
    assert_eq!(
        daily("2026-06-01T07:00:00Z", 9, 0),
        ms("2026-06-02T07:00:00Z")
    );
    assert_eq!(
        daily("2026-06-01T06:59:59.999Z", 9, 0),
        ms("2026-06-01T07:00:00Z")
    );
}

#[test]
fn days_are_those_of_the_zone() {
    // Friday evening in New York is Saturday in UTC.
    let monday = end_of_wait(
        "2026-06-06T01:00:00Z",
        "America/New_York",
        32_400,
        1,
        Value::Null,
    );
    assert_eq!(monday, ms("2026-06-08T13:00:00Z"));
    let friday = end_of_wait(
        "2026-06-06T01:00:00Z",
        "America/New_York",
        82_800,
        16,
        Value::Null,
    );
    assert_eq!(friday, ms("2026-06-06T03:00:00Z"));
}

#[test]
fn a_date_in_the_past_ends_the_wait_immediately() {
    let days = json!(20_454); // 2026-01-01
    let end = end_of_wait("2026-06-06T01:00:00Z", "Europe/Berlin", 0, 127, days);
    assert_eq!(end, ms("2025-12-31T23:00:00Z"));
}

#[test]
fn a_zone_keeps_its_number_when_its_data_changes() {
    let mut zones = zones();
    let number = zones.number("Europe/Berlin");
    zones.set("Europe/Berlin", &tzif("CET-1")).expect("a zone");
    assert_eq!(zones.number("Europe/Berlin"), number);
    assert!(
        Zones::default()
            .set("Broken/Zone", b"TZif2 and no more")
            .is_err()
    );
    let known = zones.first_known([None, Some("Mars/Base"), Some("Europe/Berlin")]);
    assert_eq!(Some(known), number);
    assert_eq!(zones.name(zones.first_known([Some("Mars/Base")])), "UTC");
}
