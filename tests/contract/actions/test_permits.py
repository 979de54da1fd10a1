"""`ports.Permits`: the limit of ACTIVE executions of an account (X8)."""

import asyncio

import pytest
from tests.contract.actions.backends import ActionBackend

from goald.domain.actions.gates import GateSeries, gate_series
from goald.domain.errors import LeaseLost, ServerReplaced
from goald.domain.ids import EnrollmentId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import SlotRange
from goald.ports.actions.permits import Permit, PermitAnswer

LOW, HIGH, ALL = SlotRange(0, 127), SlotRange(128, 255), SlotRange(0, 255)
ACME, GLOBEX = TenantId("acme"), TenantId("glöbex")
GRANTED, FULL, NOT_REPORTED = PermitAnswer
LIMIT = 3


def permit(number: int, tenant: TenantId = ACME, slot: int = 5) -> Permit:
    return Permit(tenant, EnrollmentId(f"en-{number}"), slot)


class Shard:
    """A holder of slots, with its permits."""

    def __init__(
        self, actions: ActionBackend, slots: SlotRange, epoch: int, randomness: bytes = b"shrd"
    ) -> None:
        self.slots, self.permits, self._gates = slots, actions.permits(), actions.gates()
        self._lease = SlotLease(slots, epoch, f"shard@{epoch}")
        self.series: GateSeries = gate_series(epoch, randomness)

    async def report(self, *active: Permit, admits: bool = True) -> "Shard":
        """Fence, report, and admit the slots."""
        run = await self._gates.fence(self._lease, self.series)
        await self.permits.report(self.slots, self.series, active)
        if admits:
            assert await self._gates.admit(self._lease, run)
        return self

    async def take(self, *requests: Permit, limit: int = LIMIT) -> list[PermitAnswer]:
        pairs = [(each, limit) for each in requests]
        return await self.permits.take(self.slots, self.series, pairs)

    async def release(self, *permits: Permit) -> None:
        await self.permits.release(self.slots, self.series, permits)


async def shard(actions: ActionBackend, *active: Permit) -> Shard:
    """A shard that holds all slots."""
    return await Shard(actions, ALL, 7).report(*active)


async def test_an_account_has_at_most_as_many_permits_as_its_limit(
    actions: ActionBackend,
) -> None:
    holder = await shard(actions)
    answers = await holder.take(*map(permit, range(5)))
    assert answers == [GRANTED] * 3 + [FULL] * 2
    await holder.release(permit(1))
    assert await holder.take(permit(3), permit(4)) == [GRANTED, FULL]


async def test_accounts_are_independent(actions: ActionBackend) -> None:
    holder = await shard(actions)
    await holder.take(*map(permit, range(3)))
    others = [permit(number, GLOBEX) for number in range(4)]
    assert await holder.take(*others) == [GRANTED] * 3 + [FULL]


async def test_a_repeated_request_takes_one_permit(actions: ActionBackend) -> None:
    """Its answer may have been lost."""
    holder = await shard(actions)
    await holder.take(permit(0), permit(0))
    assert await holder.take(permit(0), permit(1), permit(2)) == [GRANTED] * 3
    assert await holder.take(permit(3), permit(0)) == [FULL, GRANTED]


async def test_a_limit_that_was_lowered_takes_no_permit_away(actions: ActionBackend) -> None:
    holder = await shard(actions)
    await holder.take(*map(permit, range(3)))
    assert await holder.take(permit(0), permit(3), limit=1) == [GRANTED, FULL]


async def test_the_limit_holds_over_shards_that_ask_together(actions: ActionBackend) -> None:
    low, high = Shard(actions, LOW, 7), Shard(actions, HIGH, 8)
    await low.report()
    await high.report()
    answers = await asyncio.gather(
        low.take(*(permit(number, slot=3) for number in range(100)), limit=60),
        high.take(*(permit(number, slot=200) for number in range(100, 200)), limit=60),
    )
    assert [*answers[0], *answers[1]].count(GRANTED) == 60


