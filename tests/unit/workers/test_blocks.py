"""One pause or rate limit applies to the jobs with the same destination only (X5)."""

from typing import Any

import pytest
from tests.support.actions.worker_bench import RecordingProvider, WorkerBench, a_job

from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.domain.ids import TenantId
from goald.workers.provider import ActionFailed

WEBHOOK = ActionType("webhook")


def webhook(number: int, host: str, **fields: Any) -> Job:
    config = {"url": f"https://{host}/hook?n={number}"}
    return a_job(number, WEBHOOK, config=config, **fields)


async def perform(provider: RecordingProvider, *jobs: Job) -> list[dict[str, Any]]:
    """The results of jobs that are performed one after another."""
    bench = WorkerBench()
    await bench.admit()
    async with bench.worker({WEBHOOK: provider}):
        for count, job in enumerate(jobs, 1):
            await bench.register(job)
            await bench.wait_results(count)
    return sorted(bench.results(), key=lambda each: int(each["gate"].rpartition(".")[2]))


@pytest.mark.parametrize("kind", [OutcomeKind.PAUSE, OutcomeKind.RATE_LIMIT])
async def test_jobs_for_a_receiver_that_refused_are_not_called_but_others_are(
    kind: OutcomeKind,
) -> None:
    provider = RecordingProvider()
    provider.error = ActionFailed(Outcome(kind, "no", 30.0))
    jobs = [webhook(0, "a.example"), webhook(1, "A.example"), webhook(2, "b.example"),
            webhook(3, "a.example", tenant_id=TenantId("beta"))]  # fmt: skip
    results = await perform(provider, *jobs)
    assert [each["outcome"] for each in results] == [kind] * 4
    assert [each["is_called"] for each in results] == [True, False, True, True]
    assert [job.gate for job, _ in provider.calls] == [jobs[0].gate, jobs[2].gate, jobs[3].gate]
    assert [each["destination"] for each in results[:3]] == [
        "host a.example", "host a.example", "host b.example",
    ]  # fmt: skip
    if kind is OutcomeKind.RATE_LIMIT:
        assert results[1]["delay_ms"] <= 30_000


async def test_a_receiver_is_called_again_when_its_time_has_come() -> None:
    provider, bench = RecordingProvider(), WorkerBench()
    await bench.admit()
    provider.error = ActionFailed(Outcome(OutcomeKind.RATE_LIMIT, "no", 30.0))
    async with bench.worker({WEBHOOK: provider}):
        await bench.register(webhook(0, "a.example"))
        await bench.wait_results(1)
        provider.error = None
        await bench.clock.advance(29.0)
        await bench.register(webhook(1, "a.example"))
        await bench.wait_results(2)
        await bench.clock.advance(1.5)
        await bench.register(webhook(2, "a.example"))
        await bench.wait_results(3)
    outcomes = {each["gate"]: each["outcome"] for each in bench.results()}
    assert list(outcomes.values()).count("rate_limit") == 2
    assert len(provider.calls) == 2
