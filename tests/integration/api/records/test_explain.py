"""The dry run over HTTP: every reason in its place, and nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import redis
from tests.support.api.client import Api
from tests.support.pipeline.changes import Effect, change
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange

PATH = "/api/v1/explain"
ENROLLED = 1_600_000_000_000_000
"""2020-09-13T12:26:40Z."""

CONFIGURATION = """
tenant: acme
workflows:
  - id: buy
    name: Buy
    goal_logic: any
    active: true
    goals:
      - {goal_type: tag_added, criteria: {tag_name: Customer}, effective_from: 2020-01-01T00:00:00Z}
      - goal_type: purchase_made
        criteria: {min_amount: 100.50}
        effective_from: 2021-06-01T00:00:00Z
      - {goal_type: form_submitted, criteria: {form_id: f-1}}
  - id: both
    name: Both
    goal_logic: all
    active: true
    goals:
      - {goal_type: tag_added, criteria: {tag_id: t-1}, effective_from: 2020-01-01T00:00:00Z}
      - {goal_type: tag_added, criteria: {tag_id: t-2}, effective_from: 2020-01-01T00:00:00Z}
  - id: paused
    name: Paused
    goal_logic: any
    active: false
    goals:
      - {goal_type: tag_added, criteria: {tag_name: Customer}}
