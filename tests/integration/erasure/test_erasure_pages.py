"""The rows of deleted contacts are erased in bounded pages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from tests.support.pipeline.changes import NOON, SECOND, Effect, change, goal_id
from tests.support.pipeline.executions import Log, Transition, with_executions
from tests.support.services.servers import Database

from goald._native import with_contact
from goald.adapters.postgres import PostgresShardStore, erasure_pages
from goald.adapters.postgres.erasure_pages import PostgresErasurePages
from goald.adapters.postgres.erasures import PostgresErasures
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.records.erasure import ErasurePage, Subject
from goald.domain.slots import SlotRange, slot_of
from goald.ports.change import ContactMerge, MissedEvent, MissedRun
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED

ALL = SlotRange(0, 255)
DEADLINE = 30
MANY = 2_300
MOST_ROWS = 2_000
"""Of a page: 1,000 messages, and 1,000 enrollments."""
DELETED = ("acme", "ann", 3, NOON + 2 * SECOND)
REMAINING = """
SELECT (SELECT count(*) FROM goald.workflow_enrollments WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.workflow_goal_achievements
        WHERE contact_id = 'ann' OR trigger_event <> '{}')
     + (SELECT count(*) FROM goald.outbox WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.used_events WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.missed_runs WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.missed_events WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.workflow_executions WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.workflow_entries WHERE contact_id = 'ann')
     + (SELECT count(*) FROM goald.execution_logs WHERE contact_id = 'ann')
"""


class Service:
    """Postgres, as a shard and the daemon's jobs use it."""

    def __init__(self, database: Database, admin: Any) -> None:
        self.admin = admin
        self.store = PostgresShardStore(database.dsn)
        self.pages = PostgresErasurePages(database.dsn)
        self.other_pages = PostgresErasurePages(database.dsn)
        self.erasures = PostgresErasures(database.dsn)
        self.lease: SlotLease

    async def commit(self, *effects: Effect, deleted: bool = False) -> None:
        await self.store.commit(
            self.lease, change(*effects, deletions=[DELETED] if deleted else [])
        )

    async def remaining(self) -> int:
        """The number of rows with the contact or its data."""
        count: int = await self.admin.fetchval(REMAINING)
        return count

    async def rewrite_all(self) -> list[ErasurePage]:
        found = []
        async with asyncio.timeout(DEADLINE):
            while (page := await self.pages.rewrite()) != ErasurePage():
                found.append(page)
        return found

    async def close(self) -> None:
        for each in (self.store, self.pages, self.other_pages, self.erasures):
            await each.close()


@pytest.fixture
async def service(database: Database) -> AsyncIterator[Service]:
    admin = await asyncpg.connect(database.admin_dsn)
    service = Service(database, admin)
    service.lease = await service.store.acquire(ALL, "a")
    yield service
    await service.close()
    await admin.close()


def ended(name: str) -> Effect:
    """An enrollment that has achieved a goal."""
    return Effect(
        name, status="completed_goal", ended_at=NOON + SECOND, achieves=["g"], messages=[name]
    )


async def test_history_is_erased_in_bounded_pages(service: Service) -> None:
    await service.commit(*(ended(f"e-{number}") for number in range(MANY)), deleted=True)
    assert await service.remaining() == 3 * MANY
    pages = await service.rewrite_all()
    assert await service.remaining() == 0
    assert max(page.rows for page in pages) < MOST_ROWS
    assert sum(page.rows for page in pages) == 2 * MANY
    assert sum(page.contacts for page in pages) == 1


async def test_rewrite_is_continued_by_another_instance(service: Service) -> None:
    await service.commit(*(ended(f"e-{number}") for number in range(MANY)), deleted=True)
    await service.pages.rewrite()
    await service.pages.close()
    assert (await service.erasures.pending()).in_tables == 1
    service.pages = service.other_pages
    await service.rewrite_all()
    assert await service.remaining() == 0
    pending = await service.erasures.pending()
    assert (pending.count, pending.in_tables, pending.in_tables_oldest_s) == (1, 0, 0)
    assert await service.admin.fetchval("SELECT count(contact_id) FROM goald.erasures") == 0


