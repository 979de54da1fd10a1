"""Unexpected errors."""

from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.testing import capture_logs

from goald.api.http.middleware import HttpMiddleware
from goald.metrics.api import ApiMetrics

SECRET = "password=hunter2"


async def ask(app: ASGIApp, registry: CollectorRegistry) -> list[Message]:
    """Send a request; the messages of the response."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": "/api/v1/x", "raw_path": b"/api/v1/x"}
    await HttpMiddleware(app, ApiMetrics(registry))(scope, receive, send)
    return sent


async def fails_immediately(_: Scope, __: Receive, ___: Send) -> None:
    raise RuntimeError(SECRET)


async def fails_midway(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"[1,", "more_body": True})
    raise RuntimeError(SECRET)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def failures(registry: CollectorRegistry) -> Any:
    labels = {"route": "unmatched", "method": "GET", "status": "500"}
    return registry.get_sample_value("goald_api_requests_total", labels)


async def test_unexpected_error_is_logged_and_counted_without_details(
    registry: CollectorRegistry,
) -> None:
    with capture_logs() as logs:
        start, body = await ask(fails_immediately, registry)

    assert start["status"] == 500
    assert (b"content-type", b"application/problem+json") in start["headers"]
    assert SECRET.encode() not in body["body"]
    assert orjson.loads(body["body"])["title"] == "Internal Server Error"
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert failures(registry) == 1


async def test_response_that_fails_midway_is_cut_off(registry: CollectorRegistry) -> None:
    with capture_logs() as logs:
        sent = await ask(fails_midway, registry)

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert sent[-1]["more_body"]
    assert len(logs) == 1
    assert failures(registry) == 1


async def test_other_protocols_pass_through(registry: CollectorRegistry) -> None:
    seen: list[str] = []

    async def app(scope: Scope, _: Receive, __: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        raise AssertionError

    await HttpMiddleware(app, ApiMetrics(registry))({"type": "lifespan"}, nothing, nothing)

    assert seen == ["lifespan"]
