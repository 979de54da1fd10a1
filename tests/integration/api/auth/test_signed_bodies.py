"""Bodies of unauthenticated callers: how many are read at the same time, and whose (D8)."""

import asyncio
import itertools
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message
from tests.integration.api.auth.test_webhooks import SECRET, event, send, signed
from tests.support.api.client import Api

from goald.api.problems import Unavailable
from goald.api.rejections import Origin, RejectionLimiter
from goald.api.signed_bodies import PlaceLimits, SignedBodyReader, WebhookSender

DEADLINE_S = 20.0
LIMITS = PlaceLimits()
JSON = {"content-type": "application/json"}


def begin_signed(unknown_callers: ExitStack, api: Api, tenant: str, address: str) -> None:
    """Begin a signed webhook from this address, without the end of its body."""
    where = urlsplit(api.url)
    connection = unknown_callers.enter_context(
        socket.create_connection((where.hostname, where.port), source_address=(address, 0))
    )
    connection.sendall(
        b"POST /api/v1/events?tenant=%s&provider=stripe HTTP/1.1\r\nhost: goald\r\n"
        b"content-type: application/json\r\nwebhook-id: a\r\nwebhook-signature: v1,a\r\n"
        b"webhook-timestamp: %d\r\ncontent-length: 1000000\r\n\r\n{"
        % (tenant.encode(), time.time())
    )


def webhook_status(api: Api) -> int:
    return send(api, event(), signed(SECRET, event())).status_code


@pytest.fixture
def webhooks(api: Api) -> Api:
    """An API whose tenants acme and other have a webhook."""
    for tenant in ("acme", "other"):
        client = api.client(tenant)
        assert client.put("/api/v1/webhooks/stripe", json={"secret": SECRET}).status_code == 201
    return api


def test_senders_with_made_up_tenants_do_not_affect_a_webhook(webhooks: Api) -> None:
    with ExitStack() as unknown_callers:
        for number in range(2 * LIMITS.total):
            begin_signed(unknown_callers, webhooks, f"made-up-{number}", f"127.0.0.{number + 1}")
        for _ in range(20):
            assert webhook_status(webhooks) == 202


def test_senders_of_one_tenant_do_not_affect_another_tenants_webhook(webhooks: Api) -> None:
    with ExitStack() as unknown_callers:
        for number in range(LIMITS.total):
            begin_signed(unknown_callers, webhooks, "other", f"127.0.0.{number + 2}")
        for _ in range(20):
            assert webhook_status(webhooks) == 202


def test_one_address_does_not_affect_a_webhook_from_another(webhooks: Api) -> None:
    for number in range(4):
        client = webhooks.client(f"tenant-{number}")
        client.put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    with ExitStack() as unknown_callers:
        for number in range(LIMITS.total):
            begin_signed(unknown_callers, webhooks, f"tenant-{number % 4}", "127.0.0.2")
        for _ in range(20):
            assert webhook_status(webhooks) == 202


def test_a_tenants_own_places_are_bounded_and_do_not_affect_tokens(webhooks: Api) -> None:
    client = webhooks.client("acme")
    with ExitStack() as unknown_callers:
        for number in range(LIMITS.per_tenant):
            begin_signed(unknown_callers, webhooks, "acme", f"127.0.0.{number + 2}")
        deadline = time.monotonic() + DEADLINE_S
        while (answer := send(webhooks, event(), signed(SECRET, event()))).status_code == 202:
            assert time.monotonic() < deadline, "no request is answered with Retry-After"
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert client.post("/api/v1/events", content=event(), headers=JSON).status_code == 202
    deadline = time.monotonic() + DEADLINE_S
    while webhook_status(webhooks) != 202:
        assert time.monotonic() < deadline, "the places are not free again"


class Bodies:
    """Requests to one reader whose bodies arrive when `arrive` is called."""

    def __init__(self, limits: PlaceLimits) -> None:
        self.reader = SignedBodyReader(limits)
        self.begun: list[str] = []
        self._arrived = asyncio.Event()

    def arrive(self) -> None:
        self._arrived.set()

    async def read(self, name: str, tenant: str = "t", address: str = "a") -> bytes:
        async with self.reader.body(self._request(name), WebhookSender(tenant, address)) as body:
            return body

    async def discard(self, name: str, tenant: str = "t", address: str = "a") -> None:
        await self.reader.discard(self._request(name), WebhookSender(tenant, address))

    def _request(self, name: str) -> Request:
        async def receive() -> Message:
            self.begun.append(name)
            await self._arrived.wait()
            return {"type": "http.request", "body": name.encode()}

        return Request({"type": "http", "headers": []}, receive)


async def begin(*calls: "asyncio.Task[bytes] | asyncio.Task[None]") -> None:
    for _ in range(3):
        await asyncio.sleep(0)
    assert not any(call.done() for call in calls)


