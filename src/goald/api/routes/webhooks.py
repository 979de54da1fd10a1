"""Webhooks: providers that send events with a signature in place of a token, and their secrets."""

import secrets

from fastapi import Response

from goald.api.auth import signatures
from goald.api.auth.access import Edits
from goald.api.dependencies import Deps
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.webhooks import Webhook, WebhookRequest, Webhooks, WebhookSecret
from goald.api.problems import NotFoundProblem, Unavailable, responses
from goald.domain.credentials.webhooks import SigningSecret
from goald.domain.errors import EncryptionKeyMissing
from goald.domain.times import rfc3339

router = Router()
_SECRET_BYTES = 32


@router.put(
    "/api/v1/webhooks/{provider}",
    operation_id="put_webhook",
    summary="Set a provider's secret and permissions",
    tags=["webhooks"],
    status_code=201,
    response_description="Created",
    responses={200: {"model": WebhookSecret, "description": "Replaced"}, **responses(409)},
)
async def put_webhook(
    provider: PathId,
    caller: Edits,
    deps: Deps,
    response: Response,
    body: WebhookRequest | None = None,
) -> WebhookSecret:
    """Sets the secret that the provider signs with, or generates one if the body has none, and the
    event types and sources that the provider may send. Replaces a previous webhook: its secret
    becomes invalid. The secret is returned in this response only. 409 if the tenant has 100
    webhooks and this would be a new one."""
    body = body or WebhookRequest()
    # From the operating system, not from the injected randomness: it must be unpredictable.
    secret = (
        secrets.token_bytes(_SECRET_BYTES)
        if body.secret is None
        else signatures.parse_secret(body.secret)
    )
    try:
        created = await deps.access.webhook_secrets.put(
            caller.tenant_id, provider, SigningSecret(secret, body.grant), caller.subject
        )
    except EncryptionKeyMissing as error:
        raise Unavailable(str(error)) from None
    response.status_code = 201 if created else 200
    return WebhookSecret(
        provider=provider,
        secret=signatures.format_secret(secret),
        types=sorted(body.grant.types),
        sources=None if body.grant.sources is None else sorted(body.grant.sources),
    )


@router.get(
    "/api/v1/webhooks", operation_id="list_webhooks", summary="List webhooks", tags=["webhooks"]
)
async def list_webhooks(caller: Edits, deps: Deps) -> Webhooks:
    """Lists the providers that may send signed webhooks to goald, with their permissions. Secrets
    are not returned."""
    async with deps.readers.places.taken_by(caller.tenant_id):
        rows = await deps.access.webhook_secrets.list(caller.tenant_id)
    return Webhooks(
        items=[
            Webhook(
                provider=row.provider,
                created_at=rfc3339(row.created_at_us),
                types=list(row.grant.types),
                sources=None if row.grant.sources is None else list(row.grant.sources),
            )
            for row in rows
        ]
    )


@router.delete(
    "/api/v1/webhooks/{provider}",
    operation_id="delete_webhook",
    summary="Delete a webhook",
    tags=["webhooks"],
    status_code=204,
    responses=responses(404),
)
async def delete_webhook(provider: PathId, caller: Edits, deps: Deps) -> None:
    """Events that the provider signs are refused from now on."""
    if not await deps.access.webhook_secrets.delete(caller.tenant_id, provider, caller.subject):
        raise NotFoundProblem(f"There is no webhook {provider}")
