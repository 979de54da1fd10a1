"""Faults of jobs, providers and workers: every job ends with a result (X2, X4, X5)."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.support.actions.worker_bench import (
    LEASE,
    NOOP,
    RecordingProvider,
    WorkerBench,
    a_job,
    until,
)

from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.providers.noop import NoopProvider
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, Outcome, OutcomeKind
from goald.domain.slots import slot_of
from goald.ports.actions.gates import GateStatus, JobEntry
from goald.ports.actions.jobs import Finished, JobResult, Passed, PassRequest
from goald.redis_keys import action_stream
from goald.workers.provider import ActionFailed, Enter, Performed


@pytest.fixture
async def bench() -> WorkerBench:
    bench = WorkerBench()
    await bench.admit()
    return bench


async def test_an_error_before_the_gate_calls_nothing_and_can_be_repeated(
    bench: WorkerBench,
) -> None:
    provider = RecordingProvider(is_keyed=False)
    provider.error_before = ActionFailed(Outcome(OutcomeKind.RETRY, "no route"))
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["error"], result["token"]) == ("retry", "no route", None)


async def test_the_error_of_a_result_has_nothing_of_the_contact(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    text = "Jane (jane@example.com, +49 170 123123) is unknown, says https://x.example/?key=1"
    provider.error = ActionFailed(Outcome(OutcomeKind.SKIP, text))
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert result["error"] == ("*** (***, +49******123) is unknown, says https://x.example/***")


@pytest.mark.parametrize("is_keyed", [True, False])
async def test_an_unexpected_error_of_a_call_is_an_unknown_outcome(
    bench: WorkerBench, is_keyed: bool
) -> None:
    provider = RecordingProvider(is_keyed=is_keyed)
    provider.error = RuntimeError("jane@example.com")
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["is_keyed"]) == ("unknown", is_keyed)
    assert "jane" not in result["error"]


async def dead_worker(bench: WorkerBench, *, has_passed: bool) -> None:
    """A worker receives the job, and dies before or after it passes the gate."""
    job, queue = a_job(), MemoryJobQueue(bench.actions)
    await bench.register(job)
    assert len(await queue.receive([NOOP], 10, 0.1)) == 1
    if has_passed:
        request = PassRequest(
            job.gate, slot_of(job.tenant_id, job.contact_id), job.tenant_id, job.workflow_id,
            b"t" * 16,
        )  # fmt: skip
        assert await queue.pass_gates([request]) == [Passed.PASSED]
    await bench.clock.advance(120.0)


@pytest.mark.parametrize(
    ("is_keyed", "has_passed", "outcome", "calls"),
    [(True, True, "success", 1), (False, True, "unknown", 0), (False, False, "success", 1)],
)
async def test_a_job_of_a_dead_worker_is_taken_over(
    bench: WorkerBench, is_keyed: bool, has_passed: bool, outcome: str, calls: int
) -> None:
    await dead_worker(bench, has_passed=has_passed)
    provider = RecordingProvider(is_keyed=is_keyed)
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1, advance_s=5.0)
    assert (result["outcome"], len(provider.calls)) == (outcome, calls)
    assert bench.jobs() == 0


async def test_a_dead_workers_call_is_not_repeated_after_the_exit(bench: WorkerBench) -> None:
    await dead_worker(bench, has_passed=True)
    await bench.gates.close_gates(LEASE, [a_job().gate])
    provider = RecordingProvider(is_keyed=True)
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1, advance_s=5.0)
    assert (result["outcome"], provider.calls) == ("unknown", [])


async def test_a_call_that_would_begin_too_late_is_begun_after_the_gate_was_passed_again(
    bench: WorkerBench,
) -> None:
    class Writes(NoopProvider):
        """Another thread writes, after 0.3 s at first."""

        calls = 0

        async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
            await enter()
            self.calls += 1
            await bench.clock.advance(0.3 if self.calls == 1 else 0.2)
            enter.check()
            return Performed(SUCCESS)

    provider = Writes()
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], provider.calls) == ("success", 2)


@pytest.mark.parametrize("has_passed", [True, False])
async def test_a_job_that_ends_its_workers_is_reported_without_a_call(
    bench: WorkerBench, has_passed: bool
) -> None:
    await dead_worker(bench, has_passed=has_passed)
    for _ in range(4):  # it ends four more workers
        assert len(await MemoryJobQueue(bench.actions).take_idle(NOOP, 60.0, 10)) == 1
        await bench.clock.advance(61.0)
    provider = RecordingProvider()
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1, advance_s=5.0)
    assert (result["outcome"], provider.calls) == ("unknown", [])
    assert result["error"] == "5 workers ended or stopped while they had the job"
    assert (bench.jobs(), bench.actions.live) == (0, {})


async def test_a_job_that_waits_for_long_is_neither_taken_over_nor_counted_as_delivered(
    bench: WorkerBench,
) -> None:
    await bench.register(a_job())
    bench.actions.admitted.clear()
    async with bench.worker({NOOP: NoopProvider()}) as worker:
        await until(lambda: worker.waiting)
        for _ in range(60):
            await bench.clock.advance(10.0)
            await asyncio.sleep(0.001)
        assert [count for _, count in bench.actions.deliveries.values()] == [1]
        assert await MemoryJobQueue(bench.actions).take_idle(NOOP, 60.0, 10) == []
        bench.actions.admitted.update(dict.fromkeys(range(256), bench.actions.streams.run_id))
        (result,) = await bench.wait_results(1, advance_s=1.0)
    assert result["outcome"] == "success"


async def test_all_jobs_of_a_dead_worker_are_taken_over_together(bench: WorkerBench) -> None:
    await bench.register(*(a_job(number) for number in range(300)))
    assert len(await MemoryJobQueue(bench.actions).receive([NOOP], 300, 0.1)) == 300
    await bench.clock.advance(61.0)
    async with bench.worker({NOOP: NoopProvider()}):
        await until(lambda: bench.clock.sleepers)
        await bench.clock.advance(15.0)
        await until(lambda: len(bench.results()) == 300)


async def test_a_job_that_is_prepared_for_longer_than_its_timeout_is_taken_over(
    bench: WorkerBench,
) -> None:
    provider, other = RecordingProvider(), MemoryJobQueue(bench.actions)
    provider.is_ready.clear()
    await bench.register(a_job(timeout_s=100.0))
    async with bench.worker({NOOP: provider}, idle_s=40.0) as worker:
        await until(lambda: worker.in_flight)
        taken_after = []
        for second in range(300):
            await bench.clock.advance(1.0)
            if await other.take_idle(NOOP, 39.0, 1):
                taken_after.append(second)
                break
        assert 100 < taken_after[0] < 150
        provider.is_ready.set()


async def test_the_next_suspect_is_received_when_the_one_before_has_ended(
    bench: WorkerBench,
) -> None:
    """A job that ends its worker must not count against the jobs next to it."""
    await bench.register(a_job(0), a_job(1))
    for _ in range(2):
        queue = MemoryJobQueue(bench.actions)
        assert len(await queue.receive([NOOP], 9, 0.0) or await queue.take_idle(NOOP, 0, 9)) == 2
    await bench.clock.advance(61.0)
    provider = RecordingProvider()
    provider.may_end.clear()
    async with bench.worker({NOOP: provider}) as worker:
        while not provider.calls:
            await bench.clock.advance(1.0)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        assert worker.in_flight + worker.waiting == 1
        provider.may_end.set()
        await bench.wait_results(2, advance_s=5.0)


async def test_a_job_that_cannot_be_read_is_reported_if_its_identity_can_be(
    bench: WorkerBench,
) -> None:
    event = json.loads(a_job().encode(0))
    event["data"] |= {"variables": None, "timeout_seconds": "soon", "with": {"a": "{{ a"}}
    entry = JobEntry(a_job().gate, NOOP, json.dumps(event))
    await bench.gates.register(LEASE, [entry])
    async with bench.worker({NOOP: NoopProvider()}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["error"]) == ("skip", "the job cannot be read")
    assert (await bench.gates.states([a_job().gate]))[0].status is GateStatus.CLOSED


async def test_the_gate_of_an_unreadable_job_is_closed(bench: WorkerBench) -> None:
    await bench.gates.register(LEASE, [JobEntry(a_job().gate, NOOP, "?")])
    async with bench.worker({NOOP: NoopProvider()}):
        await until(lambda: bench.jobs() == 0)
    assert (await bench.gates.states([a_job().gate]))[0].status is GateStatus.CLOSED


async def test_a_cancellation_within_a_provider_is_an_unknown_outcome(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    provider.error = asyncio.CancelledError()
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert result["outcome"] == "unknown"


async def test_a_result_that_is_refused_fails_no_other(bench: WorkerBench) -> None:
    class Refuses(MemoryJobQueue):
        async def finish(self, results: Sequence[JobResult]) -> list[Finished]:
            if any(each.effect for each in results):
                raise TypeError("no effect")
            return await super().finish(results)

    class Effects(NoopProvider):
        async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
            await enter()
            return Performed(SUCCESS, b"?" if job.gate == a_job(3).gate else b"")

    bench.queue = lambda *_: Refuses(bench.actions)  # type: ignore[method-assign]
    await bench.register(*(a_job(number) for number in range(10)))
    async with bench.worker({NOOP: Effects()}):
        results = await bench.wait_results(10)
    outcomes = {each["gate"]: each["outcome"] for each in results}
    assert outcomes.pop(str(a_job(3).gate)) == "unknown"
    assert set(outcomes.values()) == {"success"}


@pytest.mark.parametrize(
    ("delay_s", "attempt", "delay_ms"),
    [
        (0.0, 1, 1_000), (-5.0, 1, 1_000), (30.0, 1, 30_000), (None, 1, 60_000),
        (float("inf"), 1, 86_400_000), (float("nan"), 1, 60_000),
        (0.0, 12, 128_000), (0.0, 60_000, 900_000),
    ],
)  # fmt: skip
async def test_a_rate_limit_ends_and_is_no_loop(
    bench: WorkerBench, delay_s: float | None, attempt: int, delay_ms: int
) -> None:
    provider = RecordingProvider()
    provider.error = ActionFailed(Outcome(OutcomeKind.RATE_LIMIT, "429", delay_s))
    await bench.register(a_job(attempt=attempt))
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    if attempt <= 10_000:
        assert (result["outcome"], result["delay_ms"]) == ("rate_limit", delay_ms)
    else:
        assert result["outcome"] == "retry"  # it counts, so that it ends


async def test_an_entry_that_is_no_job_is_removed(bench: WorkerBench) -> None:
    await bench.actions.streams.add(action_stream(NOOP), [b"event", b"{}"])
    await bench.register(a_job())
    async with bench.worker({NOOP: NoopProvider()}):
        await bench.wait_results(1)
        await until(lambda: bench.jobs() == 0)