async def test_erasure_is_not_due_before_its_rows_are_rewritten(service: Service) -> None:
    await service.commit(ended("e-1"), deleted=True)
    await service.admin.execute("UPDATE goald.outbox SET published_at = now()")
    assert (await service.erasures.due(0)).marks == []
    await service.rewrite_all()
    assert len((await service.erasures.due(0)).marks) == 1


async def test_row_that_a_commit_has_locked_is_erased_by_a_later_page(service: Service) -> None:
    await service.commit(ended("e-1"), ended("e-2"), deleted=True)
    async with asyncio.timeout(DEADLINE), service.admin.transaction():
        await service.admin.fetch(
            "SELECT FROM goald.workflow_enrollments WHERE id = 'e-1' FOR UPDATE"
        )
        while (page := await service.pages.rewrite()).rows:
            assert page.contacts == 0
    assert (await service.erasures.pending()).in_tables == 1
    await service.rewrite_all()
    assert await service.remaining() == 0
    assert (await service.erasures.pending()).in_tables == 0


async def test_used_events_are_erased_in_bounded_pages(service: Service) -> None:
    uses = [f"pay-{number}" for number in range(MANY)]
    await service.commit(replace(ended("e-1"), uses=uses), deleted=True)
    pages = await service.rewrite_all()
    assert await service.remaining() == 0
    assert max(page.rows for page in pages) < MOST_ROWS
    assert sum(page.rows for page in pages) == MANY + 2


async def test_executions_are_erased_in_bounded_pages(service: Service) -> None:
    """With their entries of workflows, and the log of blocked triggers."""
    starts = [
        Transition(f"e-{number}", number, workflow_id=f"w-{number}") for number in range(MANY)
    ]
    logs = [Log("opt_out_blocked", contact_id="ann") for _ in range(MANY)]
    effects = [Effect(start.execution_id, workflow_id=start.workflow_id) for start in starts]
    await service.store.commit(service.lease, with_executions(effects, *starts, logs=logs))
    await service.commit(deleted=True)
    assert await service.remaining() == 4 * MANY
    pages = await service.rewrite_all()
    assert await service.remaining() == 0
    assert max(page.rows for page in pages) < MOST_ROWS
    assert sum(page.rows for page in pages) == 3 * MANY


async def miss(service: Service, events: int) -> None:
    """Each of as many enrollments misses an event."""
    names = [f"e-{number}" for number in range(events)]
    await service.commit(*(Effect(name) for name in names))
    missed = [MissedEvent("acme", "ann", 3, goal_id(name), "1-0", b"ann") for name in names]
    runs = [MissedRun(number, "w-1", name) for number, name in enumerate(names)]
    rows = replace(change(), missed_events=missed, missed_runs=runs)
    await service.store.commit(service.lease, rows)


async def test_missed_events_are_erased_in_bounded_pages(service: Service) -> None:
    await miss(service, MANY)
    assert await service.remaining() == 3 * MANY
    usage = "SELECT sum(bytes) FROM goald.missed_usage"
    assert await service.admin.fetchval(usage) == MANY * len(b"ann")
    await service.commit(deleted=True)
    pages = await service.rewrite_all()
    assert await service.remaining() == 0
    assert max(page.rows for page in pages) < MOST_ROWS
    assert sum(page.rows for page in pages) == 3 * MANY
    assert await service.admin.fetchval(usage) == 0


@pytest.mark.parametrize("table", ["missed_runs", "missed_events"])
async def test_contact_is_not_forgotten_while_a_commit_has_locked_a_missed_event(
    service: Service, table: str
) -> None:
    await miss(service, 2)
    await service.commit(deleted=True)
    async with asyncio.timeout(DEADLINE), service.admin.transaction():
        await service.admin.fetch(f"SELECT FROM goald.{table} LIMIT 1 FOR UPDATE")
        while (page := await service.pages.rewrite()).rows:
            assert page.contacts == 0
    assert (await service.erasures.pending()).in_tables == 1
    await service.rewrite_all()
    assert await service.remaining() == 0


