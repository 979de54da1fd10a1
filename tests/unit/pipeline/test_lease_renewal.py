"""Who cannot renew a lease gives it up in time, and who can, keeps it (D3)."""

import asyncio

import pytest
from tests.support.pipeline.virtual_time import LoopClock, VirtualLoop

from goald.domain.errors import LeaseLost, ServiceUnavailable
from goald.domain.leases import LEASE_SECONDS
from goald.pipeline.lease_renewal import LeaseRenewer

HOUR = 3_600.0


class Leases:
    """What renews: gone, slow, or there."""

    def __init__(self, *, is_away: bool = False, takes: float = 0.0) -> None:
        self.is_away = is_away
        self.takes = takes
        self.renewed = 0

    async def renew(self) -> None:
        await asyncio.sleep(self.takes)
        if self.is_away:
            raise ServiceUnavailable("gone")
        self.renewed += 1


def held_for(leases: Leases) -> float:
    """Seconds until the holder gives up; an hour where it does not."""
    loop = VirtualLoop()

    async def run() -> float:
        began = loop.time()
        try:
            async with asyncio.timeout(HOUR):
                await LeaseRenewer(leases.renew, LoopClock(loop, 0)).run()
        except LeaseLost:
            return loop.time() - began
        except TimeoutError:
            return HOUR
        raise AssertionError("it ended without a word")

    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def test_who_renews_holds_on() -> None:
    leases = Leases()
    assert held_for(leases) == HOUR
    assert leases.renewed > HOUR / LEASE_SECONDS


@pytest.mark.parametrize(
    "leases", [Leases(is_away=True), Leases(takes=HOUR)], ids=["gone", "hangs"]
)
def test_who_cannot_renew_stops_before_its_lease_has_run_out(leases: Leases) -> None:
    assert held_for(leases) <= LEASE_SECONDS
