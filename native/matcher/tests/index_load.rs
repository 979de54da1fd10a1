//! Enrollments are loaded from a COPY stream and removed without a trace.

mod evaluate_support;

use evaluate_support::{NOW_US, START_US, buffer, copy, goal, goal_id, tagged, workflow};
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::matcher::Matcher;
use serde_json::json;

/// Ids of every kind: UUIDs, short names, and long ones.
fn rows(count: usize) -> Vec<[String; 4]> {
    (0..count)
        .map(|number| {
            let name = match number % 3 {
                0 => format!("0190a6b4-7c3e-7def-8123-{number:012}"),
                1 => format!("n-{number}"),
                _ => format!("a name that is neither a UUID nor short, {number}"),
            };
            [
                "acme".into(),
                format!("e{name}"),
                name.clone(),
                format!("w-{}", number % 7),
            ]
        })
        .collect()
}

fn stream(rows: &[[String; 4]]) -> Vec<u8> {
    let rows: Vec<[&str; 4]> = rows
        .iter()
        .map(|row| row.each_ref().map(|text| &**text))
        .collect();
    copy(&rows, START_US, "")
}

#[test]
fn a_stream_may_be_split_anywhere() {
    let whole = stream(&rows(50));
    for size in [1, 3, 64, whole.len()] {
        let mut matcher = Matcher::default();
        let mut rows = matcher.load(&[]).unwrap();
        for chunk in whole.chunks(size) {
            assert!(!matcher.load_ended());
            rows += matcher.load(chunk).unwrap();
        }
        assert!(matcher.load_ended());
        assert_eq!((rows, matcher.stats().enrollments), (50, 50));
    }
}

#[test]
fn goals_met_before_count_even_if_they_were_deleted() {
    let mut matcher = Matcher::default();
    let met = [goal_id(1), goal_id(9)].join(",");
    matcher
        .load(&copy(&[["acme", "e-1", "c-1", "w-1"]], START_US, &met))
        .unwrap();
    let goals = (1..=2).map(|n| goal(n, "tag_added", &json!({"tag_id": format!("t-{n}")})));
    matcher
        .update_workflows(&[workflow("w-1", "all", goals.collect())])
        .unwrap();
    let last = buffer(&[tagged("t-2", "c-1", 5)]);
    let proposal = matcher
        .evaluate(&[&last], NOW_US, EvaluateOptions::default())
        .unwrap();
    let exit: Vec<String> = proposal.exits[0]
        .goal_ids
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(exit, [goal_id(9), goal_id(1), goal_id(2)]);
}

#[test]
fn the_memory_of_removed_records_is_reused() {
    let mut matcher = Matcher::default();
    let rows = rows(3000);
    let mut bytes = Vec::new();
    for _ in 0..5 {
        assert_eq!(matcher.load(&stream(&rows)), Ok(3000));
        // The same rows again replace the enrollments.
        assert_eq!(matcher.load(&stream(&rows)), Ok(3000));
        bytes.push(matcher.stats().bytes);
        assert_eq!(matcher.stats().contacts, 3000);
        matcher.evict(
            rows.iter()
                .rev()
                .map(|[tenant, _, contact, _]| (&**tenant, &**contact)),
        );
        let stats = matcher.stats();
        assert_eq!(
            (stats.contacts, stats.enrollments, stats.tenants),
            (0, 0, 0)
        );
    }
    assert_eq!(bytes[1], bytes[4]);
}

#[test]
fn an_invalid_stream_fails_and_another_may_follow() {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let with = |rest: &[u8]| [&header[..], rest].concat();
    let cases: [(Vec<u8>, &str); 9] = [
        (b"PGCOPX".to_vec(), "signature"),
        (b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(), "flags"),
        (with(&[0, 7]), "7 columns"),
        (with(&[0, 8, 0xff, 0xff, 0xff, 0xff]), "tenant_id is null"),
        (with(&[0xff, 0xff, 0]), "after the trailer"),
        (
            copy(&[["acme", "e", "c", "w"]], 0, "g-1"),
            "invalid goal id: g-1",
        ),
        (
            copy(&[["acme", "e", "c", "w"]], 0, &format!("{},", goal_id(1))),
            "invalid goal id",
        ),
        (
            with(
                &[
                    &[0, 8][..],
                    &[0, 0, 0, 1, 0xff].repeat(4),
                    &[0, 0, 0, 8],
                    &[0; 12],
                    &[0, 0, 0, 1, 0],
                    &[0; 4],
                ]
                .concat(),
            ),
            "is not UTF-8",
        ),
        (with(&[&[0, 8][..], &[0; 32]].concat()), "bigint"),
    ];
    for (bytes, expected) in cases {
        let mut matcher = Matcher::default();
        let message = matcher.load(&bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!matcher.load_ended());
        assert_eq!(matcher.load(&stream(&rows(3))), Ok(3));
    }
}

#[test]
fn a_new_stream_may_follow_an_incomplete_one() {
    let mut matcher = Matcher::default();
    let whole = stream(&rows(10));
    matcher.load(&whole[..whole.len() - 10]).unwrap();
    assert!(!matcher.load_ended());
    assert_eq!(matcher.load(&whole), Ok(10));
    assert!(matcher.load_ended());
}
