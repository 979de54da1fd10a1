//! Enrollments come from a COPY stream, and go without leaving anything.

mod evaluate_support;

use evaluate_support::{NOW_US, START_US, buffer, copy, goal, goal_id, tagged, workflow};
use goald_matcher::engine::Engine;
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
fn a_stream_may_be_cut_anywhere() {
    let whole = stream(&rows(50));
    for size in [1, 3, 64, whole.len()] {
        let mut engine = Engine::new(0);
        let mut taken = engine.load(&[]).unwrap();
        for piece in whole.chunks(size) {
            assert!(!engine.load_ended());
            taken += engine.load(piece).unwrap();
        }
        assert!(engine.load_ended());
        assert_eq!((taken, engine.stats().enrollments), (50, 50));
    }
}

#[test]
fn what_was_met_before_counts_also_of_goals_that_are_gone() {
    let mut engine = Engine::new(0);
    let met = [goal_id(1), goal_id(9)].join(",");
    engine
        .load(&copy(&[["acme", "e-1", "c-1", "w-1"]], START_US, &met))
        .unwrap();
    let goals = (1..=2).map(|n| goal(n, "tag_added", &json!({"tag_id": format!("t-{n}")})));
    engine
        .update_workflows(&[workflow("w-1", "all", goals.collect())])
        .unwrap();
    let last = buffer(&[tagged("t-2", "c-1", 5)]);
    let proposal = engine.evaluate(&[&last], NOW_US).unwrap();
    let exit: Vec<String> = proposal.exits[0]
        .goal_ids
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(exit, [goal_id(9), goal_id(1), goal_id(2)]);
}

#[test]
fn records_that_go_leave_room_for_those_that_come() {
    let mut engine = Engine::new(0);
    let rows = rows(3000);
    let mut held = Vec::new();
    for _ in 0..5 {
        assert_eq!(engine.load(&stream(&rows)), Ok(3000));
        // The same again takes the place of what is there.
        assert_eq!(engine.load(&stream(&rows)), Ok(3000));
        held.push(engine.stats().bytes);
        assert_eq!(engine.stats().contacts, 3000);
        engine.forget(
            rows.iter()
                .rev()
                .map(|[tenant, _, contact, _]| (&**tenant, &**contact)),
        );
        let left = engine.stats();
        assert_eq!((left.contacts, left.enrollments, left.tenants), (0, 0, 0));
    }
    assert_eq!(held[1], held[4]);
}

#[test]
fn another_format_is_refused_and_another_stream_may_follow() {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    let with = |rest: &[u8]| [&header[..], rest].concat();
    let cases: [(Vec<u8>, &str); 9] = [
        (b"PGCOPX".to_vec(), "signature"),
        (b"PGCOPY\n\xff\r\n\0\0\x01\0\0\0\0\0\0".to_vec(), "flags"),
        (with(&[0, 7]), "7 columns"),
        (with(&[0, 6, 0xff, 0xff, 0xff, 0xff]), "tenant_id is null"),
        (with(&[0xff, 0xff, 0]), "after the trailer"),
        (
            copy(&[["acme", "e", "c", "w"]], 0, "g-1"),
            "names no goal: g-1",
        ),
        (
            copy(&[["acme", "e", "c", "w"]], 0, &format!("{},", goal_id(1))),
            "names no goal",
        ),
        (
            with(
                &[
                    &[0, 6][..],
                    &[0, 0, 0, 1, 0xff].repeat(4),
                    &[0, 0, 0, 8],
                    &[0; 12],
                ]
                .concat(),
            ),
            "is not UTF-8",
        ),
        (with(&[&[0, 6][..], &[0; 24]].concat()), "bigint"),
    ];
    for (bytes, expected) in cases {
        let mut engine = Engine::new(0);
        let said = engine.load(&bytes).unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
        assert!(!engine.load_ended());
        assert_eq!(engine.load(&stream(&rows(3))), Ok(3));
    }
}

#[test]
fn a_stream_that_was_cut_off_gives_way_to_the_next() {
    let mut engine = Engine::new(0);
    let whole = stream(&rows(10));
    engine.load(&whole[..whole.len() - 10]).unwrap();
    assert!(!engine.load_ended());
    assert_eq!(engine.load(&whole), Ok(10));
    assert!(engine.load_ended());
}
