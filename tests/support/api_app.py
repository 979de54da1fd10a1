"""The application that the tests serve, made of the same parts as the daemon's."""

import importlib
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from goald.adapters.postgres.tenants import TenantPool
from goald.api.app import create_app
from goald.api.parts import Parts
from goald.api.tokens import JwtVerifier, Secret
from goald.client import Publisher
from goald.runtime import wiring
from goald.settings import Settings

SECRET = "a secret that the tests sign their tokens with"


class _NotBuilt:
    """Stands for a part that is not built yet; whoever uses it fails."""

    async def requests(self, tenant: str) -> None:
        """No quota is counted yet."""

    async def events(self, tenant: str, count: int) -> None:
        """No quota is counted yet."""


def _made(module: str, name: str, *given: Any) -> Any:
    try:
        return getattr(importlib.import_module(module), name)(*given)
    except (ImportError, AttributeError):
        return _NotBuilt()


def api_app(settings: Settings) -> FastAPI:
    """The API over these settings' Redis and Postgres; connects when it is used."""
    dsn = settings.postgres.api_dsn
    pool = TenantPool(dsn, settings.api.connections)
    configuration = wiring.configuration_service(dsn)
    events = Publisher(settings.redis.url)
    tokens = settings.api.tokens
    assert tokens is not None
    assert tokens.secret is not None

    async def close() -> None:
        await events.aclose(patience_s=1)
        await configuration.close()
        await pool.close()

    adapters = "goald.adapters.postgres"
    parts = Parts(
        settings=settings.api,
        clock=wiring.system_clock(),
        registry=CollectorRegistry(),
        configuration=configuration,
        statistics=_made(f"{adapters}.statistics", "PostgresStatistics", pool),
        records=_made(f"{adapters}.records", "PostgresRecords", pool),
        audit=_made(f"{adapters}.audit", "PostgresAuditTrail", pool),
        events=events,
        explainer=_made("goald.nothing", "yet"),
        secrets=_made(f"{adapters}.webhook_secrets", "PostgresWebhookSecrets", pool),
        tokens=JwtVerifier(tokens, Secret(tokens.secret.get_secret_value())),
        quotas=_made("goald.nothing", "yet"),
        idempotency=_made("goald.nothing", "yet"),
        health=_made("goald.nothing", "yet"),
        close=close,
    )
    return create_app(parts)
