"""Requests that take long: a tenant has few places, and its requests wait for them (D8)."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from goald.api.admission.places import WorkLimits, WorkPlaces
from goald.api.problems import TooManyRequests, Unavailable

PATIENT = WorkLimits(total=2, per_tenant=1, waiting=2, wait_s=60.0)
IMPATIENT = WorkLimits(total=2, per_tenant=1, waiting=2, wait_s=0.01)


async def take(places: WorkPlaces, tenant: str, order: list[str], name: str) -> None:
    async with places.taken_by(tenant):
        order.append(name)


async def test_requests_of_a_tenant_wait_in_order_and_others_do_not_wait() -> None:
    places, order = WorkPlaces("lists", PATIENT), list[str]()
    async with places.taken_by("flood"):
        waiting = [
            asyncio.create_task(take(places, "flood", order, name)) for name in ("first", "second")
        ]
        await asyncio.sleep(0)
        await take(places, "calm", order, "calm")
        assert order == ["calm"]
    await asyncio.gather(*waiting)
    assert order == ["calm", "first", "second"]


async def test_full_queue_of_a_tenant_gets_429_immediately() -> None:
    places, order = WorkPlaces("lists", PATIENT), list[str]()
    async with places.taken_by("flood"):
        waiting = [asyncio.create_task(take(places, "flood", order, "")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests, match="lists of this tenant"):
            await take(places, "flood", order, "refused")
    await asyncio.gather(*waiting)


async def test_request_that_waits_too_long_gets_429_and_leaves_its_place() -> None:
    places, order = WorkPlaces("lists", IMPATIENT), list[str]()
    async with places.taken_by("flood"):
        for _ in range(4):
            with pytest.raises(TooManyRequests):
                await take(places, "flood", order, "late")
    await take(places, "flood", order, "next")
    assert order == ["next"]


async def test_places_of_all_tenants_are_limited() -> None:
    places, order = WorkPlaces("lists", IMPATIENT), list[str]()
    async with AsyncExitStack() as taken:
        for tenant in ("a", "b"):
            await taken.enter_async_context(places.taken_by(tenant))
        with pytest.raises(Unavailable):
            await take(places, "c", order, "late")
    await take(places, "c", order, "next")
    assert order == ["next"]
