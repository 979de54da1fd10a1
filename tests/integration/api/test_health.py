"""What stands around every route: health, metrics, errors, headers, limits of a request."""

import asyncio
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.api.client import Api

PATH = "/api/v1/webhooks"


def counted(api: Api) -> dict[tuple[str, str, str], float]:
    """Requests by (route, method, status)."""
    families = text_string_to_metric_families(api.anonymous().get("/metrics").text)
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "goald_api_requests_total"
    }


def test_it_lives_and_is_ready(api: Api) -> None:
    for path in ("/livez", "/readyz"):
        assert api.anonymous().get(path).json() == {"status": "ok"}


def test_without_its_services_it_lives_is_not_ready_and_says_why(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(redis_url="unix:///nowhere.sock")

    answer = api.anonymous().get("/readyz")

    assert api.anonymous().get("/livez").status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert any("Redis" in not_ready_reason for not_ready_reason in answer.json()["troubles"])


def test_without_postgres_a_call_is_503_and_names_no_server(make_api: Callable[..., Api]) -> None:
    api = make_api(postgres_dsn="postgresql://nobody@/nothing?host=/nowhere-at-all")

    answer = api.client("acme").get(PATH)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nowhere" not in answer.text


def test_requests_are_counted_by_route_not_by_path(api: Api) -> None:
    client = api.client("acme")
    for name in ("one", "two", "th%2Free"):
        client.put(f"{PATH}/{name}")
    client.get("/nothing/here")
    client.get("/api/v1/nothing")
    client.post(f"{PATH}/one")
    client.request("PROPFIND", "/livez")

    found = counted(api)

    assert found[PATH + "/{provider}", "PUT", "201"] == 3
    assert found["unmatched", "GET", "404"] == 2
    assert found[PATH + "/{provider}", "POST", "405"] == 1
    assert found["/livez", "other", "405"] == 1


def test_what_is_not_there_is_a_problem(api: Api) -> None:
    answer = api.anonymous().get("/api/v1/nothing")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_another_method_is_answered_with_all_that_the_path_takes(api: Api) -> None:
    answer = api.client("acme").patch(f"{PATH}/stripe")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, PUT"
    assert answer.headers["content-type"] == "application/problem+json"


def test_answers_are_not_kept_nor_guessed_at(api: Api) -> None:
    for answer in (api.client("acme").get(PATH), api.anonymous().get(PATH)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_body_may_hold_a_mebibyte_said_or_unsaid(api: Api) -> None:
    client = api.client("acme")
    body = b'{"secret": null}'
    most = body + b" " * ((1 << 20) - len(body))
    headers = {"content-type": "application/json"}

    assert client.put(f"{PATH}/a", content=most, headers=headers).status_code == 201
    for content in (most + b" ", iter([most, b" "])):
        answer = client.put(f"{PATH}/a", content=content, headers=headers)

        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/jsonp"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
    ],
)
def test_a_body_of_another_kind_is_refused(api: Api, headers: dict[str, str]) -> None:
    answer = api.client("acme").put(f"{PATH}/a", content=b"{}", headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "Application/JSON"])
def test_json_is_taken_however_it_is_named(api: Api, kind: str) -> None:
    answer = api.client("acme").put(f"{PATH}/a", content=b"{}", headers={"content-type": kind})

    assert answer.status_code == 201


def test_what_is_wrong_in_a_body_is_pointed_at(api: Api) -> None:
    answer = api.client("acme").put(f"{PATH}/a", json={"secret": 1, "a/b": 2})

    assert answer.status_code == 400
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/secret", "/a~1b"}


def test_a_caller_that_goes_away_within_its_body_does_no_harm(api: Api) -> None:
    where = urlsplit(api.url)
    head = (
        f"PUT {PATH}/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.token('acme')}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )

    async def leave() -> None:
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(head.encode())
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    for _ in range(5):
        asyncio.run(leave())

    assert api.client("acme").get(PATH).json() == {"items": []}
    assert not any(status.startswith("5") for _, _, status in counted(api))


@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/9.9", "GET  HTTP/1.1", "\x00", "PUT /api/v1/webhooks/\xff HTTP/1.1"],
)
def test_what_is_no_http_does_no_harm(api: Api, request_line: str) -> None:
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(request_line.encode("latin-1") + b"\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4_096):
            pass

    assert api.anonymous().get("/livez").status_code == 200
