"""`goald apply` over a real Postgres: the rows and notices that a file causes."""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.postgres import PostgresConfigurationStore, PostgresShardStore, TenantPool
from goald.configuration.file import parse_configuration
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.workflows import RolloutStatus
from goald.domain.errors import InvalidFile
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.redis_keys import CONTROL
from goald.runtime.wiring.daemon import configuration_service

FILE = """
tenant: acme
workflows:
  - id: lead-nurturing
    name: Lead Nurturing
    goal_logic: any
    active: true
    goals:
      - goal_type: tag_added
        criteria: {tag_name: Customer}
      - key: big
        goal_type: purchase_made
        criteria: {min_amount: 100.10, product_id: null}
        effective_from: 2026-01-01T00:00:00Z
  - id: draft
    goals:
      - {goal_type: appointment_booked, criteria: {any_appointment: true}}
catalog:
  tag: [{id: tag-1, name: Customer}]
"""


@pytest.fixture
async def service(database: Database) -> AsyncIterator[ConfigurationService]:
    service = configuration_service(database.dsn)
    yield service
    await service.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresShardStore]:
    store = PostgresShardStore(database.dsn)
    yield store
    await store.close()


async def rows(database: Database, query: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(database.admin_dsn)
    try:
        return [tuple(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_shards_load_the_configuration_of_the_file(
    service: ConfigurationService, store: PostgresShardStore
) -> None:
    applied = await service.apply(parse_configuration(FILE))
    current = await store.configuration(0)
    assert current.version == applied.version
    draft, lead = sorted(current.workflows, key=lambda each: each["workflow_id"])
    assert (lead["tenant_id"], lead["goal_logic"], lead["is_active"]) == ("acme", "any", True)
    tag, purchase = lead["goals"]
    assert json.loads(tag["criteria"]) == {"tag_name": "Customer"}
    assert json.loads(purchase["criteria"]) == {"min_amount": "100.10"}
    assert purchase["effective_from"] == 1_767_225_600_000_000
    assert tag["effective_from"] is not None
    assert not draft["is_active"]
    assert draft["goals"][0]["effective_from"] is None


async def test_applying_twice_changes_nothing(
    service: ConfigurationService, store: PostgresShardStore, database: Database
) -> None:
    desired = parse_configuration(FILE)
    first = await service.apply(desired)
    tables = ("workflows", "workflow_goals", "catalog_entities", "outbox")
    before = [await rows(database, f"SELECT * FROM goald.{name} ORDER BY 1, 2") for name in tables]
    again = await service.apply(desired)
    assert (again.changes, again.version) == ([], None)
    after = [await rows(database, f"SELECT * FROM goald.{name} ORDER BY 1, 2") for name in tables]
    assert after == before
    assert first.version is not None
    assert (await store.configuration(first.version)).workflows == []


async def test_plan_returns_the_changes_and_writes_nothing(
    service: ConfigurationService, database: Database
) -> None:
    changes = await service.plan(parse_configuration(FILE))
    assert [change.action for change in changes] == ["create"] * 6
    assert await rows(database, "SELECT * FROM goald.workflows") == []


async def test_keyed_goal_keeps_its_id_when_its_criteria_change(
    service: ConfigurationService, store: PostgresShardStore
) -> None:
    await service.apply(parse_configuration(FILE))
    before = await store.configuration(0)
    applied = await service.apply(parse_configuration(FILE.replace("100.10", "250")))
    assert [change.action for change in applied.changes] == ["update"]
    changed = await store.configuration(before.version)
    (lead,) = changed.workflows
    assert json.loads(lead["goals"][1]["criteria"]) == {"min_amount": "250"}
    was = next(each for each in before.workflows if each["workflow_id"] == "lead-nurturing")
    assert [goal["id"] for goal in lead["goals"]] == [goal["id"] for goal in was["goals"]]


async def test_goal_missing_from_the_file_is_deleted_only_with_prune(
    service: ConfigurationService, store: PostgresShardStore, database: Database
) -> None:
    await service.apply(parse_configuration(FILE))
    shorter = parse_configuration(
        "tenant: acme\nworkflows:\n- id: lead-nurturing\n  goals:\n"
        "  - {goal_type: tag_added, criteria: {tag_name: Customer}}"
    )
    assert (await service.apply(shorter)).changes == []
    version = (await store.configuration(0)).version
    await service.apply(shorter, prune=True)
    changed = await store.configuration(version)
    assert [
        [goal["goal_type"] for goal in workflow["goals"]] for workflow in changed.workflows
    ] == [["tag_added"]]
    assert changed.deleted == [("acme", "draft")]
    deleted = await rows(
        database, "SELECT goal_type FROM goald.workflow_goals WHERE deleted_at IS NOT NULL"
    )
    assert sorted(deleted) == [("appointment_booked",), ("purchase_made",)]
    assert await rows(database, "SELECT entity_id FROM goald.catalog_entities") == [("tag-1",)]


async def test_first_activation_sets_effective_from_and_later_ones_keep_it(
    database: Database, store: PostgresShardStore
) -> None:
    clock = ManualClock()
    service = ConfigurationService(PostgresConfigurationStore(TenantPool(database.dsn, 1)), clock)
    try:
        effective = []
        for active in ("false", "true", "false", "true"):
            await service.apply(
                parse_configuration(FILE.replace("active: true", f"active: {active}"))
            )
            current = await store.configuration(0)
            lead = next(
                each for each in current.workflows if each["workflow_id"] == "lead-nurturing"
            )
            effective.append(lead["goals"][0]["effective_from"])
            await clock.advance(10)
        assert effective == [None] + [clock.now_us() - 30_000_000] * 3
    finally:
        await service.close()


async def test_notices_report_goals_and_activation(
    service: ConfigurationService, store: PostgresShardStore
) -> None:
    await service.apply(parse_configuration(FILE))
    await service.apply(parse_configuration(FILE.replace("active: true", "active: false")))
    lease = await store.acquire(SlotRange(0, 255), "a")
    events = [
        json.loads(stored.message.payload)
        for stored in await store.outbox.unpublished(lease)
        if stored.message.stream is OutboundStream.NOTICES
    ]
    assert sorted(event["type"] for event in events) == sorted(
        ["workflow.activated", *["workflow.goal.configured"] * 3, "workflow.deactivated"]
    )
    assert {event["tenantid"] for event in events} == {"acme"}
    purchase = next(event for event in events if event["data"].get("goal_type") == "purchase_made")
    assert purchase["data"]["criteria"] == {"min_amount": "100.10"}


async def test_fourth_goal_is_refused_and_nothing_is_changed(
    service: ConfigurationService, database: Database
) -> None:
    await service.apply(parse_configuration(FILE))
    more = parse_configuration(
        "tenant: acme\nworkflows:\n- id: new\n- id: lead-nurturing\n  goals:\n"
        "  - {goal_type: form_submitted, criteria: {form_id: f-1}}\n"
        "  - {goal_type: form_submitted, criteria: {form_id: f-2}}"
    )
    with pytest.raises(InvalidFile) as refused:
        await service.apply(more)
    assert str(refused.value) == "workflows[1].goals: Maximum of 3 goals per workflow exceeded"
    assert await rows(database, "SELECT id FROM goald.workflows WHERE id = 'new'") == []


async def test_reference_to_a_missing_entity_of_a_known_kind_is_refused(
    service: ConfigurationService,
) -> None:
    text = """
tenant: acme
workflows:
  - {id: w, goals: [{goal_type: form_submitted, criteria: {form_id: non-existent-form}}]}
"""
    await service.plan(parse_configuration(text))  # no form is known: nothing to check against
    known = text + "catalog: {form: [{id: form-123, name: Contact Us}]}"
    with pytest.raises(InvalidFile) as refused:
        await service.apply(parse_configuration(known))
    assert str(refused.value) == (
        "workflows[0].goals[0].criteria.form_id: Referenced form does not exist"
    )


async def test_activation_validates_the_stored_goals(service: ConfigurationService) -> None:
    await service.apply(
        parse_configuration(
            "tenant: acme\nworkflows:\n"
            "- {id: w, goals: [{goal_type: tag_added, criteria: {tag_id: gone}}]}"
        )
    )
    with pytest.raises(InvalidFile, match="Invalid goal configuration: tag does not exist"):
        await service.apply(
            parse_configuration(
                "tenant: acme\nworkflows: [{id: w, active: true}]\n"
                "catalog: {tag: [{id: tag-1, name: Customer}]}"
            )
        )


async def test_two_concurrent_editors_leave_at_most_three_goals(database: Database) -> None:
    services = [configuration_service(database.dsn) for _ in range(4)]
    try:
        texts = [
            "tenant: acme\nworkflows:\n- id: w\n  goals:\n"
            f"  - {{goal_type: form_submitted, criteria: {{form_id: f-{n}}}}}"
            for n in range(4)
        ]
        results = await asyncio.gather(
            *(
                service.apply(parse_configuration(text))
                for service, text in zip(services, texts, strict=True)
            ),
            return_exceptions=True,
        )
    finally:
        for service in services:
            await service.close()
    refused = [result for result in results if isinstance(result, BaseException)]
    assert [type(each) for each in refused] == [InvalidFile]
    goals = await rows(database, "SELECT position FROM goald.workflow_goals ORDER BY 1")
    assert goals == [(0,), (1,), (2,)]


async def test_apply_counts_the_live_shards_and_those_with_the_new_version(
    database: Database, store: PostgresShardStore
) -> None:
    service = configuration_service(database.dsn)
    other = PostgresShardStore(database.dsn)
    try:
        low = await store.acquire(SlotRange(0, 127), "a")
        await other.acquire(SlotRange(128, 255), "b")
        await store.renew(low, 1_000)
        applied = await service.apply(parse_configuration(FILE))
        assert applied.rollout == RolloutStatus(ready=1, live=2)
        assert not applied.is_rolled_out
    finally:
        await other.close()
        await service.close()


async def test_configurations_of_tenants_are_independent(service: ConfigurationService) -> None:
    await service.apply(parse_configuration(FILE))
    other = parse_configuration(FILE.replace("acme", "other"))
    assert len(await service.plan(other)) == 6
    await service.apply(other, prune=True)
    assert await service.plan(parse_configuration(FILE)) == []


@pytest.mark.parametrize(("catalog", "code"), [("strict", 1), ("known", 0), ("off", 0)])
def test_command_follows_the_catalog_setting_and_records_who_applied(
    run: Callable[..., Ran],
    database: Database,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    catalog: str,
    code: int,
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_CATALOG", catalog)
    (tmp_path / "w.yaml").write_text(
        "tenant: acme\nworkflows:\n"
        "- {id: w, goals: [{goal_type: form_submitted, criteria: {form_id: f}}]}"
    )
    ran = run("apply", "w.yaml")
    assert ran.code == code, ran.err
    actors = {
        actor for (actor,) in asyncio.run(rows(database, "SELECT actor FROM goald.audit_log"))
    }
    with redis.Redis.from_url(redis_url) as client:
        notifications = client.xlen(CONTROL)
    if code == 0:
        assert (actors, notifications) == ({f"cli:{getpass.getuser()}"}, 1)
    else:
        assert "Referenced form does not exist" in ran.err
        assert (actors, notifications) == (set(), 0)
