"""`goald.client.ActionWorker` against Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.support.actions.worker_bench import LEASE, SERIES, a_job

from goald.adapters.redis.actions.gates import RedisGates
from goald.client.action_worker import Action, ActionError, ActionWorker, Handler
from goald.domain.actions.gates import ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import OutcomeKind
from goald.ports.actions.gates import JobEntry
from goald.redis_keys import action_stream, event_stream

FAX = ActionType("acme.send_fax")
DEADLINE_S = 30.0


class Bench:
    """The holder of all slots, and the results in Redis."""

    def __init__(self, url: str) -> None:
        self.gates = RedisGates(url)
        self.client: Any = Redis.from_url(url)
        self.url = url

    async def register(self, *jobs: Job) -> None:
        await self.gates.register(
            LEASE, [JobEntry(job.gate, job.action, job.encode(0)) for job in jobs]
        )

    async def wait_results(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(DEADLINE_S):
            while len(found := await self.results()) < count:
                await asyncio.sleep(0.01)
        return found

    async def results(self) -> list[dict[str, Any]]:
        entries = [e for n in range(4) for e in await self.client.xrange(event_stream(n))]
        return [json.loads(fields[b"event"])["data"] for _, fields in entries]

    @asynccontextmanager
    async def worker(self, handler: Handler, **options: Any) -> AsyncIterator[ActionWorker]:
        async with ActionWorker(self.url, {FAX: handler}, **options) as worker:
            running = asyncio.create_task(worker.run())
            yield worker
            worker.stop()
            await asyncio.wait_for(running, DEADLINE_S)


@pytest.fixture
async def bench(any_redis_url: str) -> AsyncIterator[Bench]:
    bench = Bench(any_redis_url)
    await bench.gates.admit(LEASE, await bench.gates.fence(LEASE, SERIES))
    yield bench
    await bench.gates.close()
    await bench.client.aclose()


async def test_a_handler_performs_actions_and_jobs_disappear(bench: Bench) -> None:
    actions: list[Action] = []

    async def handler(action: Action) -> None:
        actions.append(action)

    jobs = [a_job(n, FAX, config={"text": "Hi {{ contact.first_name }}"}) for n in range(300)]
    await bench.register(*jobs)
    async with bench.worker(handler):
        results = await bench.wait_results(300)
    assert {each["outcome"] for each in results} == {"success"}
    assert sorted(each.key for each in actions) == sorted(job.key for job in jobs)
    assert {each.config["text"] for each in actions} == {"Hi Jane"}
    assert await bench.client.xlen(action_stream(FAX)) == 0
    (group,) = await bench.client.xinfo_groups(action_stream(FAX))
    assert group["pending"] == 0


async def test_a_handler_says_how_an_action_failed(bench: Bench) -> None:
    async def handler(action: Action) -> None:
        raise ActionError("busy", OutcomeKind.RATE_LIMIT, delay_s=7.0)

    await bench.register(a_job(0, FAX))
    async with bench.worker(handler):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["error"], result["delay_ms"]) == ("rate_limit", "busy", 7_000)


async def test_a_closed_job_is_not_performed(bench: Bench) -> None:
    called: list[Action] = []

    async def handler(action: Action) -> None:
        called.append(action)

    closed, open_ = a_job(0, FAX), a_job(1, FAX)
    await bench.register(closed, open_)
    await bench.gates.close_gates(LEASE, [closed.gate])
    async with bench.worker(handler):
        await bench.wait_results(1)
    assert [action.key for action in called] == [open_.key]


@pytest.mark.parametrize(
    ("honours_keys", "outcome", "calls"), [(True, "success", 2), (False, "unknown", 1)]
)
async def test_a_call_of_a_worker_that_died_is_repeated_only_with_keys(
    bench: Bench, honours_keys: bool, outcome: str, calls: int
) -> None:
    called: list[Action] = []

    async def dies(action: Action) -> None:
        called.append(action)
        await asyncio.Event().wait()

    async def handler(action: Action) -> None:
        called.append(action)

    await bench.register(a_job(0, FAX, timeout_s=0.2))
    async with ActionWorker(bench.url, {FAX: dies}) as dead:
        running = asyncio.create_task(dead.run())
        async with asyncio.timeout(DEADLINE_S):
            while not called:
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with bench.worker(handler, honours_keys=honours_keys, idle_s=0.3):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], len(called)) == (outcome, calls)