"""


def tag(name: str | None = "Customer", /, **given: Any) -> dict[str, Any]:
    return event("contact.tag.added", {"tag_name": name}, **given)


def event(kind: str, data: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {
        "id": "evt-1",
        "source": "crm",
        "type": kind,
        "time": "2021-01-01T00:00:00Z",
        "data": {"contact_id": "ann", **data},
    } | attributes


@pytest.fixture
async def enrolled(database: Database) -> None:
    """Ann is in four workflows, of which one is not known, and has left one."""
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    effects = [
        Effect(f"e-{workflow}", workflow_id=workflow, enrolled_at=ENROLLED)
        for workflow in ("buy", "both", "paused", "unknown")
    ]
    exited = Effect(
        "e-0", workflow_id="buy", enrolled_at=ENROLLED, ended_at=ENROLLED, status="completed_goal"
    )
    foreign = Effect("e-9", workflow_id="buy", enrolled_at=ENROLLED, tenant_id="globex")
    await store.commit(lease, change(*effects, exited, foreign))
    await store.release(lease)
    await store.close()


@pytest.fixture
def client(
    api: Api,
    enrolled: None,
    streams: object,
    run: Callable[..., Ran],
    tmp_path: Path,
    database: Database,
) -> httpx.Client:
    (tmp_path / "acme.yaml").write_text(CONFIGURATION)
    applied = run("apply", "acme.yaml")
    assert applied.code == 0, applied.err
    with psycopg.connect(database.admin_dsn) as tables:
        tables.execute(
            "UPDATE goald.workflow_goals SET is_active = false WHERE goal_type = 'form_submitted'"
        )
    return api.client("acme", "workflows:read")


def explain(client: httpx.Client, event: dict[str, Any]) -> dict[str, Any]:
    answer = client.post(PATH, json=event)
    assert answer.status_code == 200, answer.text
    explanation: dict[str, Any] = answer.json()
    return explanation


def enrollment(explanation: dict[str, Any], workflow: str) -> dict[str, Any]:
    [found] = [row for row in explanation["enrollments"] if row["enrollment_id"] == f"e-{workflow}"]
    return dict(found)


def reasons(explanation: dict[str, Any], workflow: str) -> list[str | None]:
    return [goal["reason"] for goal in enrollment(explanation, workflow)["goals"]]


def test_match_is_reported_with_its_effect(client: httpx.Client) -> None:
    explanation = explain(client, tag())
    assert (explanation["matched"], explanation["reason"], explanation["truncated"]) == (
        True,
        None,
        False,
    )
    assert explanation["event"] == {
        "id": "evt-1",
        "type": "contact.tag.added",
        "tenant_id": "acme",
        "contact_id": "ann",
        "time": "2021-01-01T00:00:00Z",
    }
    found = enrollment(explanation, "buy")
    goal = found["goals"][0]
    assert (found["matched"], found["completes"], found["status"]) == (True, True, "active")
    assert found["enrolled_at"] == "2020-09-13T12:26:40.000000Z"
    assert (goal["matched"], goal["achieved"], goal["criteria"]) == (
        True, True, {"tag_name": "Customer"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (tag("Prospect"), ["wrong tag", "other event type", "goal inactive"]),
        (tag(None), ["no tag to compare", "other event type", "goal inactive"]),
        (
            tag(time="2020-09-13T12:26:39Z"),
            ["before enrollment", "other event type", "goal inactive"],
        ),
        (
            tag(time="2019-01-01T00:00:00Z"),
            ["before enrollment", "other event type", "goal inactive"],
        ),
        (
            event("payment.completed", {"amount": "100.49"}),
            ["other event type", "amount below", "goal inactive"],
        ),
        (
            event("payment.completed", {"amount": 100.5}),
            ["other event type", "before effective_from", "goal inactive"],
        ),
        (
            event("payment.completed", {}),
            ["other event type", "no amount", "goal inactive"],
        ),
        (
            event("form.submitted", {"form_id": "f-1"}),
            ["other event type", "other event type", "goal inactive"],
        ),
    ],
)
def test_every_goal_has_a_reason(
    client: httpx.Client, sent: dict[str, Any], expected: list[str]
) -> None:
    explanation = explain(client, sent)
    assert reasons(explanation, "buy") == expected
    assert enrollment(explanation, "buy")["matched"] is False


def test_with_goal_logic_all_only_the_last_goal_completes(client: httpx.Client) -> None:
    explanation = explain(client, event("contact.tag.added", {"tag_id": "t-1"}))
    found = enrollment(explanation, "both")
    assert (found["matched"], found["completes"]) == (True, False)
    assert reasons(explanation, "both") == [None, "wrong tag"]


def test_enrollment_has_a_reason(client: httpx.Client) -> None:
    explanation = explain(client, tag())
    found = {row["enrollment_id"]: row["reason"] for row in explanation["enrollments"]}
    assert found == {
        "e-buy": None,
        "e-both": None,
        "e-paused": "workflow inactive",
        "e-unknown": "workflow unknown",
        "e-0": "enrollment completed_goal",
    }
    assert reasons(explanation, "paused") == ["workflow inactive"]
    assert enrollment(explanation, "0")["ended_at"] == "2020-09-13T12:26:40.000000Z"


def test_contact_without_enrollments_is_not_enrolled(client: httpx.Client) -> None:
    explanation = explain(client, tag() | {"data": {"contact_id": "bob", "tag_name": "Customer"}})
    assert (explanation["reason"], explanation["matched"], explanation["enrollments"]) == (
        "not enrolled",
        False,
        [],
    )


def test_type_without_listening_goals_is_reported(client: httpx.Client) -> None:
    explanation = explain(client, event("contact.updated", {}))
    assert (explanation["reason"], explanation["matched"]) == ("other event type", False)


def test_another_tenants_event_is_not_looked_up(client: httpx.Client) -> None:
    explanation = explain(client, tag(tenantid="globex"))
    assert (explanation["reason"], explanation["matched"], explanation["enrollments"]) == (
        "other tenant's",
        False,
        [],
    )


def test_contact_of_another_tenant_is_not_used(api: Api, client: httpx.Client) -> None:
    explanation = explain(api.client("globex"), tag())
    assert [row["enrollment_id"] for row in explanation["enrollments"]] == ["e-9"]
    assert explanation["enrollments"][0]["reason"] == "workflow unknown"


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (tag(time="yesterday"), "time: not an RFC 3339 time with an offset"),
        (event("payment.completed", {"amount": "NaN"}), "data.amount: not a decimal number"),
        ([tag()], "only one event"),
        (7, "neither a JSON object"),
    ],
)
def test_invalid_event_gets_400_with_the_reason(
    client: httpx.Client, sent: Any, detail: str
) -> None:
    answer = client.post(PATH, json=sent)
    assert (answer.status_code, detail in answer.json()["detail"]) == (400, True)


def test_nothing_is_written(client: httpx.Client, database: Database, redis_url: str) -> None:
    def everything() -> Any:
        with psycopg.connect(database.admin_dsn) as tables:
            names = tables.execute(
                "SELECT relname FROM pg_stat_user_tables WHERE schemaname = 'goald' ORDER BY 1"
            ).fetchall()
            rows = [
                tables.execute(
                    f"SELECT md5(string_agg(t::text, '')) FROM goald.{name} t"
                ).fetchone()
                for (name,) in names
            ]
        with redis.Redis.from_url(redis_url) as client:
            return names, rows, sorted(client.keys("goald:events*") + client.keys("goald:exits"))

    before = everything()
    assert ("workflow_enrollments",) in before[0]
    for sent in (tag(), event("contact.deleted", {}), tag(tenantid="globex")):
        explain(client, sent)
    assert everything() == before


def test_explain_requires_the_read_scope(api: Api) -> None:
    assert api.client("acme", "events:write").post(PATH, json=tag()).status_code == 403
