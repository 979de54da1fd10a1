"""A holder keeps a lease that it can renew, and stops in time if it cannot (D3)."""

import asyncio

import pytest
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.domain.leases import LEASE_SECONDS
from goald.pipeline.lease_renewal import LeaseRenewer

HOUR = 3_600.0


class Leases:
    """A lease store: available, slow or unavailable."""

    def __init__(self, *, is_unavailable: bool = False, takes: float = 0.0) -> None:
        self.is_unavailable = is_unavailable
        self.takes = takes
        self.renewed = 0

    async def renew(self) -> None:
        await asyncio.sleep(self.takes)
        if self.is_unavailable:
            raise ServiceUnavailable("unavailable")
        self.renewed += 1


def seconds_held(leases: Leases) -> float:
    """Return the seconds until the holder stops; an hour if it does not."""
    loop = VirtualTimeLoop()

    async def run() -> float:
        began = loop.time()
        try:
            async with asyncio.timeout(HOUR):
                await LeaseRenewer(leases.renew, LoopClock(loop, 0)).run()
        except LeaseLost:
            return loop.time() - began
        except TimeoutError:
            return HOUR
        raise AssertionError("it ended without an error")

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_holder_that_renews_keeps_its_lease() -> None:
    leases = Leases()
    assert seconds_held(leases) == HOUR
    assert leases.renewed > HOUR / LEASE_SECONDS


@pytest.mark.parametrize(
    "leases", [Leases(is_unavailable=True), Leases(takes=HOUR)], ids=["unavailable", "hangs"]
)
def test_holder_that_cannot_renew_stops_before_its_lease_expires(leases: Leases) -> None:
    assert seconds_held(leases) <= LEASE_SECONDS
