"""Certificates of providers that sign with them (PayPal)."""

import asyncio
from collections import OrderedDict
from pathlib import Path
from typing import Final

import certifi
import httpx
import structlog

from goald.ports.clock import Clock
from goald.sources.schemes.paypal import MAX_PEM

FRESH_S: Final = 3_600.0
"""How long a certificate is used before it is fetched again."""
COOL_DOWN_S: Final = 10.0
"""How long a URL that failed is not fetched again."""
TIMEOUT_S: Final = 5.0
MAX_KEPT: Final = 32
MAX_FETCHES: Final = 4
"""Concurrent fetches; other deliveries wait."""
_FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)

_log = structlog.stdlib.get_logger(__name__)


class CertificateFetcher:
    """Fetches PEM files by URL, and keeps them. Callers pass only URLs that
    `Scheme.certificate_url` returned: it has the list of hosts. Bound to one event loop."""

    def __init__(
        self,
        clock: Clock,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        roots: bytes | None = None,
    ) -> None:
        """`transport`: in place of connections over verified TLS. `roots`: PEM of the trusted root
        certificates; those of certifi if None."""
        self._clock = clock
        self._transport = transport
        self._roots = roots
        self._client: httpx.AsyncClient | None = None
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        """By URL: until when it is used, and the PEM; empty if it could not be fetched."""
        self._fetching: dict[str, asyncio.Task[bytes]] = {}
        self._places = asyncio.Semaphore(MAX_FETCHES)

    def roots(self) -> bytes:
        """Return the PEM of the root certificates that are trusted."""
        if self._roots is None:
            self._roots = Path(certifi.where()).read_bytes()
        return self._roots

    async def fetch(self, url: str) -> bytes:
        """Return the PEM at a URL; empty if it cannot be fetched within TIMEOUT_S, or is larger
        than MAX_PEM. No redirect is followed. Never raises."""
        until, pem = self._kept.get(url, (0.0, b""))
        if self._clock.monotonic() < until:
            self._kept.move_to_end(url)
            return pem
        task = self._fetching.get(url)
        if task is None:
            task = self._fetching[url] = asyncio.create_task(self._fetch(url))
            task.add_done_callback(lambda _: self._fetching.pop(url, None))
        # Shielded: a caller that disconnects must not cancel the fetch for the others.
        return await asyncio.shield(task)

    async def close(self) -> None:
        for task in list(self._fetching.values()):
            task.cancel()
        if self._client is not None:
            await self._client.aclose()

    async def _fetch(self, url: str) -> bytes:
        pem = b""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._places:
                pem = await self._read(url)
        except _FAILURES as error:  # TimeoutError is an OSError
            _log.warning(
                "cannot fetch a provider's certificate",
                url=url,
                error=str(error) or type(error).__name__,
            )
        kept_s = FRESH_S if pem else COOL_DOWN_S
        self._kept[url] = (self._clock.monotonic() + kept_s, pem)
        self._kept.move_to_end(url)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return pem

    async def _read(self, url: str) -> bytes:
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=TIMEOUT_S, follow_redirects=False, transport=self._transport
            )
        async with self._client.stream("GET", url) as response:
            if response.status_code != 200:
                raise ValueError(f"the response has status {response.status_code}")
            pem = b""
            async for part in response.aiter_bytes():
                pem += part
                if len(pem) > MAX_PEM:
                    raise ValueError(f"the response is larger than {MAX_PEM} bytes")
        return pem
