"""The application that the tests serve, made of the same parts as the daemon's."""

import importlib
from typing import Any

from fastapi import FastAPI

from goald.settings import Settings

SECRET = "a secret that the tests sign their tokens with"


class _NotBuilt:
    """Stands for a part that is not built yet; whoever uses it fails."""


def _made(module: str, name: str, *given: Any) -> Any:
    try:
        return getattr(importlib.import_module(module), name)(*given)
    except (ImportError, AttributeError):
        return _NotBuilt()


def api_app(settings: Settings) -> FastAPI:
    """The API over these settings' Redis and Postgres; connects when it is used."""
    from goald.api.app import create_app
    from prometheus_client import CollectorRegistry

    from goald.api.parts import Parts
    from goald.runtime import wiring

    pool = _made(
        "goald.adapters.postgres.tenants",
        "TenantPool",
        settings.postgres.api_dsn,
        settings.api.connections,
    )
    parts = Parts(
        settings=settings.api,
        clock=wiring.system_clock(),
        registry=CollectorRegistry(),
        configuration=wiring.configuration_service(settings.postgres.api_dsn),
        statistics=_made("goald.adapters.postgres.statistics", "PostgresStatistics", pool),
        records=_made("goald.adapters.postgres.records", "PostgresRecords", pool),
        audit=_made("goald.adapters.postgres.audit", "PostgresAuditTrail", pool),
        events=_NotBuilt(),  # type: ignore[arg-type]
        explainer=_NotBuilt(),  # type: ignore[arg-type]
        secrets=_made("goald.adapters.postgres.webhook_secrets", "PostgresWebhookSecrets", pool),
        tokens=_made("goald.api.tokens", "Tokens", settings.api.tokens),
        quotas=_made("goald.adapters.redis_streams.quotas", "RedisQuotas", settings),
        idempotency=_NotBuilt(),  # type: ignore[arg-type]
        health=_NotBuilt(),  # type: ignore[arg-type]
    )
    return create_app(parts)
