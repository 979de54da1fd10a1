"""Bodies of callers with a token take a bounded share of the memory, by tenant (D8)."""

import json
import selectors
import socket
import time
import tracemalloc
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.api.client import Api
from tests.support.api.webhooks import event

from goald.api.body_memory import FREE_BYTES, MemoryLimits

DEADLINE_S = 30.0
LIMITS = MemoryLimits()
SIZE = 1 << 20
JSON = {"content-type": "application/json"}
LARGE = json.dumps([json.loads(event())] * 300).encode()
"""Events that take more than the free memory of a body."""


def begin(clients: ExitStack, api: Api, tenant: str, *, chunked: bool = False) -> socket.socket:
    """Begin a request of 1 MiB of this tenant. Its body is not sent yet."""
    where = urlsplit(api.url)
    connection = clients.enter_context(
        socket.create_connection((where.hostname, where.port), DEADLINE_S)
    )
    length = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % SIZE
    connection.sendall(
        b"POST /api/v1/events HTTP/1.1\r\nhost: goald\r\ncontent-type: application/json\r\n"
        b"authorization: Bearer %s\r\n%s\r\n\r\n" % (api.token(tenant).encode(), length)
    )
    return connection


def fill(clients: ExitStack, api: Api, tenant: str) -> None:
    """Take the memory of this tenant."""
    for _ in range(LIMITS.per_tenant // (SIZE - FREE_BYTES)):
        begin(clients, api, tenant)


def post(api: Api, tenant: str, content: bytes) -> httpx.Response:
    return api.client(tenant).post("/api/v1/events", content=content, headers=JSON)


def until_refused(api: Api, tenant: str) -> httpx.Response:
    deadline = time.monotonic() + DEADLINE_S
    while (answer := post(api, tenant, b"[" + b" " * (SIZE - 2) + b"]")).status_code == 400:
        assert time.monotonic() < deadline, "the memory is not taken"
    return answer


def test_a_tenant_that_holds_bodies_does_not_delay_others_or_small_requests(api: Api) -> None:
    with ExitStack() as clients:
        fill(clients, api, "acme")
        answer = until_refused(api, "acme")
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
        assert post(api, "acme", event()).status_code == 202
        for _ in range(10):
            assert post(api, "other", LARGE).status_code == 202
    deadline = time.monotonic() + DEADLINE_S
    while post(api, "acme", LARGE).status_code != 202:
        assert time.monotonic() < deadline, "the memory is not free again"


def test_a_body_without_content_length_waits_for_memory_when_it_is_large(api: Api) -> None:
    with ExitStack() as clients:
        fill(clients, api, "acme")
        until_refused(api, "acme")
        chunked = begin(clients, api, "acme", chunked=True)
        chunked.sendall(b"8000\r\n" + b" " * 32_768 + b"\r\n")
        assert chunked.recv(12) == b"HTTP/1.1 429"


def test_memory_is_free_again_after_each_request(api: Api) -> None:
    """For every outcome: accepted, invalid, or too large."""
    bodies = [LARGE, b"x" * (SIZE - 1), b"[" * (SIZE + 1)]
    for _ in range(2 * LIMITS.per_tenant // SIZE):
        assert [post(api, "acme", body).status_code for body in bodies] == [202, 400, 413]


@pytest.mark.parametrize("share", [1, SIZE - 1], ids=["slow", "large"])
def test_many_large_bodies_of_one_tenant_take_little_memory(api: Api, share: int) -> None:
    count, part = 300, memoryview(b" " * share)
    tracemalloc.start()
    try:
        with ExitStack() as clients, selectors.DefaultSelector() as selector:
            sent = {}
            for _ in range(count):
                connection = begin(clients, api, "acme")
                connection.setblocking(False)
                selector.register(connection, selectors.EVENT_WRITE)
                sent[connection] = 0
            waits_until = time.monotonic() + DEADLINE_S
            while selector.get_map() and time.monotonic() < waits_until:
                for key, _ in selector.select(0.5):
                    connection = key.fileobj  # type: ignore[assignment]
                    try:
                        sent[connection] += connection.send(part[sent[connection] :])
                    except BlockingIOError:
                        continue
                    except ConnectionError:
                        sent[connection] = share
                    if sent[connection] == share:
                        selector.unregister(connection)
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
            assert post(api, "other", LARGE).status_code == 202
    finally:
        tracemalloc.stop()
