"""Bodies of unauthenticated callers: how much memory they take, and whose (D8)."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import struct
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.api.client import Api
from tests.support.api.webhooks import SECRET, event, send, signed

from goald.api import rejections, signed_bodies
from goald.api.auth.signatures import parse_secret
from goald.api.body_memory import SIGNED
from goald.api.rejections import RejectionLimiter

DEADLINE_S = 20.0
LARGE = json.dumps([json.loads(event())] * 300).encode()
"""Events that take more than the free memory of a body."""
HUGE = b"[" + b" " * 960_000 + b"]"
"""Gets 400, or 503 if a part of the memory is taken by bodies of 900,000 bytes: see `fill`."""
PATH = "/api/v1/events?tenant={}&provider={}"


def begin(clients: ExitStack, api: Api, tenant: str, address: str, body: bytes) -> socket.socket:
    """Begin a signed webhook of 1,000,000 bytes from this address, without the end of its body."""
    where = urlsplit(api.url)
    connection = clients.enter_context(
        socket.create_connection((where.hostname, where.port), source_address=(address, 0))
    )
    connection.sendall(
        b"POST /api/v1/events?tenant=%s&provider=stripe HTTP/1.1\r\nhost: goald\r\n"
        b"content-type: application/json\r\nwebhook-id: a\r\nwebhook-signature: v1,a\r\n"
        b"webhook-timestamp: %d\r\ncontent-length: 1000000\r\n\r\n%s"
        % (tenant.encode(), time.time(), body)
    )
    return connection


def webhook(api: Api, body: bytes | None = None) -> httpx.Response:
    """The response to a correct webhook."""
    body = body if body is not None else event()
    return send(api, body, signed(SECRET, body))


def rejected(
    api: Api, tenant: str, provider: str = "stripe", body: bytes = b"{}"
) -> httpx.Response:
    """The response to a wrong signature."""
    wrong = signed(SECRET, b"{}") | {"webhook-signature": "v1,wrong"}
    return api.anonymous().post(PATH.format(tenant, provider), content=body, headers=wrong)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Incomplete bodies stay until the test ends."""
    monkeypatch.setattr(signed_bodies, "BODY_S", 10 * DEADLINE_S)


@pytest.fixture
def webhooks(api: Api) -> Api:
    """An API whose tenants acme and other have a webhook."""
    for tenant in ("acme", "other"):
        client = api.client(tenant)
        assert client.put("/api/v1/webhooks/stripe", json={"secret": SECRET}).status_code == 201
    return api


