"""The number of bodies of unauthenticated callers that are read at the same time (D8)."""

import asyncio
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request
from starlette.types import Message
from tests.integration.api.auth.test_webhooks import SECRET, event, send, signed
from tests.support.api.client import Api

from goald.api.problems import Unavailable
from goald.api.signed_bodies import MAX_CONCURRENT, SignedBodyReader

DEADLINE_S = 20.0


def test_unauthenticated_bodies_are_bounded_and_do_not_affect_tokens(
    api: Api,
) -> None:
    client = api.client("acme")
    client.put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    with ExitStack() as unknown_callers:
        for _ in range(MAX_CONCURRENT):
            begin_signed(unknown_callers, api)
        deadline = time.monotonic() + DEADLINE_S
        while (answer := send(api, event(), signed(SECRET, event()))).status_code == 202:
            assert time.monotonic() < deadline, "no request is answered with Retry-After"
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert client.post("/api/v1/events", content=event(), headers=JSON).status_code == 202
    deadline = time.monotonic() + DEADLINE_S
    while send(api, event(), signed(SECRET, event())).status_code != 202:
        assert time.monotonic() < deadline, "the places are not free again"


async def test_body_is_not_read_when_the_queue_is_full() -> None:
    bodies = SignedBodyReader(max_concurrent=1, max_waiting=1)
    asked: list[str] = []
    may_continue = asyncio.Event()

    async def read(name: str) -> bytes:
        async def receive() -> Message:
            asked.append(name)
            await may_continue.wait()
            return {"type": "http.request", "body": name.encode()}

        async with bodies.body(Request({"type": "http"}, receive)) as body:
            return body

    first, second = asyncio.create_task(read("first")), asyncio.create_task(read("second"))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await read("third")
    assert asked == ["first"]

    may_continue.set()
    assert (await first, await second) == (b"first", b"second")
    assert await read("fourth") == b"fourth"


JSON = {"content-type": "application/json"}


def begin_signed(unknown_callers: ExitStack, api: Api) -> None:
    """Begin a webhook of an unknown tenant, without the end of its body."""
    where = urlsplit(api.url)
    connection = unknown_callers.enter_context(
        socket.create_connection((where.hostname or "", where.port or 0))
    )
    connection.sendall(
        b"POST /api/v1/events?tenant=unknown&provider=none HTTP/1.1\r\nhost: goald\r\n"
        b"content-type: application/json\r\nwebhook-id: a\r\nwebhook-signature: v1,a\r\n"
        b"webhook-timestamp: %d\r\ncontent-length: 1000000\r\n\r\n{" % time.time()
    )
