"""Health, metrics, errors, headers and request limits, which apply to every route."""

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


def test_livez_and_readyz_succeed(api: Api) -> None:
    for path in ("/livez", "/readyz"):
        assert api.anonymous().get(path).json() == {"status": "ok"}


def test_without_its_servers_it_is_alive_but_not_ready(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(redis_url="unix:///nowhere.sock")

    answer = api.anonymous().get("/readyz")

    assert api.anonymous().get("/livez").status_code == 200
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert any("Redis" in not_ready_reason for not_ready_reason in answer.json()["reasons"])


def test_without_postgres_a_request_gets_503_without_server_names(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(postgres_dsn="postgresql://nobody@/nothing?host=/nowhere-at-all")

    answer = api.client("acme").get(PATH)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    assert "nowhere" not in answer.text


def test_requests_are_counted_by_route(api: Api) -> None:
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


def test_unknown_path_is_a_problem_response(api: Api) -> None:
    answer = api.anonymous().get("/api/v1/nothing")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 404


def test_unsupported_method_gets_the_allowed_ones(api: Api) -> None:
    answer = api.client("acme").patch(f"{PATH}/stripe")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, PUT"
    assert answer.headers["content-type"] == "application/problem+json"


def test_responses_have_security_headers(api: Api) -> None:
    for answer in (api.client("acme").get(PATH), api.anonymous().get(PATH)):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_body_is_limited_to_1_mib_with_and_without_content_length(api: Api) -> None:
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
def test_other_content_types_are_refused(api: Api, headers: dict[str, str]) -> None:
    answer = api.client("acme").put(f"{PATH}/a", content=b"{}", headers=headers)

    assert answer.status_code == 415


@pytest.mark.parametrize("kind", ["application/json; charset=UTF-8", "Application/JSON"])
def test_all_json_content_types_are_accepted(api: Api, kind: str) -> None:
    answer = api.client("acme").put(f"{PATH}/a", content=b"{}", headers={"content-type": kind})

    assert answer.status_code == 201


def test_fault_in_a_body_has_a_pointer(api: Api) -> None:
    answer = api.client("acme").put(f"{PATH}/a", json={"secret": 1, "a/b": 2})

    assert answer.status_code == 400
    assert {error["pointer"] for error in answer.json()["errors"]} == {"/secret", "/a~1b"}


def test_client_that_disconnects_within_its_body_does_no_harm(api: Api) -> None:
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
def test_invalid_http_does_no_harm(api: Api, request_line: str) -> None:
    where = urlsplit(api.url)
    with socket.create_connection((where.hostname, where.port), timeout=10) as connection:
        connection.sendall(request_line.encode("latin-1") + b"\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4_096):
            pass

    assert api.anonymous().get("/livez").status_code == 200