async def test_many_permits_are_taken_and_released_in_one_call(actions: ActionBackend) -> None:
    holder = await shard(actions)
    many = [permit(number, slot=number % 256) for number in range(2_500)]
    assert (await holder.take(*many, limit=2_400)).count(GRANTED) == 2_400
    await holder.release(*many)
    assert await holder.take(permit(9_999), limit=1) == [GRANTED]


async def test_the_next_holder_returns_permits_that_no_active_execution_has(
    actions: ActionBackend,
) -> None:
    """The earlier holder died between taking a permit and its commit."""
    await (await shard(actions)).take(*map(permit, range(3)))
    successor = await Shard(actions, ALL, 8).report(permit(1), permit(7))
    assert await successor.take(permit(0), permit(2)) == [GRANTED, FULL]


async def test_a_report_leaves_the_permits_of_other_slots(actions: ActionBackend) -> None:
    low, high = Shard(actions, LOW, 7), Shard(actions, HIGH, 8)
    await low.report(permit(0, slot=3))
    await high.report(permit(1, slot=200))
    assert await low.take(permit(2), permit(3)) == [GRANTED, FULL]


async def test_an_execution_that_moves_to_other_slots_keeps_its_permit(
    actions: ActionBackend,
) -> None:
    """The holder of the earlier slot reports or returns its permit after the new one took it."""
    low, high = Shard(actions, LOW, 7), Shard(actions, HIGH, 8)
    before, after = permit(0, slot=3), permit(0, slot=200)
    await low.report(before)
    await high.report()
    assert await high.take(after) == [GRANTED]
    await low.release(before)
    assert await high.take(permit(1, slot=200), limit=1) == [FULL]
    await low.report()
    assert await high.take(permit(1, slot=200), limit=1) == [FULL]


async def test_an_earlier_holder_can_neither_take_nor_release(actions: ActionBackend) -> None:
    old = await shard(actions, permit(0))
    await Shard(actions, LOW, 9).report(permit(0))
    with pytest.raises(LeaseLost):
        await old.take(permit(1))
    with pytest.raises(LeaseLost):
        await old.release(permit(0))
    with pytest.raises(LeaseLost):
        await old.permits.report(LOW, old.series, [])


async def test_no_permit_is_granted_until_every_shard_has_reported(
    actions: ActionBackend,
) -> None:
    low, high = Shard(actions, LOW, 7), Shard(actions, HIGH, 8)
    await low.report()
    assert await low.take(permit(0)) == [NOT_REPORTED]
    await high.report(permit(1, slot=200), admits=False)
    assert await low.take(permit(0)) == [NOT_REPORTED]
    await high.report(permit(1, slot=200))
    assert await low.take(permit(0)) == [GRANTED]


async def test_after_redis_was_replaced_permits_come_from_the_reports(
    actions: ActionBackend,
) -> None:
    """An older copy may lack permits of ACTIVE executions."""
    old = await shard(actions, permit(8))
    await actions.restart()
    with pytest.raises(ServerReplaced):
        await old.take(permit(0))
    with pytest.raises(ServerReplaced):
        await old.release(permit(8))
    holder = await Shard(actions, ALL, 8).report(permit(0), permit(1))
    assert await holder.take(permit(2), permit(3)) == [GRANTED, FULL]


async def test_after_a_loss_of_data_permits_come_from_the_reports(
    actions: ActionBackend,
) -> None:
    old = await shard(actions, permit(8))
    await actions.flush()
    with pytest.raises(ServerReplaced):
        await old.take(permit(0))
    holder = await Shard(actions, ALL, 8).report(*map(permit, range(5)))
    assert await holder.take(permit(9)) == [FULL]
    await holder.release(permit(0), permit(1), permit(2))
    assert await holder.take(permit(9)) == [GRANTED]


async def test_the_names_of_accounts_and_executions_do_not_mix(actions: ActionBackend) -> None:
    holder = await shard(actions)
    first = Permit(TenantId("a"), EnrollmentId("bc"), 5)
    other = Permit(TenantId("ab"), EnrollmentId("c"), 5)
    assert await holder.take(first, other, limit=1) == [GRANTED, GRANTED]
    await holder.release(first)
    again = Permit(TenantId("ab"), EnrollmentId("d"), 5)
    assert await holder.take(again, limit=1) == [FULL]
