"""The jobs of a shard that are out, and what their gates have answered (X2, X16)."""

from goald.adapters.memory.clock import ManualClock
from goald.domain.actions.gates import ActionType, GateId, gate_series
from goald.pipeline.executions.in_flight import CALL_SECONDS, JobsInFlight
from goald.pipeline.executions.recovery import GateInput, JobInFlight
from goald.pipeline.executions.release.credits import Credits

NOOP = ActionType("noop")
SERIES = gate_series(7, b"\x00" * 4)


def job(execution: str, number: int = 0, contact: str = "ann") -> JobInFlight:
    return JobInFlight(
        "acme", contact, execution, "send", 1, number + 1, NOOP, GateId(SERIES, number)
    )


def jobs(*present: JobInFlight) -> tuple[JobsInFlight, Credits]:
    clock = ManualClock()
    credits_ = Credits(clock, floor=2)
    found = JobsInFlight(clock, credits_)
    found.replace_all(present)
    return found, credits_


def test_a_job_that_is_out_takes_a_credit_until_it_is_reported() -> None:
    found, credits_ = jobs(job("e-1"), job("e-2"))
    assert credits_.free(NOOP) == 0
    found.remove(("acme", "e-1"), is_finished=True)
    assert (credits_.out(NOOP), found.get(("acme", "e-1"))) == (1, None)


def test_the_next_attempt_replaces_the_one_before() -> None:
    found, credits_ = jobs(job("e-1"))
    found.add(job("e-1", 1))
    assert (len(found), credits_.out(NOOP)) == (1, 1)
    assert found.get(("acme", "e-1")) == job("e-1", 1)


def test_a_closed_gate_is_in_doubt_until_its_execution_has_left_the_attempt() -> None:
    """The commit may have failed, or Postgres may have refused the row."""
    first, second = job("e-1"), job("e-2", 1)
    found, _ = jobs(first, second)
    found.closing([first, second])
    found.remove(("acme", "e-2"), is_finished=False)
    assert found.doubtful == [first]


def test_the_answer_of_a_gate_is_given_until_the_attempt_is_replaced() -> None:
    first = job("e-1")
    found, _ = jobs(first)
    found.closing([first])
    found.answer([GateInput(first, "closed")])
    assert (found.doubtful, found.inputs) == ([], [GateInput(first, "closed")])
    found.add(job("e-1", 1))
    assert found.inputs == []


def test_an_open_gate_needs_no_answer() -> None:
    """A result follows."""
    first = job("e-1")
    found, _ = jobs(first)
    found.answer([GateInput(first, "open")])
    assert found.inputs == []


def test_the_answer_about_an_attempt_that_was_replaced_is_ignored() -> None:
    found, _ = jobs(job("e-1", 1))
    found.answer([GateInput(job("e-1", 0), "closed")])
    assert found.inputs == []


def test_a_lost_gate_counts_as_a_call_in_flight() -> None:
    first, second = job("e-1"), job("e-2", 1)
    found, _ = jobs(first, second)
    found.answer([GateInput(first, "lost"), GateInput(second, "closed")])
    assert found.is_lost(("acme", "e-1"))
    assert not found.is_lost(("acme", "e-2"))


async def test_a_lost_call_may_be_in_flight_after_the_execution_has_left_its_attempt() -> None:
    """The worker calls the provider for up to the timeout of its job."""
    clock = ManualClock()
    found = JobsInFlight(clock, Credits(clock))
    first = job("e-1")
    found.replace_all([first])
    found.answer([GateInput(first, "lost")])
    found.remove(("acme", "e-1"), is_finished=True)
    await clock.advance(CALL_SECONDS - 1)
    assert found.is_lost(("acme", "e-1"))
    await clock.advance(1)
    assert not found.is_lost(("acme", "e-1"))


def test_contacts_that_are_loaded_again_have_the_jobs_of_their_rows() -> None:
    found, credits_ = jobs(job("e-1"), job("e-2", 1, contact="bob"))
    found.replace({("acme", "ann")}, [job("e-1", 5)])
    assert found.all == [job("e-2", 1, contact="bob"), job("e-1", 5)]
    found.replace({("acme", "bob")}, [])
    assert (found.all, credits_.out(NOOP)) == ([job("e-1", 5)], 1)