async def test_a_body_is_not_read_when_the_queue_is_full() -> None:
    bodies = Bodies(PlaceLimits(total=1, queue=1))
    first = asyncio.create_task(bodies.read("first"))
    second = asyncio.create_task(bodies.read("second", "u", "b"))
    await begin(first, second)
    with pytest.raises(Unavailable):
        await bodies.read("third", "v", "c")
    assert bodies.begun == ["first"]

    bodies.arrive()
    assert (await first, await second) == (b"first", b"second")
    assert await bodies.read("fourth") == b"fourth"


@pytest.mark.parametrize("same", ["tenant", "address"])
async def test_requests_of_one_tenant_or_address_wait_while_others_are_read(same: str) -> None:
    bodies = Bodies(PlaceLimits(per_tenant=1, per_address=1))
    name = itertools.count()

    def sender(other: bool) -> dict[str, str]:
        unique = f"unique-{next(name)}"
        if other:
            return {"tenant": unique, "address": unique}
        return {"tenant": "t" if same == "tenant" else unique} | {
            "address": "a" if same == "address" else unique
        }

    first = asyncio.create_task(bodies.read("first", **sender(False)))
    second = asyncio.create_task(bodies.read("second", **sender(False)))
    other = asyncio.create_task(bodies.read("other", **sender(True)))
    await begin(first, second, other)
    assert bodies.begun == ["first", "other"]
    bodies.arrive()
    assert [await each for each in (first, second, other)] == [b"first", b"second", b"other"]


async def test_a_cancelled_request_gives_up_its_place_in_the_queue() -> None:
    bodies = Bodies(PlaceLimits(total=1, queue=1))
    first = asyncio.create_task(bodies.read("first"))
    second = asyncio.create_task(bodies.read("second"))
    await begin(first, second)
    for cancelled in (second, first):
        cancelled.cancel()
        await asyncio.wait({cancelled})
    bodies.arrive()
    assert await bodies.read("third") == b"third"


async def test_senders_without_a_secret_take_no_place_of_those_with_one() -> None:
    bodies = Bodies(PlaceLimits(total=1, per_tenant=1, per_address=1, queue=1))
    unknown = asyncio.create_task(bodies.discard("unknown"))
    waiting = asyncio.create_task(bodies.discard("waiting"))
    known = asyncio.create_task(bodies.read("known"))
    await begin(unknown, waiting, known)
    assert bodies.begun == ["unknown", "known"]
    with pytest.raises(Unavailable):
        await bodies.discard("too many")
    bodies.arrive()
    assert await known == b"known"
    await asyncio.gather(unknown, waiting)


async def test_rejected_callers_of_one_address_are_limited_and_others_are_not(
    make_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Origin] = []
    add = RejectionLimiter.add

    async def counting_add(limiter: RejectionLimiter, origin: Origin) -> None:
        counted.append(origin)
        await add(limiter, origin)

    monkeypatch.setattr(RejectionLimiter, "add", counting_add)
    sent = 0
    api = make_api(api_address_rejections=1)
    client = api.client("acme")
    client.put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    wrong = signed(SECRET, event()) | {"webhook-signature": "v1,wrong"}

    def caller(address: str) -> httpx.AsyncClient:
        transport = httpx.AsyncHTTPTransport(local_address=address, verify=False)
        return httpx.AsyncClient(base_url=api.url, transport=transport, timeout=DEADLINE_S)

    async def status(caller: httpx.AsyncClient, headers: dict[str, str]) -> int:
        path = "/api/v1/events?tenant=acme&provider=stripe"
        return (await caller.post(path, content=event(), headers=headers)).status_code

    found: set[int] = set()
    async with caller("127.0.0.2") as rejected, caller("127.0.0.3") as accepted:
        async with asyncio.timeout(DEADLINE_S):
            while found != {401, 429}:
                found |= set(await asyncio.gather(*(status(rejected, wrong) for _ in range(20))))
                sent += 20
        assert len(counted) == sent, "refusals that are never delayed"
        assert await status(accepted, signed(SECRET, event())) == 202
    assert client.get("/api/v1/webhooks").status_code == 200


async def test_a_webhook_is_accepted_while_others_of_its_address_are_rejected(
    make_api: Callable[..., Api],
) -> None:
    api = make_api(api_address_rejections=1)
    api.client("acme").put("/api/v1/webhooks/stripe", json={"secret": SECRET})
    assert webhook_status(api) == 202  # from now on the address is known for it
    wrong = signed(SECRET, event()) | {"webhook-signature": "v1,wrong"}

    async def made_up(client: httpx.AsyncClient, number: int) -> int:
        path = f"/api/v1/events?tenant=made-up-{number}&provider=stripe"
        return (await client.post(path, content=event(), headers=wrong)).status_code

    found: set[int] = set()
    async with (
        httpx.AsyncClient(base_url=api.url, timeout=DEADLINE_S) as client,
        asyncio.timeout(DEADLINE_S),
    ):
        while 429 not in found:
            attack = [asyncio.create_task(made_up(client, number)) for number in range(20)]
            for _ in range(5):
                assert await asyncio.to_thread(webhook_status, api) == 202
            found |= set(await asyncio.gather(*attack))
