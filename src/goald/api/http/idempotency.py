"""`Idempotency-Key`: a repeated request with the same key gets the first response, and is not
executed twice. For POST routes that create something."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

import structlog
from fastapi import Depends, Header, Request, Response
from pydantic import BaseModel

from goald.api.dependencies import Deps
from goald.api.ports import Caller, IdempotencyStore
from goald.api.problems import ConflictProblem
from goald.api.publishing import PATIENCE_S
from goald.domain.errors import ServiceUnavailable
from goald.domain.idempotency import IdempotencyState, StoredResponse

_log = structlog.stdlib.get_logger(__name__)

REPLAYED = "Idempotency-Replayed"

T = TypeVar("T")

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x20-\x7e]*$",
        description="A repeated request with the same key within 24 hours gets the same response, "
        "with `Idempotency-Replayed: true`, and is not executed again. A different request with "
        "the key, or a repeat while the first request is in progress, gets 409.",
        examples=["7f1c9a52-order-1001"],
    ),
]

REPLAYED_HEADER = {
    REPLAYED: {
        "description": "`true` if this is the response to an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
"""The `headers` of a response in a route's `responses`."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of a request."""

    status: int
    body: BaseModel
    is_final: bool = True
    """False if a repeated request may get another result."""

    @property
    def stored(self) -> StoredResponse:
        return StoredResponse(self.status, self.body.model_dump_json(exclude_none=True).encode())


class IdempotentRequest:
    """A request that is executed at most once per tenant, key and day if it has a key."""

    def __init__(self, request: Request, store: IdempotencyStore, key: str | None) -> None:
        self._request = request
        self._store = store
        self._key = key

    @property
    def key(self) -> str | None:
        """The `Idempotency-Key`."""
        return self._key

    async def execute(
        self, caller: Caller, status: int, action: Callable[[], Awaitable[BaseModel]]
    ) -> Response:
        """As `answer`, for an action whose result always has this status."""

        async def act() -> Answered:
            return Answered(status, await action())

        return await self.answer(caller, act)

    async def answer(self, caller: Caller, action: Callable[[], Awaitable["Answered"]]) -> Response:
        """Return the result of `action` as JSON.

        Only successful responses are stored: an exception of `action` releases the key, so that
        the request can be corrected or retried. So does a result that is not final. Raises
        ConflictProblem for a key in use, and ServiceUnavailable if Redis cannot say whether the
        request was executed. A response that is too large to store (docs/decisions/0017) is
        computed again, which its derived ids make harmless.
        """
        if self._key is None:
            return _response((await action()).stored)
        tenant, digest = caller.tenant_id, await _digest(self._request)
        state = await _with_timeout(self._store.begin(tenant, self._key, digest))
        if isinstance(state, StoredResponse):
            return _response(state, {REPLAYED: "true"})
        if state is IdempotencyState.KEY_REUSED:
            raise ConflictProblem("This Idempotency-Key belongs to a different request")
        if state is IdempotencyState.IN_FLIGHT:
            raise ConflictProblem(
                "A request with this Idempotency-Key is in progress", headers={"Retry-After": "1"}
            )
        kept = None
        try:
            answered = await action()
            kept = answered.stored if answered.is_final else None
        finally:
            try:
                await _with_timeout(self._store.end(tenant, self._key, digest, kept))
            except ServiceUnavailable as error:
                # The action is done, so the caller gets its response. The key expires in a minute.
                _log.warning("cannot store an idempotent response", error=str(error))
        return _response(answered.stored)


async def _idempotent(request: Request, dependencies: Deps, key: Key = None) -> IdempotentRequest:
    return IdempotentRequest(request, dependencies.events.idempotency, key)


Idempotent = Annotated[IdempotentRequest, Depends(_idempotent)]
"""The parameter type for a route that supports `Idempotency-Key`."""


async def _with_timeout(call: Awaitable[T]) -> T:
    """Raise ServiceUnavailable after PATIENCE_S, as a publication without a key does (D6)."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await call
    except TimeoutError:
        raise ServiceUnavailable(f"Redis did not respond within {PATIENCE_S:g} s") from None


async def _digest(request: Request) -> bytes:
    digest = hashlib.sha256()
    for text in (request.method, request.url.path, request.url.query):
        digest.update(f"{len(text)}:{text}".encode())
    digest.update(await request.body())
    return digest.digest()


def _response(stored: StoredResponse, headers: dict[str, str] | None = None) -> Response:
    return Response(stored.body, stored.status, headers, "application/json")
