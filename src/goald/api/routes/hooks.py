"""The URLs that providers call: deliveries of sources."""

import hashlib
from typing import Annotated, Any

from fastapi import Path, Response
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from goald.api.addresses import client_key
from goald.api.auth.tokens import is_name
from goald.api.body_memory import BodyOwner
from goald.api.body_stream import release, wait_for_disconnect
from goald.api.dependencies import Dependencies
from goald.api.http.bodies import StrictRequest
from goald.api.http.error_handlers import error_response
from goald.api.http.paths import HOOKS, PathText, with_slashes
from goald.api.http.routing import Route, Router
from goald.api.http.source_urls import public_url
from goald.api.models.sources import DeliveryAccepted
from goald.api.problems import BadRequest, TooLarge, Unauthorized, Unavailable, responses
from goald.metrics.api import ApiMetrics
from goald.sources.delivery import Delivery, headers_by_name

router = Router()
PATH = HOOKS + "{tenant}/{name}/{key}"
_BODY: dict[str, Any] = {
    "requestBody": {
        "description": "The provider's payload.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}, "example": "{}"}},
    }
}
Key = Annotated[str, Path(description="The key from the source's `url`.")]


class HookRoute(Route):
    """A route that serves its requests itself. FastAPI would take a fifth of the time of a delivery
    to convert parameters that are texts already; it only describes the route."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = StrictRequest(scope, receive)
        state = scope["app"].state
        try:
            response = await _answer(request, state.dependencies, state.metrics)
        except Exception as error:
            response = await error_response(request, error)
        finally:
            release(request)
        await response(scope, receive, send)


class HookMiddleware:
    """Passes deliveries to their route. The middleware and the router of the framework, which all
    other requests pass, would do nothing for them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(HOOKS):
            for route in router.routes:
                match, matched = route.matches(scope)
                if match is Match.FULL:
                    scope.update(matched)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _receive_delivery(tenant: PathText, name: PathText, key: Key) -> None:
    """Called by the provider, not by the platform: the URL of the source is given to it. Verifies
    the signature, maps the payload to events, and answers when they are on the streams. A payload
    that means no event gets 200 too, so that the provider does not repeat it. A handshake of the
    provider gets the answer that it expects.

    401 for an unknown tenant or source, a wrong key, and a wrong signature: the response and its
    time are the same. The reason of a wrong signature is in
    `GET /api/v1/sources/{name}/deliveries`. After 429 and 503, the provider should deliver again,
    which changes nothing twice.
    """


router.routes.append(
    HookRoute(
        PATH,
        _receive_delivery,
        methods=["POST"],
        operation_id="receive_delivery",
        summary="Receive a delivery of a provider",
        tags=["sources"],
        response_model=DeliveryAccepted,
        responses=responses(400, 401, 413, 429, 503),
        openapi_extra=_BODY,
    )
)
# The handshake of CloudEvents.
router.routes.append(
    HookRoute(PATH, _receive_delivery, methods=["OPTIONS"], include_in_schema=False)
)


async def _answer(request: StrictRequest, deps: Dependencies, metrics: ApiMetrics) -> Response:
    """Return the response. Nothing of the body is in memory while a rejection is delayed."""
    try:
        return await _received(request, deps, metrics)
    except (Unauthorized, BadRequest, TooLarge):
        release(request)
        await deps.access.rejections.add(client_key(request), lambda: wait_for_disconnect(request))
        raise


async def _received(request: StrictRequest, deps: Dependencies, metrics: ApiMetrics) -> Response:
    """Return the response to an authentic request. Raises Unauthorized for any other."""
    tenant, name, key = (
        with_slashes(request.path_params[part]) for part in ("tenant", "name", "key")
    )
    now_us = deps.clock.now_us()
    is_valid = is_name(tenant) and is_name(name)
    # Before a byte of the body is read: the body of an unknown sender takes no memory.
    stored = await deps.sources.opened.open(tenant, name, key, now_us) if is_valid else None
    digest = hashlib.sha256()
    owner = BodyOwner(tenant if is_valid else "", client_key(request))
    body = await deps.access.signed_bodies.read(
        request, owner, digest.update, keep=stored is not None
    )
    if stored is None:
        raise _unauthorized()
    if body is None:
        raise Unavailable("Too many deliveries with large bodies are being processed")
    delivery = Delivery(
        request.method,
        public_url(request, deps.settings.public_url),
        headers_by_name(request.headers.raw),
        body,
        now_us,
    )
    found = await deps.sources.receiver.receive(tenant, stored, delivery, metrics)
    if found is None:
        raise _unauthorized()
    return Response(found.body, found.status, dict(found.headers))


def _unauthorized() -> Unauthorized:
    return Unauthorized(
        "The URL, its key or the signature is wrong",
        headers={"WWW-Authenticate": 'Bearer realm="goald"'},
    )
