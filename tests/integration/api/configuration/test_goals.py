"""The goals of a workflow over HTTP: bodies, statuses and messages."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from tests.support.api.client import Api

JSON = {"content-type": "application/json"}


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    """An editor of acme, which has the draft `lead`."""
    client = api.client("acme", "workflows:read", "workflows:edit")
    assert client.put("/api/v1/workflows/lead", json={"name": "Lead Nurturing"}).status_code == 201
    return client


def add(client: httpx.Client, goal_type: str, criteria: Any, **more: Any) -> httpx.Response:
    body = {"goal_type": goal_type, "criteria": criteria, **more}
    return client.post("/api/v1/workflows/lead/goals", json=body)


def tag(client: httpx.Client, name: str, **more: Any) -> dict[str, Any]:
    answer = add(client, "tag_added", {"tag_name": name}, **more)
    assert answer.status_code == 201, answer.text
    goal: dict[str, Any] = answer.json()
    return goal


def test_goal_is_added_with_the_body_of_the_specification(editor: httpx.Client) -> None:
    answer = add(editor, "tag_added", {"tag_id": "uuid-of-tag", "tag_name": "Purchased"})
    assert answer.status_code == 201
    goal = answer.json()
    assert (
        goal.items()
        >= {
            "workflow_id": "lead",
            "goal_type": "tag_added",
            "criteria": {"tag_id": "uuid-of-tag", "tag_name": "Purchased"},
            "is_active": True,
        }.items()
    )
    assert goal["created_at"].endswith("Z")
    assert answer.headers["location"] == f"/api/v1/workflows/lead/goals/{goal['id']}"
    assert answer.headers["etag"] == '"1"'
    assert editor.get(answer.headers["location"]).json() == goal
    assert editor.get("/api/v1/workflows/lead/goals").json() == {"goals": [goal], "total": 1}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"product_id": null, "min_amount": 100.00}', b'{"min_amount":100.00}'),
        ('{"min_amount": "100.00"}', b'{"min_amount":100.00}'),
        ('{"min_amount": 0.123456789012345678}', b'{"min_amount":0.123456789012345678}'),
        ('{"min_amount": 123456789012345678}', b'{"min_amount":123456789012345678}'),
        ('{"min_amount": 0.0000001}', b'{"min_amount":0.0000001}'),
        ('{"min_amount": 1e2}', b'{"min_amount":100}'),
        ('{"any_purchase": true, "min_amount": null}', b'{"any_purchase":true}'),
    ],
)
def test_amounts_keep_every_digit(editor: httpx.Client, sent: str, kept: bytes) -> None:
    body = f'{{"goal_type": "purchase_made", "criteria": {sent}}}'
    answer = editor.post("/api/v1/workflows/lead/goals", content=body, headers=JSON)
    assert answer.status_code == 201, answer.text
    assert kept in answer.content
    assert kept in editor.get(answer.headers["location"]).content
    assert kept in editor.get("/api/v1/workflows/lead/goals").content


@pytest.mark.parametrize(
    "amount",
    ["true", '"1e5"', '"NaN"', '"\uff11\uff12"', "-1", '"-1"', "1234567890123456789", "[]",
     '"0.1234567890123456789"', '"1_000"', '"' + "0" * 1_000 + '1"', "1e400"],
)  # fmt: skip
def test_invalid_amounts_are_refused(editor: httpx.Client, amount: str) -> None:
    body = f'{{"goal_type": "purchase_made", "criteria": {{"min_amount": {amount}}}}}'
    answer = editor.post("/api/v1/workflows/lead/goals", content=body.encode(), headers=JSON)
    assert answer.status_code == 400
    assert "18 digits" in answer.json()["detail"]
    (fault,) = answer.json()["errors"]
    assert fault["pointer"] == "/criteria/min_amount"


@pytest.mark.parametrize("criteria", [{}, None, {"tag_name": None}, {"tag_id": None}])
def test_empty_criteria_are_refused(editor: httpx.Client, criteria: Any) -> None:
    answer = add(editor, "tag_added", criteria)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "Goal criteria cannot be empty"


def test_missing_criteria_are_empty_criteria(editor: httpx.Client) -> None:
    answer = editor.post("/api/v1/workflows/lead/goals", json={"goal_type": "tag_added"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Goal criteria cannot be empty")


@pytest.mark.parametrize(
    "body",
    [
        {"goal_type": "guess", "criteria": {"tag_name": "x"}},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x", "colour": "red"}},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "colour": "red"},
        {"goal_type": "tag_added", "criteria": {"tag_name": 5}},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "effective_from": "2026-01-01"},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "effective_from": 5},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "is_active": "yes"},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "is_active": 1},
        {"goal_type": "tag_added", "criteria": {"tag_name": "x"}, "key": "k" * 257},
        {"goal_type": "tag_added", "criteria": "x"},
        {"goal_type": "purchase_made", "criteria": {"any_purchase": True, "min_amount": 1}},
        [],
        "x",
        None,
    ],
)
def test_invalid_bodies_are_refused(editor: httpx.Client, body: Any) -> None:
    answer = editor.post("/api/v1/workflows/lead/goals", json=body)
    assert answer.status_code == 400, answer.text
    assert editor.get("/api/v1/workflows/lead/goals").json()["total"] == 0


def test_signed_amounts_are_refused(editor: httpx.Client) -> None:
    for amount in ("-0", "-0.0"):
        answer = editor.post(
            "/api/v1/workflows/lead/goals",
            content=f'{{"goal_type": "purchase_made", "criteria": {{"min_amount": {amount}}}}}',
            headers={"content-type": "application/json"},
        )
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["pointer"]) == (400, "/criteria/min_amount"), amount


def test_reference_to_a_missing_entity_is_refused(editor: httpx.Client) -> None:
    assert editor.put("/api/v1/catalog/form/form-123", json={"name": "F"}).status_code == 201
    answer = add(editor, "form_submitted", {"form_id": "non-existent-form"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Referenced form does not exist"
    assert add(editor, "form_submitted", {"form_id": "form-123"}).status_code == 201
    # No stage is known: there is nothing to check against.
    assert add(editor, "pipeline_stage_reached", {"stage_id": "stage-789"}).status_code == 201


def test_strict_catalog_refuses_missing_entities(make_api: Callable[..., Api]) -> None:
    client = make_api(catalog="strict").client("acme")
    client.put("/api/v1/workflows/lead", json={})
    answer = add(client, "pipeline_stage_reached", {"stage_id": "s"})
    assert (answer.status_code, answer.json()["detail"]) == (400, "Referenced stage does not exist")


def test_unchecked_catalog_accepts_any_reference(make_api: Callable[..., Api]) -> None:
    client = make_api(catalog="off").client("acme")
    client.put("/api/v1/workflows/lead", json={})
    client.put("/api/v1/catalog/form/f", json={"name": "F"})
    assert add(client, "form_submitted", {"form_id": "other"}).status_code == 201
    assert client.post("/api/v1/workflows/lead/activate").status_code == 200


def test_fourth_goal_is_refused(editor: httpx.Client) -> None:
    for name in "abc":
        tag(editor, name)
    answer = add(editor, "tag_added", {"tag_name": "d"})
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Maximum of 3 goals per workflow exceeded"


def test_duplicate_goal_is_a_conflict(editor: httpx.Client) -> None:
    tag(editor, "a", key="k")
    assert add(editor, "tag_added", {"tag_name": "a"}).status_code == 409
    assert add(editor, "tag_added", {"tag_name": "b"}, key="k").status_code == 409


def test_list_supports_offset_and_limit(editor: httpx.Client) -> None:
    goals = [tag(editor, name) for name in "abc"]
    page = editor.get("/api/v1/workflows/lead/goals", params={"offset": 1, "limit": 1}).json()
    assert page == {"goals": [goals[1]], "total": 3}
    for wrong in ({"limit": 0}, {"limit": 201}, {"offset": -1}):
        assert editor.get("/api/v1/workflows/lead/goals", params=wrong).status_code == 400


def test_change_increments_the_version(editor: httpx.Client) -> None:
    goal = tag(editor, "a", effective_from="2026-01-01T01:00:00+01:00")
    assert goal["effective_from"] == "2026-01-01T00:00:00.000000Z"
    where = f"/api/v1/workflows/lead/goals/{goal['id']}"
    changed = editor.patch(where, json={"criteria": {"tag_name": "b"}, "key": "k"})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert changed.json() == goal | {
        "criteria": {"tag_name": "b"},
        "key": "k",
        "version": 2,
        "updated_at": changed.json()["updated_at"],
    }
    same = editor.patch(where, json={"criteria": {"tag_name": "b", "tag_id": None}})
    assert same.json() == changed.json()
    off = editor.patch(where, json={"is_active": False, "key": None}).json()
    assert (off["is_active"], off["key"], off["version"]) == (False, None, 3)
    form = editor.patch(where, json={"goal_type": "form_submitted", "criteria": {"form_id": "f"}})
    assert form.json()["criteria"] == {"form_id": "f"}
    assert editor.get(where).json() == form.json()


@pytest.mark.parametrize(
    ("patch", "detail"),
    [
        ({"criteria": {}}, "Goal criteria cannot be empty"),
        ({"goal_type": "form_submitted"}, "A new goal_type requires new criteria"),
        ({"is_active": None}, None),
        ({"goal_type": None}, None),
        ({"criteria": None}, None),
        ({"effective_from": None}, None),
        ({"colour": "red"}, None),
        ({"version": 0}, None),
        ({"version": "1"}, None),
    ],
)
def test_invalid_patch_is_refused(
    editor: httpx.Client, patch: dict[str, Any], detail: str | None
) -> None:
    goal = tag(editor, "a")
    where = f"/api/v1/workflows/lead/goals/{goal['id']}"
    answer = editor.patch(where, json=patch)
    assert answer.status_code == 400, answer.text
    assert detail is None or answer.json()["detail"] == detail
    assert editor.get(where).json() == goal


def test_deleted_goal_frees_its_position(editor: httpx.Client) -> None:
    goals = [tag(editor, name) for name in "abc"]
    where = f"/api/v1/workflows/lead/goals/{goals[0]['id']}"
    answer = editor.delete(where)
    assert (answer.status_code, answer.content) == (204, b"")
    for again in (editor.get(where), editor.delete(where), editor.patch(where, json={})):
        assert again.status_code == 404
    listed = editor.get("/api/v1/workflows/lead/goals").json()
    assert [each["id"] for each in listed["goals"]] == [each["id"] for each in goals[1:]]
    assert tag(editor, "a")["id"] != goals[0]["id"]


def test_goals_of_another_tenant_are_not_found(api: Api, editor: httpx.Client) -> None:
    goal = tag(editor, "a")
    other = api.client("other")
    where = f"/api/v1/workflows/lead/goals/{goal['id']}"
    for answer in (
        other.get("/api/v1/workflows/lead/goals"),
        add(other, "tag_added", {"tag_name": "x"}),
        other.get(where),
        other.patch(where, json={"is_active": False}),
        other.delete(where),
        other.post("/api/v1/workflows/lead/activate"),
    ):
        assert answer.status_code == 404
    assert other.put("/api/v1/workflows/lead", json={"name": "Mine"}).status_code == 201
    for answer in (other.get(where), other.patch(where, json={}), other.delete(where)):
        assert answer.status_code == 404
    assert editor.get(where).json() == goal


def test_read_scope_allows_no_change(api: Api, editor: httpx.Client) -> None:
    goal = tag(editor, "a")
    reader = api.client("acme", "workflows:read")
    where = f"/api/v1/workflows/lead/goals/{goal['id']}"
    assert reader.get(where).json() == goal
    assert add(reader, "tag_added", {"tag_name": "x"}).status_code == 403
    assert reader.patch(where, json={"is_active": False}).status_code == 403
    assert reader.delete(where).status_code == 403


def test_goal_types_have_a_criteria_schema(editor: httpx.Client) -> None:
    types = editor.get("/api/v1/goal-types").json()["goal_types"]
    assert {each["goal_type"]: each["event_type"] for each in types} == {
        "tag_added": "contact.tag.added",
        "purchase_made": "payment.completed",
        "appointment_booked": "appointment.booked",
        "form_submitted": "form.submitted",
        "pipeline_stage_reached": "pipeline.stage.changed",
    }
    schemas = {each["goal_type"]: each["criteria_schema"] for each in types}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    good = Draft202012Validator(schemas["purchase_made"])
    assert good.is_valid(json.loads('{"product_id": null, "min_amount": 100.00}'))
    assert not good.is_valid({})
