"""The contract of transfers: the rows of a merged contact move in pages (E21)."""

from dataclasses import replace
from typing import Any

import pytest
from tests.contract.shard_store.merging import ALL, ANN, adopt, begin, loaded, merge, owners, run
from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, change, goal_id

from goald._native import contact_of as contact_of_event
from goald.adapters.postgres.shard.merging import transfers
from goald.domain.contacts.forwards import ALREADY_MERGED
from goald.domain.errors import ContentRefused
from goald.pipeline.shard.transfers import rename
from goald.ports.change import (
    MissedEvent,
    MissedRun,
)
from goald.ports.configuration import WorkflowKey
from goald.ports.shard_store import FIRST_MISSED, EventCheck, ShardStore


async def test_runs_used_events_and_ended_runs_move_in_pages(
    tables: Tables, store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "PAGE_ROWS", 3)
    lease = await store.acquire(ALL, "a")
    ends: dict[str, Any] = {"status": "completed_goal", "ended_at": NOON, "met_goals": ["g"]}
    ended = [run(f"ended-{n}", uses=[f"pay-{n}"], achieves=["g"], **ends) for n in range(7)]
    active = [run(f"active-{n}") for n in range(10)]
    await store.commit(lease, change(*active, *ended))
    await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    while await store.adopt(lease, transfer, rename):
        moved = {contact for id_, (contact, _) in (await owners(tables)).items() if "ended" in id_}
        assert moved == {"ann"}, "active runs move first"
    rows = await loaded(store, lease)
    assert all(f"active-{n}".encode() in rows for n in range(10))
    for transfer in await store.transfers(lease):
        assert transfer.is_adopted
        while await store.move_ended(lease, transfer, rename):
            pass
    assert await store.transfers(lease) == []
    assert {contact for contact, _ in (await owners(tables)).values()} == {"bea"}
    await store.commit(lease, change(run("later", "bea")))
    checks = [EventCheck("acme", "bea", "w-1", "later", goal_id(f"pay-{n}"), NOON + SECOND)
              for n in range(7)]  # fmt: skip
    assert len(await store.excluded(lease, checks)) == 7
    (again,) = await begin(store, lease, merge("ann", "cleo"))
    assert again.refused == ALREADY_MERGED


async def test_a_transfer_that_is_refused_waits_and_loses_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1"), run("e-2", "dora")))
    await begin(store, lease, merge("ann", "bea"), merge("dora", "cleo"))
    await tables.refuse("bea")
    refused = min(await store.transfers(lease), key=lambda each: each.contact_id)
    with pytest.raises(ContentRefused) as error:
        await store.adopt(lease, refused, rename)
    assert await tables.pending_transfers() == (2, 0, 0)
    await store.refuse(lease, refused, str(error.value))
    assert await tables.pending_transfers() == (1, 1, 0)
    await adopt(store, lease)
    assert await owners(tables) == {"e-1": ("ann", "active"), "e-2": ("cleo", "active")}
    assert b"e-1" not in await loaded(store, lease), "it belongs to no shard"
    assert await store.transfers(lease) == [], "it is tried again later"
    await tables.accept("bea")
    await adopt(store, lease)
    assert (await owners(tables))["e-1"] == ("bea", "active")
    assert await tables.pending_transfers() == (0, 0, 0)


async def test_a_missed_event_that_cannot_be_read_refuses_the_transfer(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    event = MissedEvent("acme", "ann", ANN, goal_id("pay-1"), f"{NOON}-0", b"{}")
    missed = [MissedRun(0, "w-1", "e-1")]
    await store.commit(lease, replace(change(), missed_events=[event], missed_runs=missed))
    await begin(store, lease, merge())
    (transfer,) = await store.transfers(lease)
    with pytest.raises(ContentRefused):
        await store.adopt(lease, transfer, rename)
    assert await owners(tables) == {"e-1": ("ann", "active")}


async def test_missed_events_move_with_the_runs_that_missed_them(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(run("e-1")))
    payload = b'{"tenantid":"acme","data":{"contact_id":"ann"}}'
    event = MissedEvent("acme", "ann", ANN, goal_id("pay-1"), f"{NOON}-0", payload)
    missed = [MissedRun(0, "w-1", "e-1")]
    await store.commit(lease, replace(change(), missed_events=[event], missed_runs=missed))
    await begin(store, lease, merge())
    page = WorkflowKey("acme", "w-1"), FIRST_MISSED, 10, 1 << 20
    assert (await store.missed(lease, *page)).entries == [], "the run is in no shard while it moves"
    await adopt(store, lease)
    ((entry,), _) = await store.missed(lease, *page)
    assert (entry.enrollment_id, entry.event) == ("e-1", goal_id("pay-1"))
    assert contact_of_event(entry.payload) == ("acme", "bea")
    await store.commit(lease, replace(change(), judged_runs=[("acme", "e-1")]))
    assert await tables.missed_events() == 0


async def test_the_transfers_of_a_tenant_do_not_delay_those_of_another(store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await begin(store, lease, *(merge(f"c-{number}", "bea") for number in range(3)))
    await begin(store, lease, merge()._replace(tenant_id="globex"))
    tenants = [transfer.tenant_id for transfer in await store.transfers(lease)]
    assert tenants == ["acme", "globex", "acme", "acme"]
