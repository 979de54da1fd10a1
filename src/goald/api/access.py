"""Who may call what: a route takes exactly one of `Reads`, `Edits`, `Writes`, `Audits` as
its parameter `caller`, and `caller.tenant_id` is the tenant that it serves (D8)."""

from typing import Annotated

from fastapi import Depends, Path, Request, Security
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from goald.api.parts import Parts
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


async def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


class Access(SecurityBase):
    """Lets in who has the scope, and counts what the tenant asks for.

    `routing.Route` calls `admit` before it reads a byte of the body, so that whoever may not
    call costs no more than that; the route then takes what was found.
    """

    scheme_name = "token"
    model = BearerModel(
        bearerFormat="JWT",
        description="A JWT with `tenant_id`, `sub` and `scope`. Scopes: "
        + "; ".join(f"`{name}`: {what}" for name, what in SCOPES.items()),
    )

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.scope[_CALLER]
        return caller

    async def admit(self, request: Request) -> None:
        """Raises Unauthorized without a good token, QuotaExceeded where the tenant has asked
        enough in this second, Forbidden without the scope."""
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

    async def identify(self, request: Request, parts: Parts) -> Caller:
        """Who calls, by the bearer token."""
        header = request.headers.get("authorization")
        scheme, token = get_authorization_scheme_param(header)
        if scheme.lower() != "bearer" or not token:
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


PartsOf = Annotated[Parts, Depends(parts_of)]
Reads = Annotated[Caller, Security(Access("workflows:read"), scopes=["workflows:read"])]
Edits = Annotated[Caller, Security(Access("workflows:edit"), scopes=["workflows:edit"])]
Writes = Annotated[Caller, Security(Access("events:write"), scopes=["events:write"])]
Audits = Annotated[Caller, Security(Access("audit:read"), scopes=["audit:read"])]

PathId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=128,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",
        description="1 to 128 characters without control characters",
    ),
]
