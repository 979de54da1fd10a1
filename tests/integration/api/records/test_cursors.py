"""Cursors of lists: good for one place of one list of one tenant, and for nothing else."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import httpx
import pytest
from tests.support.api.client import Api
from tests.support.data.records import BEGAN, Records


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "workflows:read")


def cursor_of(client: httpx.Client, kind: str = "enrollments", **query: Any) -> str:
    answer = client.get(f"/api/v1/workflows/welcome/{kind}", params={"limit": 1, **query})
    return str(answer.json()["next_cursor"])


def altered(cursor: str, place: int, value: Any) -> str:
    """The cursor with one of its parts replaced."""
    parts = json.loads(urlsafe_b64decode(cursor + "=="))
    parts[place] = value
    return urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def refused(client: httpx.Client, cursor: str, kind: str = "enrollments", **query: Any) -> None:
    params = {"cursor": cursor, **query}
    answer = client.get(f"/api/v1/workflows/welcome/{kind}", params=params)
    assert answer.status_code == 400, (cursor, answer.text)
    (error,) = answer.json()["errors"]
    assert error["parameter"] == "cursor"


@pytest.fixture
def three(records: Records) -> Records:
    for number in range(3):
        records.enroll(f"e-{number}", BEGAN + number)
        records.achieve(f"e-{number}", BEGAN + number)
    return records


@pytest.mark.parametrize("kind", ["enrollments", "achievements"])
@pytest.mark.usefixtures("three")
def test_modified_cursor_is_refused(client: httpx.Client, kind: str) -> None:
    cursor = cursor_of(client, kind)
    changes: list[tuple[int, Any]] = [
        (0, "0123456789abcdef"),
        (0, None),
        (1, BEGAN),
        (1, 10**30),
        (1, "soon"),
        (1, True),
        (2, "e-0"),
        (2, "\x00"),
        (2, "\ud800"),
        (2, 7),
        (2, ["e-0"]),
    ]
    for place, value in changes:
        refused(client, altered(cursor, place, value), kind)


@pytest.mark.usefixtures("three")
def test_invalid_cursor_is_refused(client: httpx.Client) -> None:
    for made_up in ("x", "e30", "W10", "bnVsbA", "ä", "a" * 1_024, "a" * 2_000, "WzFd" * 200, " "):
        refused(client, made_up)


@pytest.mark.usefixtures("three")
def test_cursor_is_bound_to_its_list_filters_and_tenant(
    api: Api, client: httpx.Client, three: Records
) -> None:
    cursor = cursor_of(client)
    refused(client, cursor, "achievements")
    refused(client, cursor, status="active")
    refused(client, cursor, contact_id="ann")
    refused(client, cursor, since="2026-01-01T00:00:00Z")
    three.enroll("g-1", BEGAN, tenant="globex")
    refused(api.client("globex"), cursor)
    answer = client.get("/api/v1/workflows/other/enrollments", params={"cursor": cursor})
    assert answer.status_code == 400
    # Another size of page is the same list.
    page = client.get(
        "/api/v1/workflows/welcome/enrollments", params={"cursor": cursor, "limit": 200}
    )
    assert [each["id"] for each in page.json()["items"]] == ["e-1", "e-0"]
