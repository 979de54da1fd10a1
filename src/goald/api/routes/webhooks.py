"""Who may send events with a signature in place of a token, and with which secret."""

import secrets

from fastapi import Response

from goald.api.auth import signatures
from goald.api.auth.access import Edits, PartsOf
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.webhooks import WantedSecret, Webhook, Webhooks, WebhookSecret
from goald.api.problems import NotFoundProblem, responses
from goald.domain.times import rfc3339

router = Router()
_MADE_BYTES = 32


@router.put(
    "/api/v1/webhooks/{provider}",
    operation_id="put_webhook",
    summary="Set a provider's secret",
    tags=["webhooks"],
    status_code=201,
    response_description="There was none before",
    responses={200: {"model": WebhookSecret, "description": "It replaces the one before"}},
)
async def put_webhook(
    provider: PathId,
    caller: Edits,
    parts: PartsOf,
    response: Response,
    wanted: WantedSecret | None = None,
) -> WebhookSecret:
    """Sets what this provider signs with, or makes it where the body gives none. The secret
    is in this answer and in no other. One that was set before is no longer good."""
    given = wanted.secret if wanted is not None else None
    # Randomness is the operating system's here: a secret must not be that of another run.
    secret = signatures.parse_secret(given) if given else secrets.token_bytes(_MADE_BYTES)
    is_new = await parts.secrets.put(caller.tenant_id, provider, secret, caller.subject)
    response.status_code = 201 if is_new else 200
    return WebhookSecret(provider=provider, secret=signatures.format_secret(secret))


@router.get(
    "/api/v1/webhooks", operation_id="list_webhooks", summary="List webhooks", tags=["webhooks"]
)
async def list_webhooks(caller: Edits, parts: PartsOf) -> Webhooks:
    """The providers that may send events by signature; never their secrets."""
    held = await parts.secrets.list(caller.tenant_id)
    return Webhooks(items=[Webhook(provider=name, created_at=rfc3339(made)) for name, made in held])


@router.delete(
    "/api/v1/webhooks/{provider}",
    operation_id="delete_webhook",
    summary="Remove a webhook",
    tags=["webhooks"],
    status_code=204,
    responses=responses(404),
)
async def delete_webhook(provider: PathId, caller: Edits, parts: PartsOf) -> None:
    """What this provider signs is no longer taken."""
    if not await parts.secrets.delete(caller.tenant_id, provider, caller.subject):
        raise NotFoundProblem(f"There is no webhook {provider}")
