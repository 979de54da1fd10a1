//! Executions that move to a new version of their workflow (X10).

use goald_matcher::executions::{Outcome, State};
use serde_json::json;

use crate::shard::{Given, Shard, report};
use crate::support::{action, drip, steps};

#[test]
fn an_execution_moves_to_a_new_version_when_its_job_is_finished() {
    let mut shard = Shard::new(&drip());
    shard.start();
    let job = shard.transition().clone();
    shard.publish(
        2,
        &steps(json!([[3, "v", 1, 1, 1_000_000], action("b", 2)])),
    );
    let migrate = Given::Migrate(&job.execution);
    shard.feed(vec![migrate]);
    assert!(shard.transition().after.migrates);
    assert_eq!(
        (shard.transition().version, shard.state()),
        (1, State::Running)
    );
    let result = report(&job, 1, Outcome::Success);
    shard.feed(vec![Given::Result(result)]);
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
    shard.feed(vec![Given::Migrate(&execution)]);
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
    shard.feed(vec![Given::Migrate(&execution)]);
    shard.log();
    shard.pass(1);
    assert_eq!(
        (shard.state(), &*shard.transition().step),
        (State::Running, "b")
    );
    assert_eq!(shard.log(), ["wait_ended", "skipped_already_done"]);
}
