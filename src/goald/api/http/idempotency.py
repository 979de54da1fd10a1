"""`Idempotency-Key`: a request that is sent again with the same key is answered again, and not
done twice. For POST routes that make something."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import structlog
from fastapi import Header, Request, Response
from pydantic import BaseModel

from goald.api.dependencies import Dependencies
from goald.api.ports import Caller
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
        description="Sent again with the same key within 24 h, the same request gets the same "
        "answer, with `Idempotency-Replayed: true`, and nothing is done twice. Another request "
        "with that key, or one while the first is still under way, gets 409.",
        examples=["7f1c9a52-order-1001"],
    ),
]

REPLAYED_HEADER = {
    REPLAYED: {
        "description": "`true` where this is the answer to an earlier request with this key",
        "schema": {"type": "string", "enum": ["true"]},
    }
}
"""For the `headers` of an answer in a route's `responses`."""


async def once(
    request: Request,
    parts: Dependencies,
    caller: Caller,
    key: str | None,
    status: int,
    do: Callable[[], Awaitable[BaseModel]],
) -> Response:
    """What `do` gives, as JSON with this status; under a key, done once a tenant and day.

    Only an answer that `do` gave is kept: what it raises leaves the key free, so that the
    request may be mended or tried again. Raises ConflictProblem, and ServiceUnavailable where Redis
    cannot say whether it was done before. What is too much to be kept (decision 17) is done
    again, which its ids make harmless.
    """
    if key is None:
        return _response(StoredResponse(status, _body(await do())))
    tenant, digest = caller.tenant_id, await _digest(request)
    standing = await _in_time(parts.idempotency.begin(tenant, key, digest))
    if isinstance(standing, StoredResponse):
        return _response(standing, {REPLAYED: "true"})
    if standing is IdempotencyState.KEY_REUSED:
        raise ConflictProblem("This Idempotency-Key belongs to another request")
    if standing is IdempotencyState.IN_FLIGHT:
        raise ConflictProblem(
            "A request with this Idempotency-Key is still under way", headers={"Retry-After": "1"}
        )
    answer = None
    try:
        answer = StoredResponse(status, _body(await do()))
    finally:
        try:
            await _in_time(parts.idempotency.end(tenant, key, digest, answer))
        except ServiceUnavailable as error:
            # What was done is done, and is answered; the key is free again in a minute.
            _log.warning("an answer was not kept", error=str(error))
    return _response(answer)


async def _in_time(call: Awaitable[T]) -> T:
    """ServiceUnavailable after PATIENCE_S: a caller with a key waits no longer for a Redis that
    does not answer than one without (D6)."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await call
    except TimeoutError:
        raise ServiceUnavailable(f"Redis did not answer within {PATIENCE_S:g} s") from None


async def _digest(request: Request) -> bytes:
    digest = hashlib.sha256()
    for part in (request.method, request.url.path, request.url.query):
        digest.update(f"{len(part)}:{part}".encode())
    digest.update(await request.body())
    return digest.digest()


def _body(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()


def _response(answer: StoredResponse, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.body, answer.status, headers, "application/json")
