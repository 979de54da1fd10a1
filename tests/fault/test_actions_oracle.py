"""The oracle of actions accepts a correct run, and finds each kind of error."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.fault.executions.evidence import (
    Call,
    Evidence,
    Job,
    Key,
    Passage,
    RedisHistory,
    Stop,
    StoredExecution,
)
from tests.fault.executions.oracle import judge

GOAL, DONE = ("shop", "e-goal"), ("shop", "e-done")
START_MS = 1_800_000_000_000
WORKER = "host:4711:abc"


class Run:
    """The events of two executions: one exits while its first call is in flight; one finishes."""

    def __init__(self) -> None:
        self.redis = RedisHistory()
        self.calls: list[Call] = []
        self.executions: dict[Key, StoredExecution] = {}
        self.started = {("shop", "c-goal"): True, ("shop", "c-done"): False}
        self.stops: list[Stop] = []
        self.add_job("g1", GOAL, "first")
        self.pass_gate("g1", 100)
        self.call("k-g1", GOAL, "first", 105, 140)
        self.redis.close("g1")
        self.end(GOAL, "c-goal", "goal_achieved", 120)
        self.publish_exit(GOAL, in_flight=True)
        for gate, step, at in (("d1", "first", 200), ("d2", "second", 250)):
            self.add_job(gate, DONE, step)
            self.pass_gate(gate, at)
            self.call(f"k-{gate}", DONE, step, at + 5, at + 20)
            self.redis.end(gate, was_passed=True)
        self.end(DONE, "c-done", "finished", 300)

    def add_job(self, gate: str, execution: Key, step: str) -> None:
        self.redis.position += 1
        self.redis.add_job(gate, Job(execution, step, 1, f"k-{gate}"))

    def pass_gate(self, gate: str, at: int) -> None:
        self.redis.position += 1
        self.redis.add_passage(gate, Passage(self.redis.position, START_MS + at, WORKER))

    def call(self, key: str, execution: Key, step: str, at: float, answered: float | None) -> None:
        answered_ns = None if answered is None else ns(answered)
        self.calls.append(Call(key, execution, step, ns(at), answered_ns, False, step))

    def end(self, execution: Key, contact: str, reason: str, at: float) -> None:
        self.executions[execution] = StoredExecution(
            execution, contact, "COMPLETED", reason, ns(at) // 1_000
        )

    def publish_exit(self, execution: Key, *, in_flight: bool, exit_id: str = "x") -> None:
        self.redis.position += 1
        data = {"enrollment_id": execution[1], "action_in_flight": in_flight}
        self.redis.add_exit({"id": exit_id, "tenantid": execution[0], "data": data})

    @property
    def errors(self) -> dict[str, int]:
        verdict = judge(
            Evidence(
                self.redis, self.calls, self.executions, self.started, ("first", "second"),
                self.stops,
            )
        )  # fmt: skip
        return {name: len(found) for name, found in verdict.errors.items()}


def ns(at: float) -> int:
    return round((START_MS + at) * 1_000_000)


def test_a_correct_run_is_accepted() -> None:
    assert Run().errors == {}


def pass_after_the_exit_was_published(run: Run) -> None:
    run.add_job("g2", GOAL, "first")
    run.pass_gate("g2", 110)


def pass_after_the_commit(run: Run) -> None:
    run.add_job("g2", GOAL, "first")
    run.redis.add_passage("g2", Passage(1, START_MS + 121, WORKER))


def pass_in_the_millisecond_of_the_commit(run: Run) -> None:
    run.redis.exits[GOAL].in_flight = False
    run.redis.exits[GOAL].passed = ()
    run.calls.pop(0)
    run.redis.passages["g1"] = [Passage(1, START_MS + 120, WORKER)]


def pass_a_closed_gate(run: Run) -> None:
    run.add_job("g2", DONE, "first")
    run.redis.end("g2", was_passed=False)
    run.redis.add_passage("g2", Passage(1, START_MS + 210, WORKER))


def pass_after_another_end(run: Run) -> None:
    run.add_job("d3", DONE, "first")
    run.redis.add_passage("d3", Passage(1, START_MS + 301, WORKER))


def begin_late(run: Run) -> None:
    run.calls[1] = replace(run.calls[1], at_ns=ns(452))


def begin_late_while_another_process_was_stopped(run: Run) -> None:
    begin_late(run)
    run.stops = [Stop(471, ns(201), ns(400)), Stop(4711, ns(453), ns(500))]


def call_without_a_gate(run: Run) -> None:
    run.call("k-other", DONE, "first", 210, 220)
    run.calls.pop(1)


def call_before_the_gate(run: Run) -> None:
    run.calls[1] = replace(run.calls[1], at_ns=ns(199))


def conceal_a_passed_gate(run: Run) -> None:
    run.redis.exits[GOAL].in_flight = False
    run.calls.pop(0)


def conceal_a_call(run: Run) -> None:
    run.redis.exits[GOAL].in_flight = False
    run.redis.exits[GOAL].passed = ()


def conceal_a_call_without_an_answer(run: Run) -> None:
    conceal_a_call(run)
    run.calls[0] = replace(run.calls[0], answered_ns=None)


def call_twice_under_two_keys(run: Run) -> None:
    run.add_job("d3", DONE, "first")
    run.pass_gate("d3", 260)
    run.call("k-d3", DONE, "first", 261, 262)


def repeat_with_another_content(run: Run) -> None:
    run.calls.append(replace(run.calls[1], is_repeated=True, body="other"))


def publish_another_exit(run: Run) -> None:
    run.publish_exit(GOAL, in_flight=True, exit_id="y")


def leave_an_execution_open(run: Run) -> None:
    run.executions[DONE] = run.executions[DONE]._replace(status="PAUSED", reason=None)


def lose_an_execution(run: Run) -> None:
    run.started["shop", "c-other"] = True


def start_two_executions(run: Run) -> None:
    run.end(("shop", "e-other"), "c-done", "finished", 300)
    for step in ("first", "second"):
        run.calls += [replace(run.calls[1], execution=("shop", "e-other"), step=step)]


def lose_an_exit(run: Run) -> None:
    run.redis.exits.clear()


def lose_a_call(run: Run) -> None:
    run.calls.pop()


def exit_without_an_event(run: Run) -> None:
    run.started["shop", "c-goal"] = False


def exit_that_was_not_committed(run: Run) -> None:
    run.publish_exit(DONE, in_flight=False)


@pytest.mark.parametrize(
    ("plant", "error"),
    [
        (pass_after_the_exit_was_published, "passed_after_exit"),
        (pass_after_the_commit, "passed_after_exit"),
        (pass_in_the_millisecond_of_the_commit, "passed_after_exit"),
        (pass_a_closed_gate, "passed_after_exit"),
        (pass_after_another_end, "passed_after_exit"),
        (begin_late, "begun_late"),
        (begin_late_while_another_process_was_stopped, "begun_late"),
        (call_without_a_gate, "without_gate"),
        (call_before_the_gate, "without_gate"),
        (conceal_a_passed_gate, "not_owned"),
        (conceal_a_call, "not_owned"),
        (conceal_a_call_without_an_answer, "not_owned"),
        (call_twice_under_two_keys, "doubled"),
        (repeat_with_another_content, "doubled"),
        (publish_another_exit, "doubled"),
        (leave_an_execution_open, "not_ended"),
        (lose_an_execution, "lost"),
        (lose_an_exit, "lost"),
        (lose_a_call, "lost"),
        (exit_without_an_event, "unjustified"),
        (exit_that_was_not_committed, "unjustified"),
    ],
)
def test_each_error_is_found(plant: Callable[[Run], None], error: str) -> None:
    run = Run()
    plant(run)
    assert run.errors == {error: 1}


def test_two_executions_of_a_contact_are_found() -> None:
    run = Run()
    start_two_executions(run)
    assert run.errors["doubled"] == 1


def test_a_late_call_of_a_stopped_worker_is_excused() -> None:
    run = Run()
    begin_late(run)
    run.stops = [Stop(4711, ns(201), ns(400))]
    assert run.errors == {}


def test_a_call_that_a_worker_repeats_with_its_key_is_not_doubled() -> None:
    run = Run()
    run.redis.add_passage("d1", Passage(1, START_MS + 230, WORKER))
    run.calls.append(replace(run.calls[1], at_ns=ns(235), is_repeated=True))
    assert run.errors == {}
