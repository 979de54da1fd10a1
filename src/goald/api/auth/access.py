"""Who may call what: a route takes exactly one of `Reads`, `Edits`, `Writes`, `Audits` and
`EventWriter` as its parameter `caller`, and `caller.tenant_id` is the tenant it serves (D8)."""

from typing import Annotated

from fastapi import Depends, Header, Query, Request, Security
from fastapi.openapi.models import APIKey, APIKeyIn
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.openapi.models import SecurityBase as SecuritySchemeModel
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from goald.api.auth.signatures import MIN_SECRET_BYTES, is_signed, is_within_window
from goald.api.auth.tokens import is_name
from goald.api.dependencies import Dependencies
from goald.api.ports import Caller
from goald.api.problems import Forbidden, Unauthorized

SCOPES = {
    "workflows:read": "see workflows, goals, statistics, enrollments and achievements",
    "workflows:edit": "change workflows, goals, the catalog and webhooks",
    "events:write": "send events and enrollments",
    "audit:read": "read the audit log",
}
_CALLER = "goald.caller"
_CHALLENGE = 'Bearer realm="goald"'
_NO_SECRET = bytes(MIN_SECRET_BYTES)
"""Checked with where there is no secret, so that the answer takes as long."""


async def parts_of(request: Request) -> Dependencies:
    parts: Dependencies = request.app.state.parts
    return parts


class Access(SecurityBase):
    """Lets in who has the scope, and counts what the tenant asks for.

    `routing.Route` calls `admit` before it reads a byte of the body, so that whoever may not
    call costs no more than that; the route then takes what was found.
    """

    scheme_name = "token"
    model: SecuritySchemeModel = BearerModel(
        bearerFormat="JWT",
        description="A JWT with `tenant_id`, `sub` and `scope`. Scopes: "
        + "; ".join(f"`{name}`: {what}" for name, what in SCOPES.items()),
    )

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def admit(self, request: Request) -> None:
        """Raises Unauthorized where nobody known calls, QuotaExceeded where the tenant has
        asked enough in this second, Forbidden without the scope."""
        parts = await parts_of(request)
        caller = await self.identify(request, parts)
        await parts.quotas.requests(caller.tenant_id)
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

    async def identify(self, request: Request, parts: Dependencies) -> Caller:
        """Who calls, by the bearer token."""
        given = request.headers.getlist("authorization")
        scheme, token = get_authorization_scheme_param(given[0] if given else None)
        # Of two, a proxy before us may have looked at the other one.
        if scheme.lower() != "bearer" or not token or len(given) > 1:
            raise Unauthorized(
                "This needs a bearer token", headers={"WWW-Authenticate": _CHALLENGE}
            )
        try:
            return await parts.tokens.verify(token)
        except Unauthorized as error:
            error.headers["WWW-Authenticate"] = (
                f'{_CHALLENGE}, error="invalid_token", error_description="{error.detail}"'
            )
            raise


class ByToken(Access):
    """Takes a bearer token, and nothing else."""

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.scope[_CALLER]
        return caller


class Signature(SecurityBase):
    """What OpenAPI says of the signature of a webhook."""

    scheme_name = "webhook"
    model: SecuritySchemeModel = APIKey(
        **{"in": APIKeyIn.header},
        name="webhook-signature",
        description="In place of a token: the body is signed as Standard Webhooks says, with the "
        "secret of the tenant and provider that the query names.",
    )

    async def __call__(
        self,
        tenant: Annotated[str | None, Query(description="of a webhook: whose it is")] = None,
        provider: Annotated[str | None, Query(description="of a webhook: who sends it")] = None,
        webhook_id: Annotated[str | None, Header(description="of a webhook: its id")] = None,
        webhook_timestamp: Annotated[
            str | None, Header(description="of a webhook: when it was signed, Unix seconds")
        ] = None,
    ) -> None:
        """Nothing to do: `ByTokenOrSignature.identify` has checked it."""


class ByTokenOrSignature(Access):
    """Takes the signature of a webhook where there is no `Authorization`."""

    async def __call__(self, request: Request, _: Annotated[None, Depends(Signature())]) -> Caller:
        caller: Caller = request.scope[_CALLER]
        return caller

    async def identify(self, request: Request, parts: Dependencies) -> Caller:
        """Reads the body where it is signed. That there is no such tenant or provider looks
        like a wrong signature, and takes as long."""
        headers, query = request.headers, request.query_params
        if "authorization" in headers or "webhook-signature" not in headers:
            return await super().identify(request, parts)
        tenant, provider = query.get("tenant", ""), query.get("provider", "")
        message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        now_s = parts.clock.now_us() / 1e6
        if (
            is_name(tenant)
            and is_name(provider)
            and is_within_window(timestamp, now_s, parts.settings.webhook_window)
        ):
            async with parts.signed_bodies.body(request) as body:
                secret = await parts.secrets.get(tenant, provider)
                signatures = headers["webhook-signature"]
                is_right = is_signed(secret or _NO_SECRET, message_id, timestamp, signatures, body)
            if is_right and secret is not None:
                return Caller(tenant, f"webhook:{provider}", frozenset({self.scope}))
        raise Unauthorized(
            "There is no such webhook, its signature is wrong, or it was signed too long ago",
            headers={"WWW-Authenticate": _CHALLENGE},
        )


PartsOf = Annotated[Dependencies, Depends(parts_of)]
Reads = Annotated[Caller, Security(ByToken("workflows:read"), scopes=["workflows:read"])]
Edits = Annotated[Caller, Security(ByToken("workflows:edit"), scopes=["workflows:edit"])]
Writes = Annotated[Caller, Security(ByToken("events:write"), scopes=["events:write"])]
Audits = Annotated[Caller, Security(ByToken("audit:read"), scopes=["audit:read"])]
EventWriter = Annotated[
    Caller, Security(ByTokenOrSignature("events:write"), scopes=["events:write"])
]
"""`Writes`, or the provider of a webhook. The body is `await request.body()`, at most 1 MiB."""
