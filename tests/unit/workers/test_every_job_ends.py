"""Every job that a worker receives ends with one result or is removed, for any content and any
error of its provider."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.actions.worker_bench import LEASE, NOOP, WorkerBench, a_job, until

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, Outcome, OutcomeKind
from goald.ports.actions.gates import GateStatus, JobEntry
from goald.workers.provider import ActionFailed, CallTooLate, Enter, Performed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
TEXTS = st.sampled_from(
    ["plain", "{{ contact.a | ceil }}", "{{ nothing }}", "\ud800", "{{ (1..3) }}"]
)
FIELDS = ["gate", "contact_id", "step_id", "visit", "attempt", "hops", "connection",
          "timeout_seconds", "idempotency_key", "variables", "with", "action"]  # fmt: skip
ERRORS: list[BaseException] = [
    ValueError("jane@example.com"), KeyError(), MemoryError(), RecursionError(), TimeoutError(),
    asyncio.CancelledError(), CallTooLate("late"), ActionFailed(""), ActionFailed("\ud800"),
    ActionFailed(Outcome(OutcomeKind.RATE_LIMIT, None, float("inf"))),
    ActionFailed(Outcome(OutcomeKind.RATE_LIMIT, "x" * 9_999, float("nan"))),
]  # fmt: skip


class Failing:
    """Fails before or after the gate, or answers with anything."""

    def __init__(self, error: BaseException | None, answer: Any, *, is_keyed: bool) -> None:
        self._error, self._answer, self.is_keyed = error, answer, is_keyed
        self.enters = True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        if self.enters:
            await enter()
        if self._error is not None:
            raise self._error
        answer: Performed = self._answer
        return answer

    async def close(self) -> None:
        """There is nothing to close."""


async def process(payload: str, provider: Failing) -> tuple[int, GateStatus]:
    """The number of results of a job, and the state of its gate."""
    bench = WorkerBench()
    await bench.admit()
    await bench.gates.register(LEASE, [JobEntry(a_job().gate, NOOP, payload)])
    async with bench.worker({NOOP: provider}):
        await until(lambda: not bench.jobs())
    return len(bench.results()), (await bench.gates.states([a_job().gate]))[0].status


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=2),
    st.dictionaries(st.text(max_size=3), TEXTS | VALUES, max_size=2),
    st.none() | st.sampled_from(ERRORS),
    st.sampled_from([Performed(SUCCESS), Performed(SUCCESS, b'{"type":"x"}'), None, 7]),
    st.booleans(),
    st.booleans(),
)
def test_a_job_ends_with_one_result_and_without_an_open_gate(
    changed: dict[str, Any],
    config: dict[str, Any],
    error: BaseException | None,
    answer: Any,
    is_keyed: bool,
    enters: bool,
) -> None:
    event = json.loads(a_job().encode(0))
    event["data"] |= {"with": config, **changed}
    provider = Failing(error, answer, is_keyed=is_keyed)
    provider.enters = enters
    results, status = asyncio.run(process(json.dumps(event), provider))
    assert results <= 1
    if not changed.keys() & {"gate", "contact_id", "step_id", "visit", "attempt", "action",
                             "idempotency_key"}:  # fmt: skip
        assert results == 1
    if "gate" not in changed:
        assert status in {GateStatus.CLOSED, GateStatus.FINISHED}


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"1" * 9_999]))
def test_bytes_that_are_no_job_are_a_value_error(payload: bytes) -> None:
    for parse in (Job.parse, Job.parse_identity):
        with pytest.raises(ValueError, match="not a job"):
            parse(payload)
