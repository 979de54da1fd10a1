"""The webhook provider against a real HTTP server (X2, X5)."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook
from tests.support.actions.worker_bench import DEADLINE_S, OpenGate, a_job

from goald.adapters.clock import SystemClock
from goald.adapters.providers.http.webhook import SigningSecrets, WebhookProvider
from goald.domain.actions.destinations import DestinationPolicy
from goald.domain.actions.gates import ActionType
from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.domain.ids import TenantId
from goald.ports.actions.jobs import Passed
from goald.workers.entrance import GateRefused
from goald.workers.provider import ActionFailed, CallTooLate

SECRET = "whsec_" + base64.b64encode(b"s" * 24).decode()
WEBHOOK = ActionType("webhook")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def secrets(tenant: TenantId) -> list[str]:
    return [SECRET]


class Receiver:
    """Records requests, and answers with `answer`."""

    def __init__(self) -> None:
        self.requests: list[tuple[web.Request, bytes]] = []
        self.answer: Handler | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request, await request.read()))
        return web.Response(text="ok") if self.answer is None else await self.answer(request)

    def answers(self, status: int, text: str = "", **headers: str) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            fields = {name.replace("_", "-"): value for name, value in headers.items()}
            return web.Response(status=status, text=text, headers=fields)

        self.answer = answer


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver, application = Receiver(), web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[union-attr]
    yield receiver
    await runner.cleanup()


class Gate(OpenGate):
    """A gate that notes how many requests the receiver had when it was passed."""

    def __init__(self, receiver: Receiver | None = None) -> None:
        super().__init__()
        self._receiver = receiver
        self.passed_at: list[int] = []
        self.rejection: Exception | None = None

    async def __call__(self) -> None:
        self.passed_at.append(len(self._receiver.requests) if self._receiver else 0)
        if self.rejection is not None:
            raise self.rejection


@asynccontextmanager
async def a_provider(
    policy: DestinationPolicy | None = None,
    timeout_s: float = 10.0,
    secrets_of: SigningSecrets = secrets,
) -> AsyncIterator[WebhookProvider]:
    allowed = policy or DestinationPolicy(allows_private=True)
    provider = WebhookProvider(allowed, secrets_of, SystemClock(), timeout_s=timeout_s)
    try:
        yield provider
    finally:
        await provider.close()


async def call(
    url: str, gate: Gate | None = None, policy: DestinationPolicy | None = None, **config: Any
) -> Outcome:
    """The outcome of one call."""
    async with a_provider(policy, config.pop("timeout_s", 10.0)) as provider:
        job = a_job(action=WEBHOOK)
        config = {"url": url, "body": {"n": 1}, **config}
        try:
            return (await provider.perform(job, config, gate or Gate())).outcome
        except ActionFailed as failed:
            return failed.outcome


async def test_a_webhook_sends_its_body_with_a_signature_and_the_idempotency_key(
    receiver: Receiver,
) -> None:
    body, headers = {"text": "Jane ünd"}, {"X-Team": "growth"}
    outcome = await call(f"{receiver.url}/a?b=c", body=body, headers=headers, method="PUT")
    assert outcome.kind is OutcomeKind.SUCCESS
    ((request, sent),) = receiver.requests
    assert (request.method, request.path_qs) == ("PUT", "/a?b=c")
    assert json.loads(sent) == body
    assert request.headers["webhook-id"] == a_job().key
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-team"] == "growth"
    assert Webhook(SECRET).verify(sent, dict(request.headers)) == body


async def test_a_receiver_needs_any_one_of_the_secrets(receiver: Receiver) -> None:
    """While the key from which they are derived is being replaced."""
    older = "whsec_" + base64.b64encode(b"o" * 24).decode()
    async with a_provider(secrets_of=lambda tenant: [SECRET, older]) as provider:
        await provider.perform(a_job(action=WEBHOOK), {"url": receiver.url, "body": 1}, Gate())
    ((request, sent),) = receiver.requests
    for each in (SECRET, older):
        assert Webhook(each).verify(sent, dict(request.headers)) == 1


async def test_nothing_is_sent_without_a_secret(receiver: Receiver) -> None:
    """The action waits, because a receiver would refuse a request without a signature."""
    async with a_provider(secrets_of=lambda tenant: []) as provider:
        with pytest.raises(ActionFailed) as failed:
            await provider.perform(a_job(action=WEBHOOK), {"url": receiver.url}, Gate())
    assert failed.value.outcome.kind is OutcomeKind.PAUSE
    assert receiver.requests == []


async def test_the_gate_is_passed_when_the_connection_exists_and_nothing_is_sent(
    receiver: Receiver,
) -> None:
    gate = Gate(receiver)
    async with a_provider() as provider:
        for _ in range(3):
            await provider.perform(a_job(action=WEBHOOK), {"url": receiver.url}, gate)
    assert gate.passed_at == [0, 1, 2]


@pytest.mark.parametrize("body", [{"n": 1}, {"text": "x" * 200_000}, None])
async def test_nothing_is_sent_too_long_after_the_gate_was_passed(
    receiver: Receiver, body: Any
) -> None:
    """aiohttp writes a request some time after it has the connection."""
    gate, config = Gate(receiver), {"url": receiver.url}
    if body is not None:
        config["body"] = body
    async with a_provider() as provider:
        for number in range(2):  # over a new connection, and over the same one
            await provider.perform(a_job(action=WEBHOOK), config, gate)
            assert gate.checks == number + 1
        gate.too_late = CallTooLate("late")
        with pytest.raises(CallTooLate):
            await provider.perform(a_job(action=WEBHOOK), config, gate)
        assert len(receiver.requests) == 2
        gate.too_late = None
        await provider.perform(a_job(action=WEBHOOK), config, gate)
    assert len(receiver.requests) == 3


async def test_nothing_is_sent_if_the_gate_refuses(receiver: Receiver) -> None:
    gate = Gate(receiver)
    gate.rejection = GateRefused("closed", Passed.REFUSED_CLOSED)
    with pytest.raises(GateRefused):
        await call(receiver.url, gate)
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "success"), (204, "success"), (301, "skip"), (307, "skip"), (400, "skip"),
        (404, "skip"), (410, "skip"), (422, "skip"), (401, "pause"), (402, "pause"),
        (403, "pause"), (408, "retry"), (425, "retry"), (429, "rate_limit"), (500, "retry"),
        (503, "retry"),
    ],
)  # fmt: skip
async def test_a_status_decides_the_outcome(receiver: Receiver, status: int, kind: str) -> None:
    receiver.answers(status, location=f"{receiver.url}/elsewhere")
    assert (await call(receiver.url)).kind == kind
    assert len(receiver.requests) == 1  # no redirect is followed


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [("17", 17, 17), ("0", 0, 0), ("9" * 30, 86_400, 86_400), ("soon", 60, 60), ("-5", 60, 60),
     ("Fri, 31 Dec 1999 23:59:59 GMT", 0, 0), ("Fri, 31 Dec 2099 23:59:59 GMT", 86_400, 86_400)],
)  # fmt: skip
async def test_a_rate_limit_says_how_long(
    receiver: Receiver, value: str, least: float, most: float
) -> None:
    receiver.answers(429, retry_after=value)
    outcome = await call(receiver.url)
    assert outcome.delay_s is not None
    assert least <= outcome.delay_s <= most


async def test_a_rate_limit_without_a_time_is_a_minute(receiver: Receiver) -> None:
    receiver.answers(429)
    assert (await call(receiver.url)).delay_s == 60.0


async def test_an_error_shows_nothing_of_the_answer(receiver: Receiver) -> None:
    receiver.answers(400, "no such user jane@example.com")
    assert (await call(receiver.url)).error == "HTTP 400, 29 bytes"


async def test_a_connection_error_is_retried_and_passes_no_gate() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url, gate = f"http://127.0.0.1:{unused.getsockname()[1]}", Gate()
        outcome = await call(url, gate)
    assert (outcome.kind, gate.passed_at) == (OutcomeKind.RETRY, [])


async def test_a_server_that_does_not_answer_is_retried(receiver: Receiver) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(1)
        raise AssertionError

    receiver.answer = answer
    assert (await call(receiver.url, timeout_s=0.2)).kind is OutcomeKind.RETRY


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_a_request_whose_connection_ends_is_sent_once(
    receiver: Receiver, method: str
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with a_provider() as provider:
        config = {"url": receiver.url, "method": method}
        await provider.perform(a_job(action=WEBHOOK), config, Gate())
        receiver.answer = answer
        with pytest.raises(ActionFailed) as failed:
            await provider.perform(a_job(action=WEBHOOK), config, Gate())
    assert failed.value.outcome.kind is OutcomeKind.RETRY
    assert len(receiver.requests) == 2


async def test_slow_calls_delay_no_other_call_to_the_same_host(receiver: Receiver) -> None:
    may_answer = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/slow":
            await may_answer.wait()
        return web.Response()

    receiver.answer = answer
    async with a_provider() as provider:
        slow = [
            asyncio.create_task(
                provider.perform(a_job(n, WEBHOOK), {"url": f"{receiver.url}/slow"}, Gate())
            )
            for n in range(120)
        ]
        async with asyncio.timeout(DEADLINE_S):
            while len(receiver.requests) < 50:
                await asyncio.sleep(0.001)
            job = a_job(action=WEBHOOK, tenant_id=TenantId("beta"))
            await provider.perform(job, {"url": receiver.url}, Gate())
            may_answer.set()
            await asyncio.gather(*slow)


async def test_an_endless_answer_is_cut(receiver: Receiver) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response

    receiver.answer = answer
    assert (await call(receiver.url)).kind is OutcomeKind.SUCCESS


async def test_cookies_of_an_answer_are_not_sent_again(receiver: Receiver) -> None:
    receiver.answers(200, set_cookie="session=1")
    async with a_provider() as provider:
        for _ in range(2):
            await provider.perform(a_job(action=WEBHOOK), {"url": receiver.url}, Gate())
    assert "cookie" not in receiver.requests[1][0].headers


# Private addresses


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
    ],
)
async def test_no_spelling_of_a_private_address_is_connected_to(
    receiver: Receiver, host: str
) -> None:
    gate = Gate()
    url = receiver.url.replace("127.0.0.1", host)
    outcome = await call(url, gate, DestinationPolicy())
    assert outcome.kind in {OutcomeKind.SKIP, OutcomeKind.RETRY}
    assert (receiver.requests, gate.passed_at) == ([], [])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1"])
async def test_a_legacy_form_of_an_address_is_always_refused(receiver: Receiver, host: str) -> None:
    gate = Gate()
    outcome = await call(receiver.url.replace("127.0.0.1", host), gate)
    assert outcome.kind is OutcomeKind.SKIP
    assert "form" in (outcome.error or "")
    assert (receiver.requests, gate.passed_at) == ([], [])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_own_servers_are_refused_always(receiver: Receiver, host: str) -> None:
    port = int(receiver.url.rpartition(":")[2])
    own = [(ip_address("127.0.0.1"), port)]
    policy = DestinationPolicy(allows_private=True, own_servers=own)
    outcome = await call(receiver.url.replace("127.0.0.1", host), policy=policy)
    assert (outcome.kind, receiver.requests) == (OutcomeKind.SKIP, [])


@pytest.mark.parametrize(
    "url",
    ["ftp://example.com/", "http://", "http://u:p@example.com/", "http://a:99999/", "nothing"],
)
async def test_an_invalid_url_is_skipped(url: str) -> None:
    assert (await call(url)).kind is OutcomeKind.SKIP


async def test_a_header_with_a_line_break_is_skipped(receiver: Receiver) -> None:
    outcome = await call(receiver.url, headers={"x-name": "a\r\nx-evil: 1"})
    assert (outcome.kind, receiver.requests) == (OutcomeKind.SKIP, [])
