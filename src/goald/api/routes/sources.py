"""Sources: webhooks of providers, in the providers' own formats."""

import asyncio
import secrets

from fastapi import Response

from goald.api.auth.access import Edits
from goald.api.dependencies import Dependencies, Deps
from goald.api.http.bodies import StrictRequest
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.source_urls import public_url, source_path
from goald.api.models.sources import (
    Deliveries,
    DeliveryAnswer,
    RotateKeyRequest,
    SourceAnswer,
    SourceRequest,
    Sources,
    TestResult,
)
from goald.api.problems import NotFoundProblem, Unavailable, responses
from goald.api.sources.validation import check_secrets, compiled
from goald.domain.credentials.sources import (
    KEY_BYTES,
    SourceChange,
    SourceEntry,
    digest_of,
    overrides_text,
)
from goald.domain.errors import EncryptionKeyMissing, InvalidConfiguration, NotFound
from goald.sources.delivery import Delivery, headers_by_name
from goald.sources.documents.reading import with_contact

router = Router()
_SOURCE = "/api/v1/sources/{name}"
_PAYLOAD = {
    "requestBody": {
        "description": "The provider's payload, with the provider's headers as headers.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "{}"}},
    }
}


@router.get(
    "/api/v1/sources", operation_id="list_sources", summary="List sources", tags=["sources"]
)
async def list_sources(caller: Edits, deps: Deps) -> Sources:
    """Lists the sources of the tenant by name. Secrets and keys are not returned."""
    rows = await deps.sources.store.list(caller.tenant_id)
    return Sources(items=[_answer(deps, row) for row in rows])


@router.get(
    _SOURCE,
    operation_id="get_source",
    summary="Get a source",
    tags=["sources"],
    responses=responses(404),
)
async def get_source(name: PathId, caller: Edits, deps: Deps) -> SourceAnswer:
    """Returns a source without its secrets and its key."""
    return _answer(deps, await _entry(deps, caller.tenant_id, name))


@router.put(
    _SOURCE,
    operation_id="put_source",
    summary="Create or replace a source",
    tags=["sources"],
    status_code=201,
    response_description="Created",
    responses={200: {"model": SourceAnswer, "description": "Replaced"}, **responses(409)},
)
async def put_source(
    name: PathId, caller: Edits, deps: Deps, response: Response, body: SourceRequest
) -> SourceAnswer:
    """Creates a source, or replaces all of it but its URL. The `url` that the provider must call
    is returned only when the source is created. `notes` name expressions that can find nothing. 400
    lists every fault of the document and of the secrets. 409 if the tenant has too many sources."""
    tenant, key = caller.tenant_id, _new_key()
    overrides = with_contact(body.overrides, body.contact)
    overrides_text(overrides)
    given = None if body.secrets is None else tuple(body.secrets)
    has_public_url = bool(deps.settings.public_url)
    source = await compiled(body.preset, overrides, has_public_url=has_public_url)
    change = SourceChange(body.preset, overrides, digest_of(key), given)
    try:
        await check_secrets(deps.sources.store, tenant, name, source, given)
        created = await deps.sources.store.put(tenant, name, change, caller.subject)
    except EncryptionKeyMissing as error:
        raise Unavailable(str(error)) from None
    deps.sources.opened.forget(tenant, name)
    response.status_code = 201 if created else 200
    url = _url(deps, tenant, name, key) if created else None
    return _answer(deps, await _entry(deps, tenant, name), url)


@router.delete(
    _SOURCE,
    operation_id="delete_source",
    summary="Delete a source",
    tags=["sources"],
    status_code=204,
    responses=responses(404),
)
async def delete_source(name: PathId, caller: Edits, deps: Deps) -> None:
    """Deliveries of the source are refused from now on. Its recorded deliveries are deleted."""
    if not await deps.sources.store.delete(caller.tenant_id, name, caller.subject):
        raise _missing(name)
    deps.sources.opened.forget(caller.tenant_id, name)
    await deps.sources.deliveries.clear(caller.tenant_id, name)


