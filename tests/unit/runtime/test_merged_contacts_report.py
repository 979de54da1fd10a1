"""Merges whose enrollments do not move are shown in metrics, in `goald status` and by `goald
doctor`."""

import pytest
from prometheus_client import CollectorRegistry

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.transfers import PendingTransfers
from goald.metrics.jobs import TransferMetrics
from goald.runtime.doctor.transfers import merged_contacts
from goald.runtime.jobs.transfers import TransferReporter


class Transfers:
    """Source and report in one."""

    def __init__(self, *states: PendingTransfers | None) -> None:
        self.states = list(states)
        self.written: list[PendingTransfers] = []

    async def pending(self) -> PendingTransfers:
        state = self.states.pop(0)
        if state is None:
            raise ServiceUnavailable("Postgres: connection refused")
        return state

    async def write(self, pending: PendingTransfers) -> None:
        self.written.append(pending)

    async def close(self) -> None:
        """Nothing is open."""


async def test_metrics_have_the_number_and_age_of_each_state() -> None:
    state = PendingTransfers(3, 12.5, 2, 400.0, 1, 70.0)
    transfers, registry = Transfers(None, state), CollectorRegistry()
    reporter = TransferReporter(transfers, transfers, TransferMetrics(registry), ManualClock())
    await reporter.once()
    assert transfers.written == [], "nothing is known"
    await reporter.once()
    assert transfers.written == [state]
    values = [
        registry.get_sample_value(name, {"state": state} if state else {})
        for name, state in (
            ("goald_transfers_pending", "waiting"),
            ("goald_transfer_oldest_seconds", "waiting"),
            ("goald_transfers_pending", "refused"),
            ("goald_transfer_oldest_seconds", "refused"),
            ("goald_forwards_to_deleted", ""),
            ("goald_forward_to_deleted_oldest_seconds", ""),
        )
    ]
    assert values == [3, 12.5, 2, 400, 1, 70]


@pytest.mark.parametrize(
    ("pending", "state", "text"),
    [
        (PendingTransfers(), "ok", "all have moved"),
        (PendingTransfers(2, 3.0), "ok", "2 are moving"),
        (PendingTransfers(2, 90.0), "warn", "2 wait for their enrollments, the first for 90 s"),
        (PendingTransfers(2, 90.0, 1, 400.0), "warn", "enrollments of 1, the first since 400 s"),
        (PendingTransfers(forwards_to_deleted=1), "warn", "1 continue under deleted ids"),
    ],
)
async def test_doctor_warns_of_merges_that_do_not_progress(
    pending: PendingTransfers, state: str, text: str
) -> None:
    async def read(_: str) -> PendingTransfers:
        return pending

    (check,) = await merged_contacts("postgresql://", read)
    assert check.state == state
    assert text in check.text


async def test_doctor_leaves_a_database_that_cannot_be_read_to_another_check() -> None:
    async def read(_: str) -> PendingTransfers:
        raise ServiceUnavailable("Postgres: connection refused")

    assert await merged_contacts("postgresql://", read) == []
