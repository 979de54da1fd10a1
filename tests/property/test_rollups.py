"""After any commits of shards, the rollups equal a count of the tables, and percentiles that are
computed from them have a bounded error."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.data.recount import recomputed_rollups, stored_rollups
from tests.support.pipeline.changes import NOON, SECOND, Effect, change
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.configuration.goals import TYPE_BITS, GoalType
from goald.domain.leases import SlotLease
from goald.domain.records.enrollment import ENDED, EnrollmentStatus
from goald.domain.records.statistics import PERCENTILES, percentile_hours
from goald.domain.slots import SlotRange
from goald.domain.times import to_us

DAY = 86_400 * SECOND
FAR = [
    to_us(datetime.fromisoformat(day).replace(tzinfo=UTC))
    for day in ("0001-01-01", "1999-12-27", "2100-01-03", "9999-12-31")
]
"""Days outside the range of the rollups, which count on its first or last day."""
LAYOUTS = [
    [SlotRange(0, 255)],
    [SlotRange(0, 127), SlotRange(128, 255)],
    [SlotRange(0, 63), SlotRange(64, 191), SlotRange(192, 255)],
]
"""Slot ranges of one, two and three shards."""
CONTACTS = {"ann": 3, "bob": 100, "cleo": 200}
"""Contacts with their slots."""


@st.composite
def effects(draw: st.DrawFn) -> Effect:
    """Mostly a new or a completed enrollment. The id determines contact and workflow, with
    few exceptions."""
    number = draw(st.integers(0, 5))
    contact, workflow = draw(st.sampled_from([(number, number)] * 7 + [(number + 1, number + 1)]))
    is_new = draw(st.booleans())
    usual: EnrollmentStatus = "active" if is_new else "completed_goal"
    status = draw(st.sampled_from([usual] * 4 + ["active", *ENDED]))
    achieves = draw(st.lists(st.sampled_from(list(TYPE_BITS)), max_size=3, unique=True))
    return Effect(
        f"e-{number}",
        contact_id=list(CONTACTS)[contact % 3],
        slot=list(CONTACTS.values())[contact % 3],
        workflow_id=f"w-{workflow % 2}",
        is_new=is_new,
        status=status,
        enrolled_at=draw(st.sampled_from([NOON] * 4 + [NOON - DAY, NOON + 3 * SECOND, *FAR])),
        ended_at=None if status == "active" else NOON + 5 * SECOND,
        met_goals=achieves,
        achieves=achieves,
        # Few values, so that several enrollments have the same time to goal. One is before the
        # enrollment, because clocks differ.
        achieved_at=draw(st.sampled_from([NOON + SECOND] * 3 + [NOON - SECOND, NOON + 40 * DAY])),
        event=draw(st.sampled_from([{}, {"payment_id": "r-1"}, {"appointment_id": "r-1"}])),
        event_id=draw(st.sampled_from(["", "ev-1", "ev-2"])),
    )


batches = st.lists(effects(), max_size=5, unique_by=lambda effect: effect.enrollment_id)
acknowledgements = st.lists(
    st.tuples(
        st.sampled_from([f"e-{number}" for number in range(6)]),
        st.sampled_from(list(CONTACTS)),
        st.sampled_from(["w-0", "w-1"]),
        st.sampled_from([None, 0, 4]),
    ),
    max_size=6,
)
reversals = st.lists(
    st.tuples(
        st.sampled_from(list(CONTACTS)),
        st.sampled_from(["purchase_made", "appointment_booked"]),
        st.sampled_from([None, "r-1", "r-2"]),
        st.sampled_from([NOON, NOON + DAY]),
    ),
    max_size=4,
)
commits = st.tuples(batches, acknowledgements, st.sampled_from([None, *CONTACTS]), reversals)
histories = st.lists(
    st.tuples(st.sampled_from(LAYOUTS), st.lists(commits, min_size=1, max_size=4)),
    min_size=1,
    max_size=3,
)
"""Slot ranges of the shards, with the commits until the ranges change."""

Commit = tuple[
    list[Effect],
    list[tuple[str, str, str, int | None]],
    str | None,
    list[tuple[str, GoalType, str | None, int]],
]


async def play(dsn: str, tenant: str, history: list[tuple[list[SlotRange], list[Commit]]]) -> None:
    """Commit everything twice, in the shards that own the slots."""
    for layout, sent in history:
        stores = [PostgresShardStore(dsn) for _ in layout]
        try:
            leases = [
                await store.acquire(slots, "test")
                for store, slots in zip(stores, layout, strict=True)
            ]
            for each in [*sent, *sent]:
                for store, lease in zip(stores, leases, strict=True):
                    await commit(store, lease, tenant, each)
        finally:
            for store in stores:
                await store.close()


async def commit(store: PostgresShardStore, lease: SlotLease, tenant: str, sent: Commit) -> None:
    """Commit the changes of contacts in the slots of this shard."""
    contacts = [contact for contact, slot in CONTACTS.items() if slot in slots_of(lease)]
    effects, acknowledged, deleted, undone = sent
    await store.commit(
        lease,
        change(
            *(
                replace(effect, tenant_id=tenant)
                for effect in effects
                if effect.contact_id in contacts
            ),
            acknowledgements=[
                (tenant, enrollment, contact, workflow, CONTACTS[contact], cancelled, NOON + DAY)
                for enrollment, contact, workflow, cancelled in acknowledged
                if contact in contacts
            ],
            deletions=[(tenant, deleted, CONTACTS[deleted], NOON + DAY)]
            if deleted in contacts
            else [],
            reversals=[
                (tenant, contact, CONTACTS[contact], goal_type, reference, at)
                for contact, goal_type, reference, at in undone
                if contact in contacts
            ],
        ),
    )


def slots_of(lease: SlotLease) -> range:
    return range(lease.slots.first, lease.slots.last + 1)


# All examples share the database; each uses a new tenant.
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories)
def test_rollups_equal_a_count_of_the_tables(
    database: Database, history: list[tuple[list[SlotRange], list[Commit]]]
) -> None:
    async def run() -> None:
        await play(database.dsn, str(uuid4()), history)
        admin = await asyncpg.connect(database.admin_dsn)
        try:
            assert await stored_rollups(admin) == await recomputed_rollups(admin)
        finally:
            await admin.close()

    asyncio.run(run())


times = st.one_of(
    st.integers(1_000, 10 * SECOND), st.integers(1_000, 90 * DAY), st.sampled_from([1_050, 1_051])
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(times, min_size=1, max_size=300))
def test_percentiles_from_rollups_have_an_error_of_at_most_2_5_percent(
    database: Database, durations: list[int]
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        rows = admin.execute(
            "SELECT goald.time_step(us), count(*) FROM unnest(%s::int8[]) us GROUP BY 1",
            (durations,),
        )
        steps: dict[int, int] = dict(rows.fetchall())
        for percent in PERCENTILES:
            row = admin.execute(
                "SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY us) FROM unnest(%s::int8[]) us",
                (percent / 100, durations),
            ).fetchone()
            assert row is not None
            exact = row[0] / 3_600_000_000
            assert percentile_hours(steps, percent) == pytest.approx(exact, rel=0.025)
