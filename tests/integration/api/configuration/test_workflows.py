"""Workflows over HTTP: drafts, activation, and waiting for the shards (E10)."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
import redis
from tests.support.api.client import Api
from tests.support.services.servers import Database

from goald.redis_keys import CONTROL, FIELD, NOTICES


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    return api.client("acme", "workflows:read", "workflows:edit")


@pytest.fixture
def admin(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.admin_dsn, autocommit=True) as connection:
        yield connection


def published(url: str, stream: str) -> list[dict[str, Any]]:
    with redis.Redis.from_url(url) as client:
        entries: Any = client.xrange(stream)
        return [json.loads(fields[FIELD.encode()]) for _, fields in entries]


def live_shard(admin: psycopg.Connection[Any], version: int) -> None:
    """A shard that lives and never takes another version than this."""
    admin.execute(
        "INSERT INTO goald.leases (slots, holder, config_version, expires_at)"
        " VALUES ('[0,256)', 'shard', %s, now() + interval '1 hour')",
        [version],
    )


def test_workflow_is_created_inactive_and_changed(editor: httpx.Client) -> None:
    created = editor.put("/api/v1/workflows/lead", json={"name": "Lead Nurturing"})
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == "/api/v1/workflows/lead"
    draft = created.json()
    assert draft.items() >= {
        "id": "lead", "name": "Lead Nurturing", "goal_logic": "any", "is_active": False,
    }.items()  # fmt: skip
    changed = editor.put("/api/v1/workflows/lead", json={"goal_logic": "all"})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    assert changed.json()["name"] == "Lead Nurturing"
    same = editor.put("/api/v1/workflows/lead", json={"goal_logic": "all", "name": None})
    assert (same.status_code, same.json()) == (200, changed.json())
    got = editor.get("/api/v1/workflows/lead")
    assert (got.json(), got.headers["etag"]) == (changed.json(), '"2"')


def test_change_of_a_goal_keeps_the_workflow_version(editor: httpx.Client) -> None:
    before = editor.put("/api/v1/workflows/lead", json={}).json()
    goal = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
    assert editor.post("/api/v1/workflows/lead/goals", json=goal).status_code == 201
    assert editor.get("/api/v1/workflows/lead").json() == before


@pytest.mark.parametrize("id_", ["a/b", "é ü", "%2F", "?", "50%", "x" * 128])
def test_ids_may_contain_any_printable_character(editor: httpx.Client, id_: str) -> None:
    path = "/api/v1/workflows/" + "".join(f"%{byte:02x}" for byte in id_.encode())
    created = editor.put(path, json={})
    assert (created.status_code, created.json()["id"]) == (201, id_)
    assert editor.get(path).json() == created.json()
    assert editor.get(created.headers["location"]).json() == created.json()


@pytest.mark.parametrize(
    "body",
    [{"name": ""}, {"name": 5}, {"name": "x" * 256}, {"name": "a\nb"}, {"goal_logic": "some"},
     {"is_active": True}, {"id": "other"}, {"version": 1.0}, [], "lead"],
)  # fmt: skip
def test_invalid_bodies_are_refused(editor: httpx.Client, body: Any) -> None:
    assert editor.put("/api/v1/workflows/lead", json=body).status_code == 400
    assert editor.get("/api/v1/workflows/lead").status_code == 404


def test_workflows_are_listed_by_id_and_by_tenant(api: Api, editor: httpx.Client) -> None:
    for id_ in ("c", "a", "b"):
        editor.put(f"/api/v1/workflows/{id_}", json={})
    api.client("other").put("/api/v1/workflows/z", json={})
    listed = editor.get("/api/v1/workflows").json()
    assert ([item["id"] for item in listed["workflows"]], listed["total"]) == (["a", "b", "c"], 3)
    page = editor.get("/api/v1/workflows", params={"offset": 1, "limit": 1}).json()
    assert ([item["id"] for item in page["workflows"]], page["total"]) == (["b"], 3)
    beyond = editor.get("/api/v1/workflows", params={"offset": 2**31 - 1}).json()
    assert beyond == {"workflows": [], "total": 3}


def test_workflow_is_activated_and_deactivated(editor: httpx.Client, redis_url: str) -> None:
    editor.put("/api/v1/workflows/lead", json={})
    goal = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
    where = editor.post("/api/v1/workflows/lead/goals", json=goal).headers["location"]
    assert editor.get(where).json()["effective_from"] is None
    active = editor.post("/api/v1/workflows/lead/activate")
    assert (active.status_code, active.json()["is_active"]) == (200, True)
    assert active.headers["etag"] == '"2"'
    since = editor.get(where).json()["effective_from"]
    assert since is not None
    assert editor.post("/api/v1/workflows/lead/activate").json() == active.json()
    inactive = editor.post("/api/v1/workflows/lead/deactivate", json={"version": 2})
    assert (inactive.json()["is_active"], inactive.json()["version"]) == (False, 3)
    editor.post("/api/v1/workflows/lead/activate")
    assert editor.get(where).json()["effective_from"] == since
    assert [item["type"] for item in published(redis_url, NOTICES)] == [
        "workflow.goal.configured",
        "workflow.activated",
        "workflow.goal.updated",
        "workflow.deactivated",
        "workflow.activated",
    ]


def test_workflow_with_an_invalid_goal_is_not_activated(editor: httpx.Client) -> None:
    editor.put("/api/v1/workflows/lead", json={})
    goal = {"goal_type": "tag_added", "criteria": {"tag_id": "non-existent-tag"}}
    assert editor.post("/api/v1/workflows/lead/goals", json=goal).status_code == 201
    assert editor.put("/api/v1/catalog/tag/tag-1", json={"name": "Customer"}).status_code == 201
    refused = editor.post("/api/v1/workflows/lead/activate")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "Invalid goal configuration: tag does not exist"
    assert editor.get("/api/v1/workflows/lead").json()["is_active"] is False
    editor.put("/api/v1/catalog/tag/non-existent-tag", json={"name": "Now it does"})
    assert editor.post("/api/v1/workflows/lead/activate").status_code == 200


def test_workflow_without_goals_can_be_activated(editor: httpx.Client) -> None:
    editor.put("/api/v1/workflows/lead", json={})
    assert editor.post("/api/v1/workflows/lead/activate").json()["is_active"] is True


def test_missing_objects_are_not_found(editor: httpx.Client) -> None:
    assert editor.get("/api/v1/workflows/gone").status_code == 404
    assert editor.post("/api/v1/workflows/gone/activate").status_code == 404
    assert editor.post("/api/v1/workflows/gone/deactivate").status_code == 404
    assert editor.get("/api/v1/workflows/gone/goals").status_code == 404


def test_shards_are_notified_before_the_response(
    editor: httpx.Client, admin: psycopg.Connection[Any], redis_url: str
) -> None:
    editor.put("/api/v1/workflows/lead", json={})
    (reported,) = published(redis_url, CONTROL)
    assert (reported["tenantid"], reported["workflows"]) == ("acme", ["lead"])
    current = admin.execute("SELECT config_version FROM goald.workflows").fetchall()
    assert current == [(reported["version"],)]
    assert admin.execute("SELECT FROM goald.outbox WHERE published_at IS NULL").rowcount == 0
    editor.put("/api/v1/workflows/lead", json={})
    assert len(published(redis_url, CONTROL)) == 1


def test_change_that_a_live_shard_has_not_loaded_gets_202(
    editor: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    live_shard(admin, 0)
    created = editor.put("/api/v1/workflows/lead", json={"name": "L"})
    assert (created.status_code, created.json()["name"]) == (202, "L")
    assert created.headers["location"] == "/api/v1/workflows/lead"
    goal = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}
    added = editor.post("/api/v1/workflows/lead/goals", json=goal)
    assert (added.status_code, added.json()["goal_type"]) == (202, "tag_added")
    assert editor.delete(added.headers["location"]).status_code == 202


def test_change_that_every_live_shard_has_loaded_gets_200(
    editor: httpx.Client, admin: psycopg.Connection[Any]
) -> None:
    live_shard(admin, 2**62)
    assert editor.put("/api/v1/workflows/lead", json={}).status_code == 201


def test_change_succeeds_while_redis_is_unavailable(
    api: Api, editor: httpx.Client, admin: psycopg.Connection[Any], redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(NOTICES, "no stream")
        client.set(CONTROL, "no stream")
        editor.put("/api/v1/workflows/lead", json={})
        assert editor.post("/api/v1/workflows/lead/activate").status_code == 200
        client.delete(NOTICES, CONTROL)
    messages = admin.execute(
        "SELECT stream FROM goald.outbox WHERE published_at IS NULL ORDER BY number"
    )
    assert [stream for (stream,) in messages] == ["control", "notices", "control"]
