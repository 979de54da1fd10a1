"""Access to routes: a route takes exactly one of `Reads`, `Edits`, `Writes`, `Audits`,
`ContactReads`, `ContactEdits`, `ExecutionReads`, `ExecutionEdits` and `EventWriter` as its
parameter `caller`, and serves the tenant `caller.tenant_id` (D8)."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.openapi.models import SecurityBase as SecuritySchemeModel
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from goald.api.addresses import client_key
from goald.api.auth.signatures import SignatureCheck, is_within_window
from goald.api.auth.tokens import is_name
from goald.api.body_memory import BodyOwner
from goald.api.body_stream import provide_body, release, reserve, wait_for_disconnect
from goald.api.dependencies import Dependencies, dependencies_of
from goald.api.ports import Caller
from goald.api.problems import BadRequest, Forbidden, TooLarge, Unauthorized, Unavailable

EXECUTIONS_SCOPE = "executions:read"
SCOPES = {
    "workflows:read": "read workflows, goals, statistics, enrollments and achievements",
    "workflows:edit": "change workflows, goals, settings, the catalog and webhooks",
    "events:write": "send events and enrollments",
    "audit:read": "read the audit log",
    "contacts:read": "read contacts",
    "contacts:edit": "change and delete contacts",
    EXECUTIONS_SCOPE: "read executions of workflows and their log",
    "executions:edit": "start, cancel and retry executions",
}
_CALLER = "goald.caller"
_CHALLENGE = 'Bearer realm="goald"'
_WRONG_TIME = (
    "The time in webhook-timestamp must be in whole seconds since 1970, and within {:g} s of "
    "goald's clock (GOALD_WEBHOOK_WINDOW). Check the clock of the sender, and sign a request again "
    "when it is repeated"
)


class Access(SecurityBase):
    """Admits callers with a scope, and counts the requests of their tenant.

    `routing.Route` calls `admit` before it reads the body, so that refused requests cost little.
    The route then receives the caller.
    """

    scheme_name = "token"
    model: SecuritySchemeModel = BearerModel(
        bearerFormat="JWT",
        description="A JWT with `tenant_id`, `sub` and `scope`. Scopes: "
        + "; ".join(f"`{name}`: {description}" for name, description in SCOPES.items()),
    )

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def admit(self, request: Request) -> None:
        """Raise Unauthorized without valid credentials, later if many callers of the same address
        were refused; QuotaExceeded if the tenant exceeded its requests of this second; Forbidden
        without the scope. Nothing of the body is in memory while a response is delayed."""
        dependencies = await dependencies_of(request)
        access, address = dependencies.access, client_key(request)
        try:
            caller = await self.identify(request, dependencies)
        except (Unauthorized, BadRequest, TooLarge):
            release(request)
            await access.rejections.add(address, lambda: wait_for_disconnect(request))
            raise
        reserve(request, access.bodies, BodyOwner(caller.tenant_id, address))
        await access.quotas.requests(caller.tenant_id)
        if self.scope not in caller.scopes:
            raise Forbidden(
                f"This needs the scope {self.scope}",
                headers={
                    "WWW-Authenticate": f'{_CHALLENGE}, error="insufficient_scope", '
                    f'scope="{self.scope}"'
                },
                error="insufficient_scope",
                scope=self.scope,
            )
        request.scope[_CALLER] = caller

    async def identify(self, request: Request, dependencies: Dependencies) -> Caller:
        """Return the caller that the bearer token identifies. Raises Unauthorized."""
        values = request.headers.getlist("authorization")
        scheme, token = get_authorization_scheme_param(values[0] if values else None)
        # With two headers, a proxy may have checked the other one.
        if scheme.lower() != "bearer" or not token or len(values) > 1:
            raise Unauthorized(
                "This needs a bearer token", headers={"WWW-Authenticate": _CHALLENGE}
            )
        try:
            return await dependencies.access.tokens.verify(token)
        except Unauthorized as error:
            error.headers["WWW-Authenticate"] = (
                f'{_CHALLENGE}, error="invalid_token", error_description="{error.detail}"'
            )
            raise


class ByToken(Access):
    """Accepts a bearer token only."""

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.scope[_CALLER]
        return caller


class Signature(SecurityBase):
    """The OpenAPI description of a webhook signature."""

    scheme_name = "webhook"
    model: SecuritySchemeModel = APIKey(
        **{"in": APIKeyIn.header},
        name="webhook-signature",
        description="In place of a token: a signature of the body as Standard Webhooks defines it, "
        "with the secret of the tenant and the provider in the query.",
    )

    async def __call__(
        self,
        tenant: Annotated[str | None, Query(description="The tenant of the webhook.")] = None,
        provider: Annotated[str | None, Query(description="The provider of the webhook.")] = None,
        webhook_id: Annotated[str | None, Header(description="The id of the webhook.")] = None,
        webhook_timestamp: Annotated[
            str | None, Header(description="When the webhook was signed, in Unix seconds.")
        ] = None,
    ) -> None:
        """Does nothing: `ByTokenOrSignature.identify` verifies the signature."""


class ByTokenOrSignature(Access):
    """Accepts a bearer token or, if there is no `Authorization` header, a webhook signature."""

    async def __call__(self, request: Request, _: Annotated[None, Depends(Signature())]) -> Caller:
        caller: Caller = request.scope[_CALLER]
        return caller

    async def identify(self, request: Request, dependencies: Dependencies) -> Caller:
        """Return the caller. Reads the body if it is signed. Without the secret, an unknown tenant
        or provider is indistinguishable from a wrong signature, also by the response time. Raises
        BadRequest or TooLarge for the body; Unavailable if the signature is correct but there was
        no memory for the body; Unauthorized."""
        if not _is_signed_request(request):
            return await super().identify(request, dependencies)
        caller = await self._verified(request, dependencies)
        if caller is not None:
            return caller
        raise _unauthorized("The webhook does not exist, or its signature is wrong")

    async def _verified(self, request: Request, dependencies: Dependencies) -> Caller | None:
        """Return the sender of a signed request, None if it is not verified. Nothing refers to the
        body then. Raises Unauthorized for the time, before the body is read."""
        headers, query, access = request.headers, request.query_params, dependencies.access
        tenant, provider = query.get("tenant", ""), query.get("provider", "")
        timestamp = headers.get("webhook-timestamp", "")
        now_s = dependencies.clock.now_us() / 1e6
        window_s = dependencies.settings.webhook_window
        if not is_within_window(timestamp, now_s, window_s):
            # The same for every tenant and provider, whether they exist or not.
            raise _unauthorized(_WRONG_TIME.format(window_s))
        if not (is_name(tenant) and is_name(provider)):
            return None
        # Before a byte of the body is read: the body of an unknown sender takes no memory.
        found = await access.webhook_secrets.get(tenant, provider)
        secret = found.secret if found is not None else b""
        check = SignatureCheck(secret, headers.get("webhook-id", ""), timestamp)
        sender = BodyOwner(tenant, client_key(request))
        body = await access.signed_bodies.read(request, sender, check.add, keep=found is not None)
        if not check.matches(headers["webhook-signature"]) or found is None:
            return None
        if body is None:
            raise Unavailable("Too many signed requests with large bodies are being processed")
        provide_body(request, body)
        return Caller(tenant, f"webhook:{provider}", frozenset({self.scope}), found.grant)


def _unauthorized(detail: str) -> Unauthorized:
    return Unauthorized(detail, headers={"WWW-Authenticate": _CHALLENGE})


def _is_signed_request(request: Request) -> bool:
    return "authorization" not in request.headers and "webhook-signature" in request.headers


Reads = Annotated[Caller, Security(ByToken("workflows:read"), scopes=["workflows:read"])]
Edits = Annotated[Caller, Security(ByToken("workflows:edit"), scopes=["workflows:edit"])]
Writes = Annotated[Caller, Security(ByToken("events:write"), scopes=["events:write"])]
ContactReads = Annotated[Caller, Security(ByToken("contacts:read"), scopes=["contacts:read"])]
ContactEdits = Annotated[Caller, Security(ByToken("contacts:edit"), scopes=["contacts:edit"])]
ExecutionReads = Annotated[Caller, Security(ByToken(EXECUTIONS_SCOPE), scopes=[EXECUTIONS_SCOPE])]
ExecutionEdits = Annotated[Caller, Security(ByToken("executions:edit"), scopes=["executions:edit"])]
Audits = Annotated[Caller, Security(ByToken("audit:read"), scopes=["audit:read"])]
EventWriter = Annotated[
    Caller, Security(ByTokenOrSignature("events:write"), scopes=["events:write"])
]
"""`Writes`, or the provider of a webhook. The body is `await request.body()`, at most 1 MiB."""
