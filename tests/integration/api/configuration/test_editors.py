"""Concurrent editors: one succeeds, the others get a conflict, and every limit holds."""

import asyncio
from collections import Counter
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.servers import Database

TAG = {"goal_type": "tag_added", "criteria": {"tag_name": "x"}}


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    """An editor of acme, which has the draft workflow `lead` in version 1."""
    client = api.client("acme", "workflows:read", "workflows:edit")
    assert client.put("/api/v1/workflows/lead", json={}).status_code == 201
    return client


def changes(editor: httpx.Client) -> list[tuple[str, str, dict[str, Any]]]:
    """(method, path, body) of a change to each existing object, all in version 1."""
    goal = editor.post("/api/v1/workflows/lead/goals", json=TAG).headers["location"]
    lead = "/api/v1/workflows/lead"
    return [
        ("PUT", lead, {"name": "New"}),
        ("POST", f"{lead}/activate", {}),
        ("POST", f"{lead}/deactivate", {}),
        ("PATCH", goal, {"is_active": False}),
        ("DELETE", goal, {}),
    ]


def send(
    editor: httpx.Client, change: tuple[str, str, dict[str, Any]], tag: str | None, **more: Any
) -> httpx.Response:
    method, path, body = change
    headers = {} if tag is None else {"if-match": tag}
    if method == "DELETE":
        return editor.request(method, path, headers=headers)
    return editor.request(method, path, json=body | more, headers=headers)


@pytest.mark.parametrize("tag", ['"2"', '"9", "8"', 'W/"1"', '"abc"', '"0"', '"01"', 'W/"1", "7"'])
def test_if_match_with_another_version_gets_412(editor: httpx.Client, tag: str) -> None:
    before = editor.get("/api/v1/workflows/lead").json()
    for change in changes(editor):
        assert send(editor, change, tag).status_code == 412, change
    assert editor.get("/api/v1/workflows/lead").json() == before
    assert editor.get("/api/v1/workflows/lead/goals").json()["goals"][0]["version"] == 1


@pytest.mark.parametrize("tag", ['"1"', "*", '"9", "1"', 'W/"9","1",'])
def test_if_match_with_the_current_version_succeeds(editor: httpx.Client, tag: str) -> None:
    put, _, _, patch, _ = changes(editor)
    for change in (put, patch):
        assert send(editor, change, tag).status_code == 200, change


@pytest.mark.parametrize("tag", ["1", "abc", '"1', "", ",", '*, "1"', '"1" "2"'])
def test_invalid_entity_tag_is_refused(editor: httpx.Client, tag: str) -> None:
    for change in changes(editor):
        answer = send(editor, change, tag)
        assert answer.status_code == 400, change
        assert answer.json()["errors"][0]["parameter"] == "If-Match"


def test_other_version_in_the_body_gets_409(editor: httpx.Client) -> None:
    *with_bodies, _ = changes(editor)
    for change in with_bodies:
        assert send(editor, change, None, version=2).status_code == 409, change
    assert send(editor, with_bodies[0], None, version=1).status_code == 200
    assert send(editor, with_bodies[3], '"1"', version=1).status_code == 200


def test_expected_version_prevents_creation(editor: httpx.Client) -> None:
    new = "/api/v1/workflows/new"
    for tag in ("*", '"1"'):
        assert editor.put(new, json={}, headers={"if-match": tag}).status_code == 412
    assert editor.put(new, json={"version": 1}).status_code == 409
    assert editor.get(new).status_code == 404


def test_unchanged_object_keeps_its_version(editor: httpx.Client) -> None:
    """A change without effect creates no version, so it conflicts with no other change."""
    for _ in range(2):
        answer = editor.put("/api/v1/workflows/lead", json={}, headers={"if-match": '"1"'})
        assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')


Request = tuple[str, str, dict[str, Any], dict[str, str]]
"""Method, path, body and headers."""


def concurrently(api: Api, requests: list[Request]) -> list[int]:
    """The statuses of requests that are all sent at the same time."""

    async def send_all() -> list[httpx.Response]:
        async with api.async_client("acme") as client:
            return await asyncio.gather(
                *(
                    client.request(method, path, json=body, headers=headers)
                    for method, path, body, headers in requests
                )
            )

    return [answer.status_code for answer in asyncio.run(send_all())]


def test_of_two_concurrent_editors_one_succeeds(api: Api, editor: httpx.Client) -> None:
    names = [f"name-{number}" for number in range(20)]
    for by_header in (True, False):
        version = editor.get("/api/v1/workflows/lead").json()["version"]
        headers = {"if-match": f'"{version}"'} if by_header else {}
        more = {} if by_header else {"version": version}
        statuses = concurrently(
            api,
            [
                ("PUT", "/api/v1/workflows/lead", {"name": f"{name}-{by_header}", **more}, headers)
                for name in names
            ],
        )
        assert Counter(statuses) == {200: 1, (412 if by_header else 409): 19}
        assert editor.get("/api/v1/workflows/lead").json()["version"] == version + 1


def test_concurrent_additions_respect_the_limit_and_uniqueness(
    api: Api, editor: httpx.Client, database: Database
) -> None:
    requests: list[Request] = [
        (
            "POST",
            "/api/v1/workflows/lead/goals",
            {"goal_type": "tag_added", "criteria": {"tag_name": f"t-{number % 5}"}},
            {},
        )
        for number in range(60)
    ]
    statuses = Counter(concurrently(api, requests))
    assert statuses[201] == 3
    assert set(statuses) == {201, 400, 409}
    goals = editor.get("/api/v1/workflows/lead/goals").json()
    assert goals["total"] == 3
    assert len({goal["criteria"]["tag_name"] for goal in goals["goals"]}) == 3
    with psycopg.connect(database.admin_dsn) as admin:
        places = admin.execute("SELECT position FROM goald.workflow_goals ORDER BY 1").fetchall()
    assert places == [(0,), (1,), (2,)]


def test_concurrent_creation_creates_one_workflow(api: Api, editor: httpx.Client) -> None:
    requests: list[Request] = [("PUT", "/api/v1/workflows/new", {"name": "New"}, {})] * 20
    assert Counter(concurrently(api, requests)) == {201: 1, 200: 19}
    assert editor.get("/api/v1/workflows/new").json()["version"] == 1


def test_concurrent_edits_of_goals_and_activation_do_not_deadlock(
    api: Api, editor: httpx.Client
) -> None:
    """Locks are taken in the same order, and no request is refused because of their number."""
    lead = "/api/v1/workflows/lead"
    where = editor.post(f"{lead}/goals", json=TAG).headers["location"]
    statuses = concurrently(
        api,
        [("POST", f"{lead}/activate", {}, {}), ("POST", f"{lead}/deactivate", {}, {})] * 10
        + [("PATCH", where, {"is_active": number % 2 == 0}, {}) for number in range(20)]
        + [("PUT", "/api/v1/catalog/tag/t", {"name": f"T {number}"}, {}) for number in range(20)],
    )
    assert set(statuses) == {200, 201}
