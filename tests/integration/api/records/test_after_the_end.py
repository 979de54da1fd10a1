"""Goals that are met after the end of an enrollment (E18): the window of a goal over HTTP and in a
file, the records, the statistics, and the dry run."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.api.client import Api
from tests.support.pipeline.changes import Effect, change
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange, slot_of

WORKFLOW = "/api/v1/workflows/lead"
GOALS = f"{WORKFLOW}/goals"
CUSTOMER = {"goal_type": "tag_added", "criteria": {"tag_name": "Customer"}}
YEAR = 31_536_000
FILE = """
tenant: acme
workflows:
  - id: lead
    goals:
      - {key: customer, goal_type: tag_added, criteria: {tag_name: Customer}}
"""


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    """An editor of acme, which has the active workflow `lead` without goals."""
    client = api.client("acme")
    assert client.put(WORKFLOW, json={"name": "Lead"}).status_code == 201
    assert client.post(f"{WORKFLOW}/activate").status_code == 200
    return client


def window(editor: httpx.Client) -> int | None:
    [goal] = editor.get(GOALS).json()["goals"]
    found: int | None = goal["conversion_window"]
    return found


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def us(time: datetime) -> int:
    return round(time.timestamp() * 1e6)


def commit(database: Database, *effects: Effect) -> None:
    async def write() -> None:
        store = PostgresShardStore(database.dsn)
        try:
            lease = await store.acquire(SlotRange(0, 255), "tests")
            await store.commit(lease, change(*effects))
        finally:
            await store.close()

    asyncio.run(write())


def ended(enrollment: str, **values: Any) -> Effect:
    """An enrollment of ann in `lead` that ended 30 minutes ago, two hours after it began."""
    given: dict[str, Any] = {"workflow_id": "lead", "slot": slot_of("acme", "ann")}
    given |= {"status": "exited", "enrolled_at": us(ago(hours=2.5))}
    given |= {"ended_at": us(ago(hours=0.5))}
    return Effect(enrollment, **(given | values))


def test_the_window_of_a_goal_is_set_changed_and_removed(editor: httpx.Client) -> None:
    added = editor.post(GOALS, json={**CUSTOMER, "conversion_window": 3_600})
    assert (added.status_code, added.json()["conversion_window"]) == (201, 3_600)
    goal = f"{GOALS}/{added.json()['id']}"
    for body, expected in (
        ({"conversion_window": YEAR}, YEAR),
        ({"is_active": True}, YEAR),
        ({"conversion_window": None}, None),
    ):
        assert editor.patch(goal, json=body).status_code == 200
        assert window(editor) == expected


@pytest.mark.parametrize("value", [0, -1, YEAR + 1, "3600", 1.5, True])
def test_other_windows_are_refused(editor: httpx.Client, value: Any) -> None:
    refused = editor.post(GOALS, json={**CUSTOMER, "conversion_window": value})
    assert refused.status_code == 400
    assert "conversion_window" in refused.text


def test_file_sets_the_window_and_leaves_it_if_it_does_not_name_it(
    editor: httpx.Client, streams: object, run: Callable[..., Ran], tmp_path: Path
) -> None:
    def apply(text: str) -> Ran:
        (tmp_path / "acme.yaml").write_text(text)
        return run("apply", "acme.yaml")

    with_window = FILE.replace("Customer}}", "Customer}, conversion_window: 600}")
    ran = apply(with_window)
    assert (ran.code, window(editor)) == (0, 600), ran.err
    assert "conversion_window: 600" in ran.out
    assert (apply(FILE).code, window(editor)) == (0, 600)
    assert (apply(with_window.replace("600", "null")).code, window(editor)) == (0, None)
    refused = apply(with_window.replace("600", str(YEAR + 1)))
    assert refused.code != 0
    assert "conversion_window" in refused.err


def test_records_and_statistics_distinguish_them(editor: httpx.Client, database: Database) -> None:
    editor.post(GOALS, json=CUSTOMER)
    late = ended("e-1", is_new=False, after_end=True, met_goals=["g"], achieves=["g"])
    met = {"status": "completed_goal", "met_goals": ["g"], "achieves": ["g"]}
    rest = ended("e-2"), ended("e-3"), ended("e-4", **met)
    commit(database, ended("e-1"), late, *rest)
    stats = editor.get(f"{GOALS}/stats").json()
    assert (stats["goals_achieved"], stats["achieved_after_end"]) == (1, 1)
    assert (stats["conversion_rate"], stats["conversion_rate_with_late"]) == (25.0, 50.0)
    assert stats["by_status"]["exited"] == 3
    rows = editor.get(f"{WORKFLOW}/achievements").json()["items"]
    assert {(row["workflow_enrollment_id"], row["after_end"]) for row in rows} == {
        ("e-1", True),
        ("e-4", False),
    }
    commit(database, ended("e-2", is_new=False, after_end=True, met_goals=["g"], achieves=["g"]))
    enrollments = editor.get(f"{WORKFLOW}/enrollments").json()["items"]
    assert {row["id"]: row["status"] for row in enrollments if row["met_goals"]} == {
        "e-1": "exited",
        "e-2": "exited",
        "e-4": "completed_goal",
    }
    assert all("met_after_end_at" in row for row in enrollments)


def test_explain_says_that_an_event_counts_after_the_end(
    editor: httpx.Client, database: Database
) -> None:
    since = {"effective_from": "2020-01-01T00:00:00Z"}
    editor.post(GOALS, json=CUSTOMER | since)
    commit(database, ended("e-1"))
    event = {
        "id": "evt-1",
        "source": "crm",
        "type": "contact.tag.added",
        "time": ago(hours=1).isoformat(),
        "data": {"contact_id": "ann", "tag_name": "Customer"},
    }

    def explain() -> tuple[bool, bool, str | None]:
        answer = editor.post("/api/v1/explain", json=event)
        assert answer.status_code == 200, answer.text
        [row] = answer.json()["enrollments"]
        assert row["status"] == "exited"
        assert answer.json()["matched"] == row["matched"] == row["after_end"]
        return row["after_end"], row["completes"], row["reason"]

    assert explain() == (True, False, None)
    event["time"] = ago(hours=3).isoformat()
    assert explain() == (False, False, "before enrollment")
    event["time"] = ago(hours=1).isoformat()
    event["data"] = {"contact_id": "ann", "tag_name": "Other"}
    assert explain() == (False, False, "enrollment exited")
    event["data"] = {"contact_id": "ann", "tag_name": "Customer"}
    [goal] = editor.get(GOALS).json()["goals"]
    editor.patch(f"{GOALS}/{goal['id']}", json={"conversion_window": 7_200})
    assert explain() == (False, False, "not watched when the event arrives")
    editor.patch(f"{GOALS}/{goal['id']}", json={"conversion_window": YEAR})
    late = ended("e-1", is_new=False, after_end=True, met_goals=["g"], achieves=["g"])
    commit(database, late)
    assert explain() == (False, False, "its goals were met after its end")