@router.post(
    _SOURCE + "/rotate-key",
    operation_id="rotate_source_key",
    summary="Replace the key in the URL of a source",
    tags=["sources"],
    responses=responses(404),
)
async def rotate_source_key(
    name: PathId, caller: Edits, deps: Deps, body: RotateKeyRequest | None = None
) -> SourceAnswer:
    """Returns the new `url`. The previous URL works for `overlap_seconds`; one before it does not
    work any more."""
    overlap_s = (body or RotateKeyRequest()).overlap_seconds
    expires_us = deps.clock.now_us() + overlap_s * 1_000_000 if overlap_s else None
    tenant, key = caller.tenant_id, _new_key()
    if not await deps.sources.store.rotate_key(
        tenant, name, digest_of(key), expires_us, caller.subject
    ):
        raise _missing(name)
    deps.sources.opened.forget(tenant, name)
    return _answer(deps, await _entry(deps, tenant, name), _url(deps, tenant, name, key))


@router.get(
    _SOURCE + "/deliveries",
    operation_id="list_deliveries",
    summary="List the latest deliveries of a source",
    tags=["sources"],
    responses=responses(404),
)
async def list_deliveries(name: PathId, caller: Edits, deps: Deps) -> Deliveries:
    """Lists the last 100 authentic deliveries and the last 100 others, with their events or the
    reason why there are none. Requests with a wrong key in the path are not recorded. Deliveries
    are kept for 7 days or GOALD_ERASURE, whichever is less."""
    tenant = caller.tenant_id
    await _entry(deps, tenant, name)
    log = deps.sources.deliveries
    verified, unverified = await asyncio.gather(
        log.latest(tenant, name, verified=True), log.latest(tenant, name, verified=False)
    )
    return Deliveries(
        verified=[DeliveryAnswer.of(each) for each in verified],
        unverified=[DeliveryAnswer.of(each) for each in unverified],
    )


@router.post(
    _SOURCE + "/test",
    operation_id="test_source",
    summary="Map a payload without sending anything",
    tags=["sources"],
    response_model=TestResult,
    responses=responses(404, 413),
    openapi_extra=_PAYLOAD,
)
async def test_source(
    request: StrictRequest, name: PathId, caller: Edits, deps: Deps
) -> TestResult:
    """Takes the request of a provider, with a token in place of the key, and returns whether it
    would be trusted and which events it means. Sends and records nothing. A signature in the
    header `Authorization` cannot be tested, because the token is there."""
    stored = await deps.sources.store.load(caller.tenant_id, name)
    if stored is None:
        raise _missing(name)
    headers = headers_by_name(request.headers.raw)
    headers.pop("authorization", None)  # the caller's token
    delivery = Delivery(
        "POST",
        public_url(request, deps.settings.public_url),
        headers,
        await request.body(),
        deps.clock.now_us(),
    )
    result = await deps.sources.receiver.test(caller.tenant_id, stored, delivery)
    return TestResult.of(result, name)


async def _entry(deps: Dependencies, tenant: str, name: str) -> SourceEntry:
    entry = await deps.sources.store.find(tenant, name)
    if entry is None:
        raise _missing(name)
    return entry


def _answer(deps: Dependencies, entry: SourceEntry, url: str | None = None) -> SourceAnswer:
    try:
        source = deps.sources.compiled.of(entry)
    except (InvalidConfiguration, NotFound):
        source = None
    return SourceAnswer.of(entry, source, url)


def _url(deps: Dependencies, tenant: str, name: str, key: str) -> str:
    return deps.settings.public_url + source_path(tenant, name, key)


def _new_key() -> str:
    # From the operating system, not from the injected randomness: it must be unpredictable.
    return secrets.token_urlsafe(KEY_BYTES)


def _missing(name: str) -> NotFoundProblem:
    return NotFoundProblem(f"There is no source {name}")
