"""Workers over memory: gates, takeovers, results and the end (X2, X4, X13, D7)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.support.actions.worker_bench import (
    LEASE,
    NOOP,
    RecordingProvider,
    SlowQueue,
    WorkerBench,
    a_job,
    until,
)

from goald.adapters.memory.actions.jobs import MemoryJobQueue
from goald.adapters.providers.noop import NoopProvider
from goald.domain.actions.gates import GateId
from goald.domain.actions.job import Job
from goald.domain.ids import TenantId
from goald.ports.actions.gates import GateStatus
from goald.ports.actions.jobs import Passed
from goald.workers.provider import Enter, Performed


@pytest.fixture
async def bench() -> WorkerBench:
    bench = WorkerBench()
    await bench.admit()
    return bench


async def test_jobs_are_performed_and_reported(bench: WorkerBench) -> None:
    jobs = [a_job(number) for number in range(500)]
    await bench.register(*jobs)
    async with bench.worker({NOOP: NoopProvider()}, concurrency=100):
        results = await bench.wait_results(500)
    assert {each["gate"] for each in results} == {str(job.gate) for job in jobs}
    assert {each["outcome"] for each in results} == {"success"}
    assert bench.jobs() == 0


async def test_few_jobs_start_in_one_turn_of_the_event_loop(bench: WorkerBench) -> None:
    """Templates are rendered at the start, and nothing else runs meanwhile."""
    started: list[int] = [0]

    class StartCounter(NoopProvider):
        async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
            started[-1] += 1
            return await super().perform(job, config, enter)

    async def count_turns() -> None:
        while True:
            started.append(0)
            await asyncio.sleep(0)

    await bench.register(*(a_job(number) for number in range(200)))
    turns = asyncio.create_task(count_turns())
    async with bench.worker({NOOP: StartCounter()}, concurrency=200):
        await bench.wait_results(200)
    turns.cancel()
    assert sum(started) == 200
    assert max(started) <= 10


async def test_a_result_names_the_attempt_and_the_token_of_the_call(bench: WorkerBench) -> None:
    await bench.register(a_job(config={"to": "jane@example.com", "tag_name": "VIP"}))
    async with bench.worker({NOOP: NoopProvider()}):
        (result,) = await bench.wait_results(1)
    assert len(bytes.fromhex(result.pop("token"))) == 16
    assert result == {
        "contact_id": "c-1",
        "workflow_id": "nurture",
        "execution_id": "en-1",
        "step_id": "welcome",
        "visit": 1,
        "attempt": 1,
        "gate": str(a_job().gate),
        "action": "noop",
        "destination": "noop",
        "action_config": {"to": "***", "tag_name": "VIP"},
        "outcome": "success",
        "is_keyed": True,
        "is_called": True,
        "duration_ms": 0,
        "error": None,
    }


async def test_a_provider_gets_rendered_fields(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    config = {"text": "Hi {{ contact.first_name }}", "more": [{"n": 1, "t": "{{ contact.id }}"}]}
    await bench.register(a_job(config=config))
    async with bench.worker({NOOP: provider}):
        await bench.wait_results(1)
    assert provider.calls[0][1] == {"text": "Hi Jane", "more": [{"n": 1, "t": "c-1"}]}


async def test_a_template_that_cannot_be_rendered_is_skipped(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    await bench.register(a_job(config={"text": "{{ contact.surname }}"}))
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["token"]) == ("skip", None)
    assert provider.calls == []


async def test_a_closed_gate_is_reported_as_refused(bench: WorkerBench) -> None:
    """The exit is committed while the worker prepares the call."""
    provider = RecordingProvider()
    provider.is_ready.clear()
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}) as worker:
        await until(lambda: worker.in_flight)
        await bench.gates.close_gates(LEASE, [a_job().gate])
        provider.is_ready.set()
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["token"], provider.calls) == ("refused", None, [])


async def test_a_job_of_an_inactive_workflow_is_reported(bench: WorkerBench) -> None:
    job = a_job()
    await bench.register(job)
    await bench.gates.set_active([(job.tenant_id, job.workflow_id)], is_active=False)
    async with bench.worker({NOOP: NoopProvider()}):
        (result,) = await bench.wait_results(1)
    assert result["outcome"] == "refused_inactive"
    assert (await bench.gates.states([job.gate]))[0].status is GateStatus.CLOSED


async def test_a_worker_that_is_too_slow_returns_the_gate_and_passes_it_again(
    bench: WorkerBench,
) -> None:
    provider = RecordingProvider()
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}, delays=[0.3, 0.26]):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], len(provider.calls)) == ("success", 1)


async def test_a_worker_that_is_too_slow_for_many_jobs_returns_their_gates_together(
    bench: WorkerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call to Redis for each gate would make it slower still."""
    provider, returned = RecordingProvider(), []

    class RecordingQueue(SlowQueue):
        async def return_gates(self, passed: Sequence[tuple[GateId, bytes]]) -> None:
            returned.append(len(passed))
            await super().return_gates(passed)

    queue = lambda *delays: RecordingQueue(bench.actions, bench.clock, delays)  # noqa: E731
    monkeypatch.setattr(bench, "queue", queue)
    await bench.register(*map(a_job, range(50)))
    async with bench.worker({NOOP: provider}, delays=[0.3]):
        await bench.wait_results(50)
    assert len(provider.calls) == 50
    assert returned == [10], "those that started in one turn"