def fill(clients: ExitStack, api: Api, tenant: str) -> None:
    """Begin bodies that take the memory for signed bodies of this tenant when they have arrived."""
    share = SIGNED.per_tenant_and_address
    for number in range(2 * SIGNED.per_tenant // share):
        for _ in range(share // 900_000 + 1):
            begin(clients, api, tenant, f"127.0.0.{number + 2}", b"a" * 900_000)


def fill_completely(clients: ExitStack, api: Api, tenant: str) -> None:
    """`fill`, until HUGE gets 503. HUGE takes memory itself while it arrives: bodies that arrive at
    the same time may not be kept, hence the repetition."""
    deadline, refused = time.monotonic() + DEADLINE_S, 0
    while refused < 2:
        assert time.monotonic() < deadline, "the memory is not taken"
        if not refused:
            fill(clients, api, tenant)
        refused = refused + 1 if webhook(api, HUGE).status_code == 503 else 0


def test_senders_with_made_up_tenants_do_not_affect_a_webhook(webhooks: Api) -> None:
    with ExitStack() as clients:
        for number in range(128):
            begin(clients, webhooks, f"made-up-{number}", f"127.0.0.{number + 1}", b"a" * 100_000)
        for _ in range(20):
            assert webhook(webhooks, LARGE).status_code == 202


def test_senders_of_one_tenant_do_not_affect_another_tenants_webhook(webhooks: Api) -> None:
    with ExitStack() as clients:
        fill(clients, webhooks, "other")
        for _ in range(20):
            assert webhook(webhooks, LARGE).status_code == 202


def test_one_address_does_not_affect_a_webhook_from_another(webhooks: Api) -> None:
    with ExitStack() as clients:
        for _ in range(16):
            begin(clients, webhooks, "acme", "127.0.0.2", b"a" * 900_000)
        for _ in range(20):
            assert webhook(webhooks, LARGE).status_code == 202


def test_senders_without_the_secret_delay_no_small_webhook_and_no_token(webhooks: Api) -> None:
    client = webhooks.client("acme")
    with ExitStack() as clients:
        fill_completely(clients, webhooks, "acme")
        answer = webhook(webhooks, HUGE)
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert webhook(webhooks).status_code == 202
        headers = {"content-type": "application/json"}
        assert client.post("/api/v1/events", content=LARGE, headers=headers).status_code == 202
    until(lambda: webhook(webhooks, HUGE).status_code == 400, "the memory is not free again")


@pytest.mark.parametrize("body", [b"{}", HUGE], ids=["small", "large"])
def test_a_full_memory_does_not_show_which_webhooks_exist(webhooks: Api, body: bytes) -> None:
    with ExitStack() as clients:
        fill(clients, webhooks, "made-up")
        fill_completely(clients, webhooks, "acme")
        answers = [
            rejected(webhooks, tenant, provider, body)
            for tenant, provider in (("acme", "stripe"), ("acme", "zzz"), ("made-up", "stripe"))
        ]
    assert [each.status_code for each in answers] == [401] * 3
    assert len({each.content for each in answers}) == 1
    assert len({frozenset(each.headers.keys()) for each in answers}) == 1


def test_a_correctly_signed_body_that_is_not_utf_8_is_invalid_and_no_rejection(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []

    async def add(_: RejectionLimiter, address: str, __: object) -> None:
        counted.append(address)

    monkeypatch.setattr(RejectionLimiter, "add", add)
    api = make_api()
    api.client("acme").put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    body = event().replace(b"Customer", b"\xff")
    headers = signed(SECRET, b"")
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.digest(parse_secret(SECRET), content, hashlib.sha256)
    headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    answer = send(api, body, headers)
    assert (answer.status_code, counted) == (400, [])
    assert "UTF-8" in answer.text
    assert (rejected(api, "acme").status_code, counted) == (401, ["127.0.0.1"])


OVER_LIMIT = 5
"""The rejections of one address after which its further ones are delayed, in the tests below."""


class Delays:
    """Counts the rejections, and those whose responses are delayed until the test ends them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.delayed = 0
        self.ended = 0
        self.limiter: RejectionLimiter | None = None
        add, delay, delays = RejectionLimiter.add, RejectionLimiter._delay, self

        async def counting_add(
            limiter: RejectionLimiter, address: str, disconnected: object
        ) -> None:
            delays.count += 1
            delays.limiter = limiter
            await add(limiter, address, disconnected)  # type: ignore[arg-type]

        async def counting_delay(limiter: RejectionLimiter, disconnected: object) -> None:
            delays.delayed += 1
            await delay(limiter, disconnected)  # type: ignore[arg-type]
            delays.ended += 1

        monkeypatch.setattr(RejectionLimiter, "add", counting_add)
        monkeypatch.setattr(RejectionLimiter, "_delay", counting_delay)
        monkeypatch.setattr(RejectionLimiter, "_begin_second", lambda _: None)


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> Delays:
    return Delays(monkeypatch)


@pytest.fixture
def limited(delays: Delays, make_api: Callable[..., Api]) -> Api:
    """An API with a webhook of acme, whose address 127.0.0.1 has as many rejections as it may."""
    api = make_api(api_address_rejections=OVER_LIMIT)
    api.client("acme").put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    for _ in range(OVER_LIMIT):
        assert rejected(api, "acme").status_code == 401
    assert (delays.count, delays.delayed) == (OVER_LIMIT, 0)
    return api


async def test_a_correct_webhook_is_accepted_while_others_of_its_address_are_delayed(
    limited: Api, delays: Delays
) -> None:
    """It is the first one from this address: nothing is known about it before."""
    others = [asyncio.create_task(asyncio.to_thread(rejected, limited, "acme")) for _ in range(3)]
    await asyncio.to_thread(until, lambda: delays.delayed == 3, "a rejection is not delayed")
    assert (await asyncio.to_thread(webhook, limited)).status_code == 202
    assert limited.client("acme").get("/api/v1/webhooks").status_code == 200
    assert [each.status_code for each in await asyncio.gather(*others)] == [401] * 3
    assert delays.count == OVER_LIMIT + 3


def test_a_delayed_response_does_not_show_whether_the_tenant_exists(
    limited: Api, delays: Delays
) -> None:
    assert webhook(limited).status_code == 202  # verified from this address
    known, unknown = (rejected(limited, tenant) for tenant in ("acme", "made-up"))
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert known.headers.keys() == unknown.headers.keys()
    assert delays.delayed == 2


def test_a_correct_webhook_without_memory_is_no_rejection(limited: Api, delays: Delays) -> None:
    with ExitStack() as clients:
        fill_completely(clients, limited, "acme")
        assert delays.count == OVER_LIMIT


@pytest.mark.parametrize("size", [1_000_000, 1_081_344], ids=["wrong signature", "too large"])
@pytest.mark.parametrize("tenant", ["acme", "made-up"])
def test_the_body_of_a_rejected_webhook_is_not_in_memory_during_the_delay(
    limited: Api, delays: Delays, monkeypatch: pytest.MonkeyPatch, size: int, tenant: str
) -> None:
    monkeypatch.setattr(rejections, "DELAY_S", 10 * DEADLINE_S)
    count, part = 8, b"8000\r\n" + b"a" * 32_768 + b"\r\n"
    body = part * (size // 32_768) + b"0\r\n\r\n"
    head = (
        b"POST /api/v1/events?tenant=%s&provider=stripe HTTP/1.1\r\nhost: goald\r\n"
        b"content-type: application/json\r\nwebhook-id: a\r\nwebhook-signature: v1,a\r\n"
        b"webhook-timestamp: %d\r\ntransfer-encoding: chunked\r\n\r\n"
    ) % (tenant.encode(), time.time())
    where = urlsplit(limited.url)
    tracemalloc.start()
    try:
        with ExitStack() as clients:
            for _ in range(count):
                connection = socket.create_connection((where.hostname, where.port))
                # Reset when closed: after a normal close, a client may still read the response.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                clients.enter_context(connection).sendall(head + body)
            until(lambda: delays.delayed == count, "a rejection is not delayed")
            assert tracemalloc.get_traced_memory()[0] < count * size / 4
    finally:
        tracemalloc.stop()
    until(lambda: delays.ended == count, "a delay does not end with its connection")


def test_the_body_of_a_wrong_token_is_not_in_memory_during_the_delay(
    limited: Api, delays: Delays, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rejections, "DELAY_S", 10 * DEADLINE_S)
    where = urlsplit(limited.url)
    head = b"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a\r\n"
    with socket.create_connection((where.hostname, where.port), DEADLINE_S) as connection:
        # Sent completely, so the server reads it although no route asks for it.
        connection.sendall(head + b"content-length: 900000\r\n\r\n" + b"a" * 899_999)
        until(lambda: delays.delayed == 1, "a rejection is not delayed")
    until(lambda: delays.ended == 1, "a delay does not end with its connection")
