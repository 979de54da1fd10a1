"""`goald doctor` warns of tenants whose missed events are not kept."""

import pytest

from goald.domain.errors import ServiceUnavailable
from goald.runtime.doctor.missed import missed_events

LIMIT = 1 << 30


@pytest.mark.parametrize(
    ("full", "state", "text"),
    [(0, "ok", "all missed events are kept"), (3, "warn", "of 3 tenants take 1,073,741,824 bytes")],
)
async def test_doctor_warns_of_tenants_at_the_limit(full: int, state: str, text: str) -> None:
    async def read(_: str, most_bytes: int) -> int:
        assert most_bytes == LIMIT
        return full

    (check,) = await missed_events("postgresql://", LIMIT, read)
    assert check.state == state
    assert text in check.text


async def test_doctor_leaves_a_database_that_cannot_be_read_to_another_check() -> None:
    async def read(_: str, __: int) -> int:
        raise ServiceUnavailable("Postgres: connection refused")

    assert await missed_events("postgresql://", LIMIT, read) == []
