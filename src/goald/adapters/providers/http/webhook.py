"""Webhooks: HTTP requests with a Standard Webhooks signature."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import orjson
from standardwebhooks.webhooks import Webhook
from yarl import URL

from goald.adapters.providers.http.connections import (
    ENTER,
    TENANT,
    CheckedResolver,
    GatedConnector,
)
from goald.domain.actions.destinations import (
    DestinationPolicy,
    DestinationRefused,
    literal_address,
)
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import MAX_DELAY_S, Outcome, OutcomeKind, http_outcome
from goald.domain.ids import TenantId
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, CallTooLate, Enter, Performed

TIMEOUT_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 64 << 10
"""How much of an answer is read."""
_KEEP_ALIVE_S: Final = 4.0
"""Shorter than most servers keep connections, so that requests rarely meet a closed one."""

SigningSecrets = Callable[[TenantId], Sequence[str]]
"""Returns the secrets (`whsec_…`) of a tenant, of which the receiver needs to know one. Does not
block."""


class WebhookProvider:
    """A `Provider` of `webhook`. Follows no redirect, keeps no cookie, uses no proxy, and connects
    to checked addresses only. Bound to one event loop."""

    def __init__(
        self,
        policy: DestinationPolicy,
        secrets: SigningSecrets,
        clock: Clock,
        *,
        timeout_s: float = TIMEOUT_S,
        connections: int = 500,
    ) -> None:
        """`connections`: the most open connections; at least as many as the places of the
        worker."""
        self._policy = policy
        self._secrets = secrets
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    @property
    def is_keyed(self) -> bool:
        """Receivers recognise a repeated `webhook-id`, as Standard Webhooks asks them to."""
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        url = self._url(config)
        body = orjson.dumps(config["body"]) if "body" in config else b""
        headers = self._headers(job, config, body)
        passage = _Passage(enter)
        ENTER.set(passage)
        TENANT.set(job.tenant_id)
        try:
            async with self._open().request(
                config.get("method", "POST"), url, data=body, headers=headers,
                allow_redirects=False,
            ) as response:  # fmt: skip
                answer = await _read(response)
        except DestinationRefused as error:
            raise ActionFailed(str(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if passage.too_late is not None:
                raise passage.too_late from None
            what = "did not answer" if passage.is_passed else "cannot be reached"
            text = f"{url.host} {what}: {type(error).__name__}"
            raise ActionFailed(Outcome(OutcomeKind.RETRY, text)) from error
        except ValueError as error:  # an invalid header or URL
            raise ActionFailed(f"the request is invalid: {type(error).__name__}") from error
        return Performed(self._outcome(response, answer))

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = GatedConnector(
                resolver=CheckedResolver(self._policy),
                use_dns_cache=False,
                keepalive_timeout=_KEEP_ALIVE_S,
                limit=self._connections,
                limit_per_host=0,  # or a tenant's slow calls would delay others to the same host
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _url(self, config: Mapping[str, Any]) -> URL:
        """The URL. The resolver checks names; aiohttp does not ask it about addresses."""
        try:
            url = URL(str(config["url"]))
            port = url.port or 0
        except ValueError as error:
            raise ActionFailed("the URL is invalid") from error
        if url.scheme not in ("http", "https") or not url.host or url.user is not None:
            raise ActionFailed("the URL is invalid")
        try:
            address = literal_address(url.host)
            if address is not None:
                self._policy.check([str(address)], port)
        except DestinationRefused as error:
            raise ActionFailed(str(error)) from error
        return url

    def _headers(self, job: Job, config: Mapping[str, Any], body: bytes) -> dict[str, str]:
        now = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
        secrets = self._secrets(job.tenant_id)
        if not secrets:
            raise ActionFailed(Outcome(OutcomeKind.PAUSE, "goald has no key to sign webhooks with"))
        text = body.decode()
        signature = " ".join(Webhook(each).sign(job.key, now, text) for each in secrets)
        return {
            **{str(name): str(value) for name, value in config.get("headers", {}).items()},
            "content-type": "application/json",
            "user-agent": "goald",
            "webhook-id": job.key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signature,
        }

    def _outcome(self, response: aiohttp.ClientResponse, answer: bytes) -> Outcome:
        # No part of the answer: it may repeat anything of the request.
        error = f"HTTP {response.status}, {len(answer):,} bytes"
        retry_after = self._retry_after_s(response.headers.get("retry-after"))
        return http_outcome(response.status, retry_after, error)

    def _retry_after_s(self, value: str | None) -> float | None:
        """Seconds from a `Retry-After`, which has seconds or a date; None for any other text."""
        if value is None:
            return None
        if value.isascii() and value.isdecimal():
            return min(float(value[:9]), MAX_DELAY_S)
        try:
            at = parsedate_to_datetime(value).timestamp()
        except (ValueError, OverflowError):
            return None
        return min(max(0.0, at - self._clock.now_us() / 1e6), MAX_DELAY_S)


class _Passage:
    """The gate of one request."""

    def __init__(self, enter: Enter) -> None:
        self._enter = enter
        self.is_passed = False
        self.too_late: CallTooLate | None = None
        """Set if nothing was written; aiohttp reports it as a lost connection."""

    async def __call__(self) -> None:
        if self.is_passed:  # aiohttp would send a request again whose connection was lost
            raise aiohttp.ServerDisconnectedError
        await self._enter()
        self.is_passed = True

    def check(self) -> None:
        try:
            self._enter.check()
        except CallTooLate as error:
            self.too_late = error
            raise


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer. The connection is closed if there is more."""
    answer = bytearray()
    async for chunk in response.content.iter_chunked(8 << 10):
        answer += chunk
        if len(answer) >= MAX_ANSWER_BYTES:
            response.close()
            break
    return bytes(answer[:MAX_ANSWER_BYTES])