async def test_a_worker_that_was_too_slow_does_not_call_after_the_exit(
    bench: WorkerBench,
) -> None:
    """It has passed the gate, and the exit closes it before the call."""
    provider, gate = RecordingProvider(), a_job().gate

    class Exits(MemoryJobQueue):
        async def pass_gates(self, requests: Any) -> list[Passed]:
            answers = await super().pass_gates(requests)
            (state,) = await bench.gates.close_gates(LEASE, [gate])
            if state.status is GateStatus.PASSED:
                await bench.clock.advance(0.3)
            return answers

    bench.queue = lambda *_: Exits(bench.actions)  # type: ignore[method-assign]
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], provider.calls) == ("refused", [])
    assert (await bench.gates.states([gate]))[0].status is GateStatus.CLOSED


async def test_a_job_waits_until_its_gate_is_admitted(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    await bench.register(a_job())
    bench.actions.admitted.clear()
    async with bench.worker({NOOP: provider}) as worker:
        await until(lambda: worker.waiting)
        await bench.clock.advance(2.0)
        assert (provider.calls, bench.results()) == ([], [])
        run = bench.actions.streams.run_id
        bench.actions.admitted.update(dict.fromkeys(range(256), run))
        (result,) = await bench.wait_results(1, advance_s=1.0)
    assert (result["outcome"], len(provider.calls)) == ("success", 1)


async def test_a_job_that_waits_for_long_is_processed_once(bench: WorkerBench) -> None:
    """The worker would take it over from itself again and again."""
    provider = RecordingProvider()
    provider.is_ready.clear()
    await bench.register(a_job())
    async with bench.worker({NOOP: provider}) as worker:
        await until(lambda: worker.in_flight)
        for _ in range(20):
            await bench.clock.advance(20.0)
            await asyncio.sleep(0.001)
        assert worker.in_flight == 1
        provider.is_ready.set()
        await bench.wait_results(1)
    assert len(provider.calls) == 1


async def test_a_worker_has_at_most_as_many_jobs_as_it_may(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    provider.may_end.clear()
    tenants = [TenantId(f"tenant-{number}") for number in range(50)]
    await bench.register(*(a_job(n, tenant_id=each) for n, each in enumerate(tenants)))
    async with bench.worker({NOOP: provider}, concurrency=7) as worker:
        await until(lambda: len(provider.calls) == 7)
        await asyncio.sleep(0.02)
        assert (len(provider.calls), worker.in_flight) == (7, 7)
        provider.may_end.set()
        await bench.wait_results(50)


async def test_a_stopped_worker_finishes_its_calls(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    provider.may_end.clear()
    await bench.register(a_job(0))
    async with bench.worker({NOOP: provider}) as worker:
        await until(lambda: provider.calls)
        worker.stop()
        asyncio.get_running_loop().call_later(0.05, provider.may_end.set)
    assert [each["outcome"] for each in bench.results()] == ["success"]


async def test_a_stopped_worker_leaves_calls_that_do_not_end(bench: WorkerBench) -> None:
    provider = RecordingProvider()
    provider.may_end.clear()
    await bench.register(a_job(0))
    async with bench.worker({NOOP: provider}, drain_s=0.01):
        await until(lambda: provider.calls)
    assert (bench.results(), bench.jobs()) == ([], 1)
