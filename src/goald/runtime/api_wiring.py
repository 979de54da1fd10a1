"""The other half of `runtime.wiring`: what stands behind the ports of the API.

A file of its own, since the daemon's actors have no use for what it imports.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from goald.adapters.postgres.tenants import TenantPool
from goald.api.parts import Parts
from goald.api.ports import TokenVerifier
from goald.api.tokens import JwtVerifier, Secret
from goald.client import Publisher
from goald.domain.errors import GoaldError, SettingsError
from goald.runtime.health import ServicesHealth
from goald.runtime.wiring import configuration_service, system_clock
from goald.settings import Settings, TokenSettings

CLOSE_SECONDS = 1.0
WHAT_TO_SET = (
    "set GOALD_JWT_SECRET (32 characters or more), or GOALD_JWT_ALGORITHM=RS256 and GOALD_JWKS_URL"
)


def api_parts(
    settings: Settings,
    *,
    registry: CollectorRegistry | None = None,
    troubles: Callable[[], list[str]] = list,
) -> Parts:
    """Everything that `api.app.create_app` takes, over the settings' Redis and Postgres.

    `registry`: what /metrics serves; one of its own where None. `troubles`: more reasons not
    to be ready than those two. Connects when it is used; bound to the event loop that uses it
    first; `Parts.close` ends it. Raises SettingsError where tokens cannot be checked.
    """
    tokens = settings.tokens
    if tokens is None:
        raise SettingsError(f"the API cannot check tokens: {WHAT_TO_SET}")
    clock = system_clock()
    pool = TenantPool(settings.postgres.api_dsn, settings.api.connections)
    configuration = configuration_service(settings.postgres.api_dsn)
    events = Publisher(settings.redis.url)
    health = ServicesHealth(pool, settings.redis.url, clock, troubles)

    async def close() -> None:
        with contextlib.suppress(GoaldError):  # then what was not sent was not promised
            await events.aclose(patience_s=CLOSE_SECONDS)
        for part in (configuration, health, pool):
            await part.close()

    return Parts(
        settings=settings.api,
        clock=clock,
        registry=registry if registry is not None else CollectorRegistry(),
        configuration=configuration,
        statistics=_missing(),
        records=_missing(),
        audit=_missing(),
        events=events,
        explainer=_missing(),
        secrets=_missing(),
        tokens=_verifier(tokens),
        quotas=_missing(),
        idempotency=_missing(),
        health=health,
        close=close,
    )


def _verifier(settings: TokenSettings) -> TokenVerifier:
    if settings.secret is None:
        raise SettingsError("keys by a URL are not wired yet")
    return JwtVerifier(settings, Secret(settings.secret.get_secret_value()))


def _missing() -> Any:
    """A part that is not there yet; whoever uses it fails."""
    return None