async def test_event_that_a_new_life_misses_during_a_page_is_not_erased(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An enrollment of the first life missed the same event. The page waits after its snapshot."""
    await miss(service, 1)
    await service.commit(deleted=True)
    await service.commit(Effect("new", enrolled_at=NOON + 3 * SECOND))
    end = f"LIMIT {erasure_pages.PAGE_ROWS} FOR UPDATE"
    wait = "AND (SELECT pg_advisory_xact_lock(21) IS NOT NULL)"
    lock = erasure_pages.LOCK_MISSED_EVENTS
    assert end in lock
    monkeypatch.setattr(erasure_pages, "LOCK_MISSED_EVENTS", lock.replace(end, f"{wait} {end}"))
    await service.admin.execute("SELECT pg_advisory_lock(21)")
    page = asyncio.ensure_future(service.pages.rewrite())
    async with asyncio.timeout(DEADLINE):
        while not await service.admin.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"
        ):
            await asyncio.sleep(0.01)
        event = MissedEvent("acme", "ann", 3, goal_id("e-0"), "1-0", b"ann")
        rows = replace(change(), missed_events=[event], missed_runs=[MissedRun(0, "w-1", "new")])
        await service.store.commit(service.lease, rows)
        await service.admin.execute("SELECT pg_advisory_unlock(21)")
        await page
    workflow = WorkflowKey("acme", "w-1")
    kept = await service.store.missed(service.lease, workflow, FIRST_MISSED, 10, 1 << 20)
    assert [entry.enrollment_id for entry in kept.entries] == ["new"]


async def test_contact_is_not_forgotten_while_a_commit_has_locked_a_used_event(
    service: Service,
) -> None:
    await service.commit(replace(ended("e-1"), uses=["pay-1", "pay-2"]), deleted=True)
    async with asyncio.timeout(DEADLINE), service.admin.transaction():
        await service.admin.fetch("SELECT FROM goald.used_events LIMIT 1 FOR UPDATE")
        while (page := await service.pages.rewrite()).rows:
            assert page.contacts == 0
    assert (await service.erasures.pending()).in_tables == 1
    await service.rewrite_all()
    assert await service.remaining() == 0
    assert (await service.erasures.pending()).in_tables == 0


async def test_contact_deleted_again_during_a_page_stays_pending(service: Service) -> None:
    """Its page may have been read before the rows of the new life."""
    await service.commit(ended("e-1"), deleted=True)
    await service.rewrite_all()
    await service.commit(ended("e-2"), deleted=True)
    assert (await service.erasures.pending()).in_tables == 1
    await service.rewrite_all()
    assert await service.remaining() == 0


async def test_enrollment_is_searched_in_streams_by_the_time_of_its_deletion(
    service: Service,
) -> None:
    """Its exit may be unread. Another deletion that is due must not take it along."""
    await service.commit(Effect("e-1"), Effect("e-2", "bob"), deleted=True)
    await service.rewrite_all()
    await service.admin.execute(
        "UPDATE goald.erasures SET requested_at = now() - interval '1 hour',"
        " last_requested_at = now() - interval '1 hour'"
    )
    await service.admin.execute(
        "UPDATE goald.workflow_enrollments SET erased_at = now() - interval '1 hour'"
        " WHERE id = 'e-1'"
    )
    bob = ("acme", "bob", 3, NOON + 2 * SECOND)
    await service.store.commit(service.lease, change(deletions=[bob]))
    await service.rewrite_all()
    due = await service.erasures.due(1_800)
    assert len(due.marks) == 1
    subjects = [Subject("acme", "ann", "e-1"), Subject("acme", "bob", "e-2")]
    assert await service.erasures.erased_enrollments(subjects, due.before_us) == [0]
    assert await service.erasures.finish(due) == 1
    due = await service.erasures.due(0)
    found = await service.erasures.erased_enrollments(subjects, due.before_us)
    assert sorted(found) == [0, 1]


async def test_messages_that_name_a_deleted_contact_are_found_when_the_run_has_moved(
    service: Service,
) -> None:
    """They were published before the contact was merged into another."""
    await service.commit(Effect("e-1"), Effect("e-2", "bob"))
    at = NOON + SECOND
    merge = ContactMerge("acme", "ann", slot_of("acme", "ann"), "cleo", str(uuid4()), at, at)
    await service.store.commit(service.lease, change(merges=[merge]))
    for transfer in await service.store.transfers(service.lease):
        await service.store.adopt(service.lease, transfer, with_contact)
    subjects = [
        Subject("acme", contact, enrollment)
        for contact, enrollment in (("ann", "e-1"), ("cleo", "e-1"), ("bob", "e-2"))
    ]
    due = await service.erasures.due(0)
    assert await service.erasures.erased_enrollments(subjects, due.before_us) == []
    await service.commit(deleted=True)
    await service.rewrite_all()
    assert await service.erasures.erased_enrollments(subjects, due.before_us) == [], "too early"
    due = await service.erasures.due(0)
    assert await service.erasures.erased_enrollments(subjects, due.before_us) == [0]


async def test_erasure_is_of_the_time_of_the_deletion_and_not_of_its_page(
    service: Service,
) -> None:
    """Otherwise an erasure would be finished while the stream contains an exit of it."""
    await service.commit(Effect("e-1"), deleted=True)
    await asyncio.sleep(0.01)
    await service.rewrite_all()
    same = await service.admin.fetchval(
        "SELECT e.erased_at = t.last_requested_at"
        " FROM goald.workflow_enrollments e, goald.erasures t"
    )
    assert same


async def test_dry_run_ignores_what_the_deleted_contact_used(
    service: Service, database: Database
) -> None:
    """As a shard does: the answer does not change when the rows are erased."""
    used = {"status": "completed_goal", "ended_at": NOON + SECOND, "met_goals": ["g"]}
    await service.commit(Effect("e-1", uses=["pay-1"], **used), deleted=True)  # type: ignore[arg-type]
    later = {"enrolled_at": NOON + 9 * SECOND}
    await service.commit(Effect("e-2", uses=["pay-2"], **used | later))  # type: ignore[arg-type]
    await service.commit(Effect("e-3", **later))  # type: ignore[arg-type]
    pool = TenantPool(database.dsn, 1)
    contacts = PostgresContacts(pool)
    of = (TenantId("acme"), ContactId("ann"))
    for _ in range(2):
        assert await contacts.exclusions(*of, goal_id("pay-1"), ["e-3"]) == {}
        assert list(await contacts.exclusions(*of, goal_id("pay-2"), ["e-3"])) == ["e-3"]
        await service.rewrite_all()
    await pool.close()


async def test_statistics_of_the_planner_contain_no_deleted_contact(service: Service) -> None:
    find = "SELECT string_agg(s::text, ' ') FROM pg_statistic s"
    secret = f"secret-{uuid4()}"
    used = {"status": "completed_goal", "ended_at": NOON + SECOND, "achieves": ["g"]}
    runs = [
        Effect(f"e-{n}", secret, uses=[f"pay-{n}"], messages=[f"m-{n}"], **used)  # type: ignore[arg-type]
        for n in range(3)
    ]
    await service.commit(*runs)
    await service.admin.execute("ANALYZE")
    assert secret in await service.admin.fetchval(find)
    deleted = ("acme", secret, 3, NOON + 2 * SECOND)
    await service.store.commit(service.lease, change(deletions=[deleted]))
    await service.rewrite_all()
    async with asyncio.timeout(DEADLINE):
        # Postgres counts the changes of a transaction up to a second after it.
        while secret in await service.admin.fetchval(find):
            await service.erasures.refresh_statistics()
            await asyncio.sleep(0.05)
