"""Certificates of providers are fetched once, within bounds."""

from collections.abc import Callable

import httpx
import pytest

from goald.adapters.memory.clock import ManualClock
from goald.api.sources.certificates import COOL_DOWN_S, FRESH_S, MAX_KEPT, CertificateFetcher
from goald.sources.schemes.paypal import MAX_PEM

URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"
Respond = Callable[[httpx.Request], httpx.Response]


class Server:
    """In place of PayPal's."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self.respond: Respond = lambda _: httpx.Response(200, content=b"PEM")

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.urls.append(str(request.url))
        return self.respond(request)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fetcher(server: Server, clock: ManualClock) -> CertificateFetcher:
    return CertificateFetcher(clock, transport=httpx.MockTransport(server), roots=b"ROOTS")


async def test_a_certificate_is_fetched_once_and_again_when_it_is_old(
    fetcher: CertificateFetcher, server: Server, clock: ManualClock
) -> None:
    assert [await fetcher.fetch(URL) for _ in range(3)] == [b"PEM"] * 3
    assert server.urls == [URL]
    await clock.advance(FRESH_S + 1)
    assert await fetcher.fetch(URL) == b"PEM"
    assert len(server.urls) == 2


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(302, headers={"location": "https://evil.example/cert"}),
        httpx.Response(404),
        httpx.Response(200, content=b"x" * (MAX_PEM + 1)),
    ],
)
async def test_a_redirect_an_error_or_a_large_file_is_no_certificate(
    fetcher: CertificateFetcher, server: Server, clock: ManualClock, response: httpx.Response
) -> None:
    server.respond = lambda _: response
    assert [await fetcher.fetch(URL) for _ in range(2)] == [b"", b""]
    assert server.urls == [URL], "a failure is not repeated immediately, and no redirect followed"

    server.respond = lambda _: httpx.Response(200, content=b"PEM")
    await clock.advance(COOL_DOWN_S + 1)
    assert await fetcher.fetch(URL) == b"PEM"


async def test_few_certificates_are_kept(fetcher: CertificateFetcher, server: Server) -> None:
    for number in range(MAX_KEPT + 1):
        await fetcher.fetch(f"{URL}{number}")
    await fetcher.fetch(f"{URL}0")

    assert server.urls.count(f"{URL}0") == 2


async def test_an_unreachable_host_is_no_certificate(clock: ManualClock) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    fetcher = CertificateFetcher(clock, transport=httpx.MockTransport(fail))
    assert await fetcher.fetch(URL) == b""
    assert b"BEGIN CERTIFICATE" in fetcher.roots()
