"""Lists of enrollments and achievements over HTTP, and what listens."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.data.records import BEGAN, GOALS, HOUR, Records
from tests.support.services.servers import Database

from goald.adapters.postgres.records.reader import PostgresRecords
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.records.pages import PageRequest


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "workflows:read")


def pages(
    client: httpx.Client, kind: str, *, between: Callable[[], None] = lambda: None, **query: Any
) -> list[list[dict[str, Any]]]:
    """Every page of a list; something may happen between them."""
    found: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        params = {**query, **({"cursor": cursor} if cursor else {})}
        answer = client.get(f"/api/v1/workflows/welcome/{kind}", params=params)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        found.append(body["items"])
        cursor = body["next_cursor"]
        if cursor is None:
            return found
        between()


def ids(client: httpx.Client, kind: str, **query: Any) -> list[str]:
    key = "id" if kind == "enrollments" else "workflow_enrollment_id"
    return [each[key] for page in pages(client, kind, **query) for each in page]


def test_enrollment_has_all_fields(client: httpx.Client, records: Records) -> None:
    records.enroll("e-1", BEGAN, status="completed_goal")
    ((reported,),) = pages(client, "enrollments")
    assert reported == {
        "id": "e-1",
        "workflow_id": "welcome",
        "contact_id": "ann",
        "status": "completed_goal",
        "enrolled_at": "2026-01-01T00:00:00.000000Z",
        "ended_at": "2026-01-01T01:00:00.000000Z",
        "met_goals": [GOALS[0]],
        "pending_actions": 3,
        "cancelled_actions": None,
        "exit_acknowledged_at": None,
        "match": None,
        "met_after_end_at": None,
    }


def test_achievement_has_all_fields(client: httpx.Client, records: Records) -> None:
    records.achieve("e-1", BEGAN)
    answer = client.get("/api/v1/workflows/welcome/achievements")
    (reported,) = json.loads(answer.text, parse_float=str, parse_int=str)["items"]
    assert reported.pop("recorded_at").endswith("Z")
    assert len(reported.pop("id")) == 36
    assert reported == {
        "workflow_id": "welcome",
        "workflow_enrollment_id": "e-1",
        "contact_id": "ann",
        "goal_config_id": GOALS[0],
        "goal_type": "tag_added",
        "achieved_at": "2026-01-01T00:00:00.000000Z",
        "trigger_event": {
            "contact_id": "ann",
            "amount": "150.00",
            "much": "12345678901234567890.5",
            "more": "1" + 40 * "0",
        },
        "metadata": {"event_id": "e-1"},
        "after_end": False,
    }


@pytest.mark.parametrize("kind", ["enrollments", "achievements"])
@pytest.mark.parametrize("apart", [0, 1])
def test_pages_contain_every_row_once_while_rows_are_added(
    client: httpx.Client, records: Records, kind: str, apart: int
) -> None:
    """Also if all rows have the same time (`apart` is 0; in microseconds)."""
    write = records.enroll if kind == "enrollments" else records.achieve
    for number in range(23):
        write(f"e-{number:02}", BEGAN + number * apart)
    newer = iter(range(100))

    def more() -> None:
        write(f"new-{next(newer)}", BEGAN + HOUR)

    found = pages(client, kind, limit=5, between=more)
    key = "id" if kind == "enrollments" else "workflow_enrollment_id"
    names = [each[key] for page in found for each in page]
    assert [len(page) for page in found] == [5, 5, 5, 5, 3]
    assert sorted(names) == [f"e-{number:02}" for number in range(23)]
    if apart or kind == "enrollments":
        assert names == sorted(names, reverse=True)


def test_ended_enrollment_keeps_its_position(client: httpx.Client, records: Records) -> None:
    """Statuses lie apart in the index, and are one list."""
    statuses = ["active", "exited", "completed", "cancelled", "completed_goal"]
    for number in range(10):
        records.enroll(f"e-{number}", BEGAN + number, status=statuses[number % 5])
    assert ids(client, "enrollments", limit=3) == [f"e-{number}" for number in range(9, -1, -1)]


def assert_filtered(
    client: httpx.Client, kind: str, expected: list[tuple[dict[str, str], list[str]]]
) -> None:
    found = [(query, ids(client, kind, limit=1, **query)) for query, _ in expected]
    assert found == expected


def test_enrollments_are_filtered(client: httpx.Client, records: Records) -> None:
    records.enroll("e-1", BEGAN + HOUR)
    records.enroll("e-2", BEGAN + 2 * HOUR, contact="bob", status="exited")
    records.enroll("e-3", BEGAN + 3 * HOUR, contact="bob")
    assert_filtered(client, "enrollments", [
        ({"status": "active"}, ["e-3", "e-1"]),
        ({"status": "cancelled"}, []),
        ({"contact_id": "bob"}, ["e-3", "e-2"]),
        ({"contact_id": "bob", "status": "exited"}, ["e-2"]),
        ({"contact_id": "nobody"}, []),
        ({"since": "2026-01-01T02:00:00Z"}, ["e-3", "e-2"]),
        ({"until": "2026-01-01T03:00:00+01:00"}, ["e-1"]),
        ({"since": "2026-01-01T01:00:00Z", "until": "2026-01-01T02:00:00Z"}, ["e-1"]),
    ])  # fmt: skip


def test_achievements_are_filtered(client: httpx.Client, records: Records) -> None:
    records.enroll("e-1", BEGAN)
    records.achieve("e-1", BEGAN + HOUR)
    records.achieve("e-2", BEGAN + 2 * HOUR, contact="bob", goal=GOALS[1])
    records.achieve("e-3", BEGAN + 3 * HOUR, contact="bob", goal=GOALS[2], kind="purchase_made")
    assert_filtered(client, "achievements", [
        ({"contact_id": "bob"}, ["e-3", "e-2"]),
        ({"enrollment_id": "e-2"}, ["e-2"]),
        ({"goal_type": "purchase_made"}, ["e-3"]),
        ({"goal_id": GOALS[1]}, ["e-2"]),
        ({"goal_id": GOALS[1], "contact_id": "ann"}, []),
        ({"since": "2026-01-01T02:00:00Z", "until": "2026-01-01T03:00:00Z"}, ["e-2"]),
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "sizes"),
    [
        # Twelve in pages of four, and an empty page.
        ({"goal_type": "purchase_made"}, [0, 1, 0, 0]),
        ({"goal_id": GOALS[1]}, [0, 1, 1, 0]),
        ({"goal_type": "tag_added", "goal_id": GOALS[0]}, [2, 2, 2, 2, 2]),
        # A separate index finds them, regardless of other filters.
        ({"goal_type": "purchase_made", "contact_id": "bob"}, [1]),
        ({"goal_id": GOALS[1], "enrollment_id": "e-1"}, [1]),
    ],
)
async def test_rare_achievement_is_found_over_pages_of_bounded_work(
    database: Database, records: Records, filters: dict[str, str], sizes: list[int]
) -> None:
    for number in range(12):
        goal = GOALS[1] if number in (1, 5) else GOALS[0]
        rare = {"kind": "purchase_made", "contact": "bob"} if number == 5 else {}
        records.achieve(f"e-{number}", BEGAN + number, goal=goal, **rare)
    pool = TenantPool(database.dsn, 1)
    try:
        reader = PostgresRecords(pool, scanned=4)
        found = [await reader.achievements("acme", "welcome", filters, PageRequest(2))]
        while (after := found[-1].next) is not None:
            found.append(
                await reader.achievements("acme", "welcome", filters, PageRequest(2, after))
            )
    finally:
        await pool.close()
    assert [len(page.rows) for page in found] == sizes
    assert len({row.id for page in found for row in page.rows}) == sum(sizes)


@pytest.mark.parametrize("kind", ["enrollments", "achievements", "listeners"])
def test_unknown_workflow_is_not_found(client: httpx.Client, kind: str) -> None:
    answer = client.get(f"/api/v1/workflows/nowhere/{kind}")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no workflow nowhere")


@pytest.mark.parametrize("kind", ["enrollments", "achievements"])
def test_a_configured_workflow_without_enrollments_has_empty_lists(api: Api, kind: str) -> None:
    client = api.client("acme")
    assert client.put("/api/v1/workflows/welcome", json={"name": "Welcome"}).status_code == 201
    assert pages(client, kind) == [[]]


def test_enrollments_in_a_workflow_that_is_not_configured_are_listed(
    client: httpx.Client, records: Records
) -> None:
    """E5."""
    records.enroll("e-1", BEGAN)
    assert ids(client, "enrollments") == ["e-1"]
    assert ids(client, "enrollments", status="exited") == []
    assert ids(client, "achievements") == []
    listening = client.get("/api/v1/workflows/welcome/listeners").json()
    assert (listening["enrollments"], listening["goals"]) == (1, [])
    assert (listening["config_version"], listening["is_active"]) == (0, False)


def test_rows_of_another_tenant_are_not_returned(api: Api, records: Records) -> None:
    records.enroll("e-1", BEGAN)
    records.achieve("e-1", BEGAN)
    other = api.client("globex")
    for kind in ("enrollments", "achievements", "listeners"):
        assert other.get(f"/api/v1/workflows/welcome/{kind}").status_code == 404
    records.enroll("g-1", BEGAN, tenant="globex")
    assert ids(other, "enrollments") == ["g-1"]
    assert ids(other, "achievements") == []
    assert other.get("/api/v1/workflows/welcome/listeners").json()["enrollments"] == 1


def test_contradictory_query_is_refused(client: httpx.Client) -> None:
    queries: list[tuple[dict[str, str], str]] = [
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"status": "gone"}, "status"),
        ({"contact_id": ""}, "contact_id"),
        ({"contact_id": "a\x00b"}, "contact_id"),
        ({"since": "2026-01-01"}, "since"),
        ({"since": "2026-01-01T00:00:00"}, "since"),
        ({"until": "1767225600"}, "until"),
        ({"until": "2026-13-01T00:00:00Z"}, "until"),
    ]
    for query, parameter in queries:
        answer = client.get("/api/v1/workflows/welcome/enrollments", params=query)
        assert answer.status_code == 400, query
        (error,) = answer.json()["errors"]
        assert error["parameter"] == parameter, query


@pytest.mark.parametrize(
    "bound", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.9999999-12:00"]
)
def test_extreme_times_are_accepted(client: httpx.Client, records: Records, bound: str) -> None:
    records.enroll("e-1", BEGAN)
    found = ids(client, "enrollments", since=bound) + ids(client, "enrollments", until=bound)
    assert found == ["e-1"]


def test_listeners_are_the_active_goals_of_an_active_workflow(api: Api, records: Records) -> None:
    client = api.client("acme")
    client.put("/api/v1/workflows/welcome", json={"name": "Welcome"})
    created = [
        client.post(
            "/api/v1/workflows/welcome/goals", json={"goal_type": kind, "criteria": criteria}
        ).json()
        for kind, criteria in (
            ("tag_added", {"tag_name": "Customer"}),
            ("tag_added", {"tag_name": "Friend"}),
            ("purchase_made", {"any_purchase": True}),
        )
    ]
    records.enroll("e-1", BEGAN)
    records.enroll("e-2", BEGAN, status="exited")
    path = "/api/v1/workflows/welcome/listeners"
    draft = client.get(path).json()
    assert (draft["is_active"], draft["event_types"], draft["goals"]) == (False, [], [])
    assert draft["enrollments"] == 1

    assert client.post("/api/v1/workflows/welcome/activate").status_code == 200
    active = client.get(path).json()
    assert active["event_types"] == ["contact.tag.added", "payment.completed"]
    assert [each["id"] for each in active["goals"]] == [each["id"] for each in created]
    assert active["config_version"] > draft["config_version"]
    assert active["everywhere"]

    client.delete(f"/api/v1/workflows/welcome/goals/{created[2]['id']}")
    client.patch(f"/api/v1/workflows/welcome/goals/{created[0]['id']}", json={"is_active": False})
    fewer = client.get(path).json()
    assert fewer["event_types"] == ["contact.tag.added"]
    assert [each["id"] for each in fewer["goals"]] == [created[1]["id"]]


def test_listeners_report_the_shards_that_have_the_version(api: Api, database: Database) -> None:
    client = api.client("acme")
    client.put("/api/v1/workflows/welcome", json={"name": "Welcome"})
    path = "/api/v1/workflows/welcome/listeners"
    version = client.get(path).json()["config_version"]
    leases = (
        "INSERT INTO goald.leases (slots, holder, config_version, expires_at)"
        " VALUES (int4range(%s, %s), 'x', %s, now() + %s::interval)"
    )
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(leases, (0, 64, version, "1 hour"))
        admin.execute(leases, (64, 128, version - 1, "1 hour"))
        admin.execute(leases, (128, 256, version, "-1 hour"))
    reported = client.get(path).json()
    assert reported["shards"] == {"ready": 1, "live": 2}
    assert not reported["everywhere"]
