"""Goals that a state of the contact meets when it is enrolled: set over HTTP and by a file, and
explained before the enrollment starts."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import httpx
import pytest
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, Effect, change
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange
from goald.ports.change import ContactEvent

GOALS = "/api/v1/workflows/lead/goals"
FILE = """
tenant: acme
workflows:
  - id: lead
    goals:
      - {key: vip, goal_type: tag_added, criteria: {tag_name: VIP}, check_on_enrollment: true}
      - {key: won, goal_type: pipeline_stage_reached, criteria: {pipeline_id: p, stage_id: won}}
"""


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    """An editor of acme, which has the active workflow `lead` without goals."""
    client = api.client("acme", "workflows:read", "workflows:edit")
    assert client.put("/api/v1/workflows/lead", json={"name": "Lead"}).status_code == 201
    assert client.post("/api/v1/workflows/lead/activate").status_code == 200
    return client


def add(client: httpx.Client, goal_type: str, criteria: Any, **more: Any) -> httpx.Response:
    return client.post(GOALS, json={"goal_type": goal_type, "criteria": criteria, **more})


def checks(client: httpx.Client) -> list[bool]:
    return [goal["check_on_enrollment"] for goal in client.get(GOALS).json()["goals"]]


def test_goal_is_checked_on_enrollment_if_this_is_set(editor: httpx.Client) -> None:
    plain = add(editor, "tag_added", {"tag_name": "Lead"}).json()
    stage = {"pipeline_id": "p", "stage_id": "won"}
    checked = add(editor, "pipeline_stage_reached", stage, check_on_enrollment=True)
    assert checked.status_code == 201, checked.text
    assert checks(editor) == [False, True]

    for value in (True, False):
        changed = editor.patch(f"{GOALS}/{plain['id']}", json={"check_on_enrollment": value})
        assert changed.status_code == 200, changed.text
        assert checks(editor) == [value, True]


@pytest.mark.parametrize(
    ("goal_type", "criteria"),
    [
        ("purchase_made", {"any_purchase": True}),
        ("appointment_booked", {"any_appointment": True}),
        ("form_submitted", {"form_id": "f-1"}),
    ],
)
def test_goal_that_no_state_can_meet_is_not_checked(
    editor: httpx.Client, goal_type: str, criteria: dict[str, Any]
) -> None:
    refused = add(editor, goal_type, criteria, check_on_enrollment=True)
    assert refused.status_code == 400
    assert "only goals of the types tag_added and pipeline_stage_reached" in refused.text

    goal = add(editor, "tag_added", {"tag_name": "VIP"}, check_on_enrollment=True).json()
    other = {"goal_type": goal_type, "criteria": criteria}
    assert editor.patch(f"{GOALS}/{goal['id']}", json=other).status_code == 400
    changed = editor.patch(f"{GOALS}/{goal['id']}", json=other | {"check_on_enrollment": False})
    assert changed.status_code == 200, changed.text


def test_file_sets_it_and_leaves_it_if_it_does_not_name_it(
    editor: httpx.Client, streams: object, run: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "acme.yaml").write_text(FILE)
    applied = run("apply", "acme.yaml")
    assert applied.code == 0, applied.err
    assert checks(editor) == [True, False]

    (tmp_path / "acme.yaml").write_text(FILE.replace(", check_on_enrollment: true", ""))
    assert run("apply", "acme.yaml").code == 0
    assert checks(editor) == [True, False]

    other = FILE.replace(
        "tag_added, criteria: {tag_name: VIP}", "form_submitted, criteria: {form_id: f}"
    )
    (tmp_path / "acme.yaml").write_text(other)
    refused = run("apply", "acme.yaml")
    assert refused.code != 0
    assert "check_on_enrollment" in refused.err


def test_explain_says_which_goals_an_enrollment_would_meet_at_its_start(
    editor: httpx.Client, database: Database
) -> None:
    since = {"effective_from": "2020-01-01T00:00:00Z"}
    add(editor, "tag_added", {"tag_name": "vip"}, check_on_enrollment=True, **since)
    add(editor, "tag_added", {"tag_name": "Customer"}, check_on_enrollment=True, **since)
    add(editor, "tag_added", {"tag_name": "Lead"}, **since)
    start = {
        "id": "evt-1",
        "source": "crm",
        "type": "workflow.enrollment.started",
        "time": "2026-06-01T00:00:00Z",
        "data": {"contact_id": "ann", "workflow_id": "lead", "enrollment_id": "e-1"},
    }

    def explain() -> tuple[bool, list[tuple[bool, str | None]]]:
        answer = editor.post("/api/v1/explain", json=start)
        assert answer.status_code == 200, answer.text
        [row] = answer.json()["enrollments"]
        assert (row["enrollment_id"], row["status"]) == ("e-1", "active")
        return row["completes"], [(goal["achieved"], goal["reason"]) for goal in row["goals"]]

    missing = (False, "the contact is not in this state")
    assert explain() == (False, [missing, missing, (False, "not checked on enrollment")])
    asyncio.run(_give_tags(database, "VIP", "Lead"))
    assert explain() == (True, [(True, None), missing, (False, "not checked on enrollment")])


def test_explain_says_that_the_contact_had_a_listed_tag(
    editor: httpx.Client, database: Database
) -> None:
    asyncio.run(_give_tags(database, "VIP", enrolls="lead"))
    add(editor, "tag_added", {"tag_name": "VIP"}, effective_from="2020-01-01T00:00:00Z")
    event = {
        "id": "evt-2",
        "source": "crm",
        "type": "contact.tag.added",
        "time": "2026-06-01T00:00:00Z",
        "data": {"contact_id": "ann", "tags": [" vip", "New"]},
    }

    answer = editor.post("/api/v1/explain", json=event).json()

    [goal] = answer["enrollments"][0]["goals"]
    assert (goal["matched"], goal["reason"]) == (False, "the contact had the tag before")


def test_explain_compares_a_goal_with_listed_tags_that_the_contact_had(
    editor: httpx.Client, database: Database
) -> None:
    asyncio.run(_give_tags(database, "VIP", enrolls="lead"))
    add(editor, "tag_added", {"tag_name": "Lead"}, effective_from="2020-01-01T00:00:00Z")
    event = {
        "id": "evt-3",
        "source": "crm",
        "type": "contact.tag.added",
        "time": "2026-06-01T00:00:00Z",
        "data": {"contact_id": "ann", "tags": ["vip"]},
    }

    answer = editor.post("/api/v1/explain", json=event).json()

    [goal] = answer["enrollments"][0]["goals"]
    assert (goal["matched"], goal["reason"]) == (False, "wrong tag")


async def _give_tags(database: Database, *tags: str, enrolls: str | None = None) -> None:
    """Write what an event gives, as a shard does."""
    text = json.dumps({"tags": tags})
    key = str(uuid5(NAMESPACE_DNS, text))
    event = ContactEvent("acme", "ann", 3, "contact.tag.added", key, NOON, text)
    effects = [] if enrolls is None else [Effect("e-1", workflow_id=enrolls, enrolled_at=NOON)]
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "tests")
    await store.commit(lease, change(*effects, contact_events=[event]))
    await store.close()
