"""The memory for bodies is shared among tenants and addresses (D8)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from tests.support.pipeline.virtual_time import VirtualTimeLoop

from goald.api.body_memory import (
    FREE_BYTES,
    BodyMemory,
    BodyOwner,
    BodyReservation,
    MemoryLimits,
)
from goald.api.problems import TooManyRequests, Unavailable

A = BodyOwner("a", "192.0.2.1")
SAME_TENANT = BodyOwner("a", "192.0.2.2")
SAME_ADDRESS = BodyOwner("b", "192.0.2.1")
OTHER = BodyOwner("c", "192.0.2.3")


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario on virtual time."""
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(scenario())
    finally:
        loop.close()


@pytest.mark.parametrize(
    ("limits", "refused", "accepted"),
    [
        (MemoryLimits(total=10), OTHER, None),
        (MemoryLimits(per_tenant=10), SAME_TENANT, SAME_ADDRESS),
        (MemoryLimits(per_address=10), SAME_ADDRESS, SAME_TENANT),
        (MemoryLimits(per_tenant_and_address=10), A, SAME_TENANT),
    ],
    ids=["all", "tenant", "address", "tenant and address"],
)
def test_each_limit_applies_to_its_owners_only(
    limits: MemoryLimits, refused: BodyOwner, accepted: BodyOwner | None
) -> None:
    memory = BodyMemory(limits)
    assert memory.take(A, 10)
    assert not memory.take(refused, 1)
    assert accepted is None or memory.take(accepted, 1)
    memory.free(A, 10)
    assert memory.take(refused, 1)


def test_a_request_waits_until_memory_is_released_while_others_are_served() -> None:
    async def scenario() -> None:
        memory = BodyMemory(MemoryLimits(per_tenant=10))
        await memory.wait_for(A, 8)
        waiting = asyncio.ensure_future(memory.wait_for(SAME_TENANT, 4))
        await asyncio.sleep(0)
        await memory.wait_for(SAME_ADDRESS, 8)
        assert not waiting.done()
        memory.free(A, 8)
        await waiting
        assert not memory.take(A, 7)

    run(scenario)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        (MemoryLimits(per_tenant=10), TooManyRequests),
        (MemoryLimits(total=10), Unavailable),
        (MemoryLimits(per_address=10), Unavailable),
    ],
    ids=["tenant", "all", "address"],
)
def test_a_request_that_waits_too_long_is_refused(
    limits: MemoryLimits, error: type[Exception]
) -> None:
    async def scenario() -> None:
        memory = BodyMemory(limits)
        await memory.wait_for(A, 10)
        with pytest.raises(error):
            await memory.wait_for(A, 1)
        memory.free(A, 10)
        await memory.wait_for(A, 10)

    run(scenario)


@pytest.mark.parametrize(
    ("limits", "waiting", "refused", "accepted"),
    [
        (MemoryLimits(total=10, waiting=1), OTHER, SAME_ADDRESS, None),
        (MemoryLimits(total=10, waiting_per_tenant=1), A, SAME_TENANT, OTHER),
        (MemoryLimits(total=10, waiting_per_address=1), A, SAME_ADDRESS, OTHER),
    ],
    ids=["all", "tenant", "address"],
)
def test_the_number_of_waiting_requests_is_bounded(
    limits: MemoryLimits, waiting: BodyOwner, refused: BodyOwner, accepted: BodyOwner | None
) -> None:
    async def scenario() -> None:
        memory, loop = BodyMemory(limits), asyncio.get_running_loop()
        await memory.wait_for(A, 10)
        calls = [asyncio.ensure_future(memory.wait_for(waiting, 1))]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await memory.wait_for(refused, 1)
        assert loop.time() == 0, "it has waited"
        if accepted is not None:
            calls.append(asyncio.ensure_future(memory.wait_for(accepted, 1)))
            await asyncio.sleep(0)
        memory.free(A, 10)
        await asyncio.gather(*calls)

    run(scenario)


def test_a_cancelled_request_takes_no_memory() -> None:
    async def scenario() -> None:
        memory = BodyMemory(MemoryLimits(total=10))
        await memory.wait_for(A, 10)
        late, admitted = (asyncio.ensure_future(memory.wait_for(A, 10)) for _ in range(2))
        await asyncio.sleep(0)
        late.cancel()
        await asyncio.wait({late})
        memory.free(A, 10)
        admitted.cancel()
        await asyncio.wait({admitted})
        assert memory.take(A, 10)

    run(scenario)


def test_the_first_part_of_each_body_is_free() -> None:
    async def scenario() -> None:
        memory = BodyMemory(MemoryLimits(total=10))
        for _ in range(3):
            await BodyReservation(memory, A).grow(FREE_BYTES)
        full = BodyReservation(memory, A)
        assert full.try_grow(FREE_BYTES + 4)
        assert full.try_grow(FREE_BYTES + 10)
        assert not full.try_grow(FREE_BYTES + 11)
        full.shrink(FREE_BYTES + 3)
        assert memory.take(OTHER, 7)
        full.release()
        full.release()
        assert memory.take(OTHER, 3)
        assert not memory.take(OTHER, 1)

    run(scenario)
