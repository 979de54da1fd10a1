"""`goald.client.ExitReader` over a real Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.support.pipeline.exits import exit_event, pending, publish
from tests.support.services.redis_proxy import Proxy

from goald.client import DeliverySettings, Exit, ExitReader, TriggerEvent
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId

DEADLINE_S = 20


class BodyFailed(Exception):
    """Raised by the body of a loop."""


@pytest.fixture
async def client(any_redis_url: str) -> AsyncIterator[Any]:
    """A client of an empty server."""
    async with Redis.from_url(any_redis_url) as client:
        yield client


@pytest.fixture
async def proxy(any_redis_url: str) -> AsyncIterator[Proxy]:
    """A network to the same server, that can be cut."""
    async with Proxy(any_redis_url.removeprefix("unix://")) as proxy:
        yield proxy


def reader(redis: Any, consumer: str = "one", **settings: Any) -> ExitReader:
    delivery = DeliverySettings(**settings)
    return ExitReader(redis, group="engine", consumer=consumer, delivery=delivery)


async def take(exits: ExitReader, count: int) -> list[str]:
    """The ids of the next exits, all of them processed but the last."""
    async with asyncio.timeout(DEADLINE_S):
        return [(await anext(exits)).id for _ in range(count)]


async def test_exits_come_in_order_with_every_field(any_redis_url: str, client: Any) -> None:
    await publish(client, 1, 2)
    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url) as exits:
        found = await anext(exits)
        assert found == Exit(
            id="x-1",
            tenant_id=TenantId("acme"),
            workflow_id=WorkflowId("w-1"),
            contact_id=ContactId("c-1"),
            enrollment_id=EnrollmentId("n-1"),
            exit_reason="goal_achieved",
            goal_type="tag_added",
            goal_ids=("g-1", "g-2"),
            achieved_at=datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC),
            cancel=("pending_actions", "wait_steps"),
            trigger_event=TriggerEvent("e-1", "crm", "contact.tag.added"),
            occurred_at=datetime(2026, 1, 2, 3, 4, 5, 1, tzinfo=UTC),
            received_at=datetime(2026, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC),
            published_at=datetime(2026, 1, 2, 3, 4, 5, 200_000, tzinfo=UTC),
            time=datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC),
            traceparent="00-1-2-01",
            entry_id=found.entry_id,
        )
        assert (await anext(exits)).id == "x-2"


async def test_a_reader_waits_for_the_next_exit(any_redis_url: str, client: Any) -> None:
    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url) as exits:
        waiting = asyncio.create_task(anext(exits))
        await asyncio.sleep(0)
        await publish(client, 1)
        assert (await waiting).id == "x-1"


async def test_an_exit_published_twice_is_processed_once(any_redis_url: str, client: Any) -> None:
    await publish(client, 1, 1, 2, 1, 3)
    async with reader(any_redis_url) as exits:
        assert await take(exits, 3) == ["x-1", "x-2", "x-3"]
    assert await pending(client) == 0


async def test_an_exit_processed_before_a_restart_is_skipped_after_it(
    any_redis_url: str, client: Any
) -> None:
    await publish(client, 1)
    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url) as exits:
        async for _ in exits:
            break
    assert await pending(client) == 0
    await publish(client, 1, 2)
    async with reader(any_redis_url, "other") as exits:
        assert await take(exits, 1) == ["x-2"]


async def test_the_marks_of_one_tenant_are_bounded_and_push_out_no_others(
    any_redis_url: str, client: Any
) -> None:
    """Otherwise one tenant with many exits fills Redis, which stops all tenants."""
    await client.xadd("goald:exits", {"event": exit_event(0, tenantid="calm")})
    await publish(client, *range(1, 8))
    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url, remember_per_tenant=3) as exits:
        await take(exits, 8)
        await client.xadd("goald:exits", {"event": exit_event(0, tenantid="calm")})
        await publish(client, 7, 6, 5, 4)
        assert await take(exits, 1) == ["x-4"]  # The marks are those of x-5 to x-7.
    assert await client.zcard("goald:processed:engine:acme") == 3
    assert await client.zcard("goald:processed:engine:calm") == 1


async def test_marks_expire(any_redis_url: str, client: Any) -> None:
    await publish(client, 1, 2)
    async with reader(any_redis_url, remember_s=60.0) as exits:
        await take(exits, 1)
        await client.zadd("goald:processed:engine:acme", {"x-old": 1})
        await take(exits, 1)
    assert await client.zrange("goald:processed:engine:acme", 0, -1) == [b"x-1", b"x-2"]
    assert 0 < await client.pttl("goald:processed:engine:acme") <= 60_000


async def test_names_with_colons_do_not_mix_the_marks_of_two_groups(
    any_redis_url: str, client: Any
) -> None:
    await client.xadd("goald:exits", {"event": exit_event(1, tenantid="b:acme")})
    async with asyncio.timeout(DEADLINE_S):
        async with ExitReader(any_redis_url, group="engine", consumer="one") as exits:
            async for _ in exits:
                break
        await client.delete("goald:exits")
        await client.xadd("goald:exits", {"event": exit_event(1, tenantid="acme")})
        async with ExitReader(any_redis_url, group="engine:b", consumer="one") as exits:
            assert (await anext(exits)).id == "x-1"


async def test_each_group_receives_every_exit(any_redis_url: str, client: Any) -> None:
    await publish(client, 1)
    for group in ("engine", "billing"):
        async with ExitReader(any_redis_url, group=group, consumer="one") as exits:
            assert await take(exits, 1) == ["x-1"]


async def test_an_exit_whose_body_raised_comes_again(any_redis_url: str, client: Any) -> None:
    await publish(client, 1, 2, 3)

    async def process() -> None:
        async with reader(any_redis_url) as exits:
            async for found in exits:
                if found.id == "x-2":
                    raise BodyFailed

    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BodyFailed):
            await process()
    async with reader(any_redis_url) as exits:
        assert await take(exits, 2) == ["x-2", "x-3"]


async def test_a_second_loop_begins_with_the_exit_that_the_first_failed_at(
    any_redis_url: str, client: Any
) -> None:
    await publish(client, 1, 2)

    async def fail(exits: ExitReader) -> None:
        async for _ in exits:
            raise BodyFailed

    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url) as exits:
        with pytest.raises(BodyFailed):
            await fail(exits)
        async for found in exits:
            assert found.id == "x-1"
            break


async def test_exits_of_a_dead_member_are_claimed_together_with_new_exits(
    any_redis_url: str, client: Any
) -> None:
    await publish(client, 1, 2, 3)
    dead = reader(any_redis_url, "dead", prefetch=3)
    await take(dead, 1)
    await dead.aclose()
    async with reader(any_redis_url, "alive", claim_after_s=0.01) as exits:
        await publish(client, 4)
        assert sorted(await take(exits, 4)) == ["x-1", "x-2", "x-3", "x-4"]


async def test_exits_of_a_living_member_are_not_claimed(any_redis_url: str, client: Any) -> None:
    await publish(client, 1, 2)
    first = reader(any_redis_url, "first", prefetch=2)
    await take(first, 1)
    async with reader(any_redis_url, "second") as second:
        await publish(client, 3)
        assert await take(second, 1) == ["x-3"]
    assert await take(first, 1) == ["x-2"]
    await first.aclose()


async def test_entries_that_are_not_exits_are_skipped(any_redis_url: str, client: Any) -> None:
    await client.xadd("goald:exits", {"event": "{"})
    await client.xadd("goald:exits", {"other": "1"})
    await client.xadd("goald:exits", {"event": exit_event(1, type="workflow.exit.other")})
    await client.xadd("goald:exits", {"event": "[]"})
    await publish(client, 2)
    async with reader(any_redis_url) as exits:
        assert await take(exits, 1) == ["x-2"]
        assert await pending(client) == 1


async def test_an_exit_trimmed_after_it_was_read_is_acknowledged(
    any_redis_url: str, client: Any
) -> None:
    await publish(client, 1, 2)
    before = reader(any_redis_url)
    await take(before, 1)
    await before.aclose()
    await client.xtrim("goald:exits", maxlen=1, approximate=False)
    async with reader(any_redis_url) as exits:
        assert await take(exits, 1) == ["x-2"]
        assert await pending(client) == 1


async def test_a_cancelled_wait_loses_no_exit(any_redis_url: str, client: Any) -> None:
    """As `asyncio.wait_for(anext(exits), …)` does, at many points."""
    seen: list[str] = []
    async with reader(any_redis_url) as exits:
        for number in range(30):
            await publish(client, number)
            waiting = asyncio.create_task(anext(exits))
            for _ in range(number * 3):
                await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            if not waiting.cancelled():
                seen.append(waiting.result().id)
        await publish(client, 99)
        async with asyncio.timeout(DEADLINE_S):
            while "x-99" not in seen:
                seen.append((await anext(exits)).id)
    assert seen == [f"x-{n}" for n in range(30)] + ["x-99"]


async def test_a_reader_survives_a_broken_network_and_loses_nothing(
    proxy: Proxy, client: Any
) -> None:
    seen: list[str] = []
    async with reader(proxy.url) as exits:
        for round_ in range(6):
            if round_ % 2:
                proxy.lose_replies = True
            else:
                proxy.cut()
            waiting = asyncio.create_task(take(exits, 2))
            await publish(client, 2 * round_, 2 * round_ + 1)
            await asyncio.wait([waiting], timeout=0.05)
            proxy.restore()
            seen += await waiting
    assert seen == [f"x-{n}" for n in range(12)]


async def test_a_reader_continues_after_redis_lost_everything(
    any_redis_url: str, client: Any
) -> None:
    async with reader(any_redis_url) as exits:
        await publish(client, 1)
        assert await take(exits, 1) == ["x-1"]
        waiting = asyncio.create_task(take(exits, 1))
        await asyncio.sleep(0)
        await client.flushall()
        await publish(client, 2)
        assert await waiting == ["x-2"]


async def test_a_processed_exit_is_reported_with_an_event(any_redis_url: str, client: Any) -> None:
    await client.set("goald:streams", 1)
    await publish(client, 1)
    async with asyncio.timeout(DEADLINE_S), reader(any_redis_url) as exits:
        async for found in exits:
            await exits.acknowledged(found, cancelled_actions=3)
            break
    ((_, fields),) = await client.xrange("goald:events:0")
    sent = json.loads(fields[b"event"])
    assert sent["type"] == "workflow.exit.acknowledged"
    assert (sent["id"], sent["tenantid"], sent["traceparent"]) == ("x-1", "acme", "00-1-2-01")
    assert sent["data"] == {
        "contact_id": "c-1",
        "workflow_id": "w-1",
        "enrollment_id": "n-1",
        "cancelled_actions": 3,
    }


async def test_the_settings_of_a_given_client_are_copied(any_redis_url: str, client: Any) -> None:
    await publish(client, 1)
    async with (
        Redis.from_url(any_redis_url, decode_responses=True) as given,
        reader(given) as exits,
    ):
        assert await take(exits, 1) == ["x-1"]
