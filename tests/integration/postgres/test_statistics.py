"""Statistics as the API reads them from Postgres (E6, E9). The first two are scenarios of
the requirements, "Goal Analytics"."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any

import asyncpg
import pytest
from tests.support.pipeline.changes import Effect, change, goal_id
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres import PostgresShardStore
from goald.adapters.postgres.records.statistics import PostgresStatistics
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.statistics import Statistics, TypeStatistics
from goald.domain.slots import SlotRange
from goald.domain.times import to_us

SHARDS = [SlotRange(0, 127), SlotRange(128, 255)]


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def enrolled(number: int, begins: str, **given: Any) -> Effect:
    """One enrollment; contacts alternate between both shards."""
    given["slot"] = 200 if number % 2 else 3
    return Effect(f"e-{number}", contact_id=f"contact-{number}", enrolled_at=at(begins), **given)


def achieved(number: int, begins: str, when: str, *types: str, **given: Any) -> Effect:
    given = {"status": "completed_goal", "ended_at": at(when)} | given
    types = types or ("purchase_made",)
    return enrolled(number, begins, achieves=types, met_goals=types, achieved_at=at(when), **given)


class World:
    """Two shards that commit, and the statistics reader."""

    def __init__(self, database: Database) -> None:
        self.stores = [PostgresShardStore(database.dsn) for _ in SHARDS]
        self.pool = TenantPool(database.dsn, 2)

    async def commit(self, *effects: Effect, **given: Any) -> None:
        """Each shard commits the changes of its slots."""
        for store, slots in zip(self.stores, SHARDS, strict=True):
            lease = await store.acquire(slots, "test")
            mine = [effect for effect in effects if slots.first <= effect.slot <= slots.last]
            await store.commit(lease, change(*mine, **given))

    async def find(
        self, tenant: str, workflow: str, *days: date | None, now: str = "2026-02-01"
    ) -> Statistics | None:
        reader = PostgresStatistics(self.pool, ManualClock(at(now)))
        return await reader.read(tenant, workflow, *(days or (None, None)))

    async def read(self, *days: date | None, now: str = "2026-02-01") -> Statistics:
        found = await self.find("acme", "w-1", *days, now=now)
        assert found is not None
        return found

    async def close(self) -> None:
        await self.pool.close()
        for store in self.stores:
            await store.close()


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    world = World(database)
    yield world
    await world.close()


async def configure(database: Database, *goals: tuple[str, bool]) -> None:
    """A workflow w-1 with goals of these types, deleted or not."""
    admin = await asyncpg.connect(database.admin_dsn)
    await admin.execute(
        "INSERT INTO goald.workflows (tenant_id, id, name, config_version)"
        " VALUES ('acme', 'w-1', 'W', 1)"
    )
    for position, (goal_type, is_deleted) in enumerate(goals):
        await admin.execute(
            "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position, goal_type,"
            " criteria, deleted_at) VALUES ('acme', $1, 'w-1', $2, $3, '{\"x\": 1}',"
            " CASE WHEN $4 THEN now() END)",
            goal_id(goal_type), position, goal_type, is_deleted,
        )  # fmt: skip
    await admin.close()


async def test_track_goal_achievement_metrics(world: World) -> None:
    await world.commit(
        achieved(1, "2026-01-01", "2026-01-03"),
        achieved(2, "2026-01-02", "2026-01-05"),
        enrolled(3, "2026-01-03"),
        enrolled(4, "2026-01-04", status="completed", ended_at=at("2026-01-06")),
        enrolled(5, "2026-01-05"),
    )
    found = await world.read()
    assert (found.total_enrolled, found.goals_achieved, found.conversion_rate) == (5, 2, 40.0)
    assert found.by_goal_type == {"purchase_made": TypeStatistics(2, 40.0)}
    assert found.by_status == {
        "active": 2,
        "completed_goal": 2,
        "completed": 1,
        "exited": 0,
        "cancelled": 0,
    }


async def test_calculate_average_time_to_goal_achievement(world: World) -> None:
    await world.commit(
        achieved(1, "2026-01-01", "2026-01-03"), achieved(2, "2026-01-02", "2026-01-05")
    )
    found = await world.read()
    assert found.avg_time_to_goal_hours == 60.0
    assert found.time_to_goal_hours["p50"] == pytest.approx(48, rel=0.025)
    assert found.time_to_goal_hours["p99"] == pytest.approx(72, rel=0.025)


async def test_times_go_to_the_last_goal_met_and_types_count_an_enrollment_once(
    world: World,
) -> None:
    """An `all` workflow with an early and a late goal, reported in the opposite order."""
    await world.commit(enrolled(1, "2026-01-01"), enrolled(2, "2026-01-01"))
    for when, goal_type, status in (
        ("2026-01-08", "tag_added", {"status": "active", "ended_at": None}),
        ("2026-01-03", "form_submitted", {"status": "active", "ended_at": None}),
        ("2026-01-05", "tag_added", {}),
    ):
        await world.commit(achieved(1, "2026-01-01", when, goal_type, is_new=False, **status))
    found = await world.read()
    assert found.avg_time_to_goal_hours == 7 * 24
    assert found.by_goal_type == {
        "form_submitted": TypeStatistics(1, 50.0),
        "tag_added": TypeStatistics(1, 50.0),
    }


async def test_types_include_existing_goals_and_achieved_ones(
    database: Database, world: World
) -> None:
    await configure(
        database, ("tag_added", False), ("purchase_made", True), ("form_submitted", True)
    )
    await world.commit(achieved(1, "2026-01-01", "2026-01-02", "purchase_made"))
    assert (await world.read()).by_goal_type == {
        "purchase_made": TypeStatistics(1, 100.0),
        "tag_added": TypeStatistics(0, 0.0),
    }


async def test_days_select_enrollments_by_their_start(world: World) -> None:
    await world.commit(
        achieved(1, "2026-01-01T00:00:00", "2026-01-09"),
        achieved(2, "2026-01-02T23:59:59.999999", "2026-01-04"),
        achieved(3, "2026-01-03T00:00:00", "2026-01-04"),
        enrolled(4, "2026-01-30"),
    )
    second, third = date(2026, 1, 2), date(2026, 1, 3)
    one_day = await world.read(second, second)
    assert (one_day.total_enrolled, one_day.goals_achieved) == (1, 1)
    assert one_day.time_to_goal_hours["p50"] == pytest.approx(24, rel=0.025)
    assert (await world.read(None, second)).total_enrolled == 2
    assert (await world.read(third, None)).total_enrolled == 2
    nothing = await world.read(date(2027, 1, 1), None)
    assert (nothing.total_enrolled, nothing.conversion_rate) == (0, 0.0)
    assert nothing.avg_time_to_goal_hours is None
    assert nothing.time_to_goal_hours == {"p50": None, "p90": None, "p99": None}


async def test_percentiles_include_only_the_requested_days(world: World) -> None:
    """Ranges with whole weeks, partial weeks, and no whole week."""
    took = {day: 2 * day for day in range(1, 29)}  # hours; February 2026 begins on a Sunday
    await world.commit(
        *(
            achieved(day, f"2026-02-{day:02}", f"2026-02-{day + hours // 24:02}T{hours % 24:02}:00")
            for day, hours in took.items()
            if day + hours // 24 <= 28
        )
    )
    last = max(day for day, hours in took.items() if day + hours // 24 <= 28)
    for first, end in ((1, last), (2, 15), (3, 16), (4, 6), (9, 9), (9, 15), (7, 10), (8, 14)):
        found = await world.read(date(2026, 2, first), date(2026, 2, end))
        hours = [took[day] for day in range(first, end + 1)]
        assert found.time_to_goal_hours["p99"] == pytest.approx(hours[-1], rel=0.025)
        middle = hours[(len(hours) + 1) // 2 - 1]
        assert found.time_to_goal_hours["p50"] == pytest.approx(middle, rel=0.025)


async def test_unacknowledged_exits_and_cancelled_actions_are_counted(world: World) -> None:
    await world.commit(*(achieved(number, "2026-01-01", "2026-01-02") for number in range(4)))
    await world.commit(
        acknowledgements=[
            ("acme", f"e-{number}", f"contact-{number}", "w-1", 3, cancelled, at("2026-01-03"))
            for number, cancelled in ((0, 7), (1, None), (2, 2))
        ]
    )
    found = await world.read()
    assert (found.unacknowledged_exits, found.cancelled_actions) == (1, 9)


async def test_refunds_and_cancelled_appointments_are_counted_next_to_conversions(
    world: World,
) -> None:
    await world.commit(
        *(achieved(number, "2026-01-01", "2026-01-02") for number in range(3)),
        achieved(3, "2026-01-01", "2026-01-02", "appointment_booked"),
    )
    refund = ("acme", "contact-0", 3, "purchase_made", None, at("2026-01-03"))
    cancelled = ("acme", "contact-2", 3, "appointment_booked", None, at("2026-01-03"))
    # Each shard marks its own contacts only, and a repeat changes nothing.
    await world.commit(reversals=[refund, refund, cancelled])
    found = await world.read()
    assert (found.goals_achieved, found.refunded, found.appointments_cancelled) == (4, 1, 0)
    assert (found.conversion_rate, found.net_conversion_rate) == (100.0, 75.0)
    booked = ("acme", "contact-3", 200, "appointment_booked", None, at("2026-01-03"))
    await world.commit(reversals=[booked])
    found = await world.read()
    assert (found.refunded, found.appointments_cancelled) == (1, 1)
    assert found.net_conversion_rate == 75.0


async def test_week_is_young_until_most_have_had_their_time(world: World) -> None:
    """Nine of ten take up to five days here."""
    await world.commit(
        *(achieved(number, "2026-01-05", "2026-01-10") for number in range(10)),
        enrolled(10, "2026-01-06"),
        enrolled(11, "2026-01-14"),
        enrolled(12, "2026-01-15", status="exited", ended_at=at("2026-01-16")),
        enrolled(13, "2026-01-22", status="completed", ended_at=at("2026-01-23")),
        achieved(14, "2026-01-27", "2026-01-28"),
    )

    async def young(now: str, *days: date | None) -> dict[int, bool]:
        found = await world.read(*days, now=now)
        return {cohort.week.day: cohort.is_young for cohort in found.cohorts}

    assert await young("2026-01-20") == {5: False, 12: True, 19: True, 26: True}
    assert await young("2026-01-26T12:00") == {5: False, 12: False, 19: False, 26: True}
    # The requested days do not affect it.
    assert await young("2026-01-20", date(2026, 1, 12), date(2026, 1, 18)) == {12: True}
    (cohort, *_) = (await world.read()).cohorts
    assert (cohort.week, cohort.enrolled, cohort.goals_achieved) == (date(2026, 1, 5), 11, 10)
    assert (cohort.active, cohort.conversion_rate) == (1, 90.9)


async def test_workflow_of_another_tenant_is_not_known(database: Database, world: World) -> None:
    await world.commit(enrolled(1, "2026-01-01"))
    assert await world.find("other", "w-1") is None
    assert await world.find("acme", "w-2") is None
    # Enrollments in a workflow without a configuration are counted (E5) ...
    assert (await world.read()).total_enrolled == 1
    # ... and so is a workflow without enrollments.
    await configure(database, ("tag_added", False))
    admin = await asyncpg.connect(database.admin_dsn)
    await admin.execute("TRUNCATE goald.workflow_days")
    await admin.close()
    assert (await world.read()).by_goal_type == {"tag_added": TypeStatistics(0, 0.0)}


async def test_enrollments_of_other_centuries_count_on_the_first_or_last_day(
    database: Database, world: World
) -> None:
    """A reader sums a bounded number of days, however long the range is (D8)."""
    await world.commit(
        *(achieved(year, f"{year:04}-06-15", "2026-01-02") for year in range(1990, 2000)),
        *(enrolled(year, f"{year}-06-15") for year in range(2100, 2110)),
        enrolled(1, "2000-01-01"),
        enrolled(2, "2099-12-31"),
        enrolled(3, "2026-01-01"),
    )
    found = await world.read()
    assert (found.total_enrolled, found.goals_achieved) == (23, 10)
    assert found.by_status["active"] == 13
    # The time to the goal still counts from the start of the enrollment (in 1995, the fifth).
    assert found.time_to_goal_hours["p50"] == pytest.approx(30.55 * 365.25 * 24, rel=0.025)
    first, last = date(2000, 1, 1), date(2100, 1, 1)
    assert (await world.read(first, first)).total_enrolled == 11
    assert (await world.read(first, first)).time_to_goal_hours == found.time_to_goal_hours
    assert (await world.read(last, last)).total_enrolled == 10
    assert (await world.read(None, date(1999, 12, 31))).total_enrolled == 0
    admin = await asyncpg.connect(database.admin_dsn)
    days = await admin.fetchval("SELECT count(DISTINCT day) FROM goald.workflow_days")
    await admin.close()
    assert days == 4
