"""Contacts. Their changes become events on the streams, so that only the owner of a contact writes
it (docs/reference/contacts.md)."""

from typing import Annotated, Any
from uuid import uuid4

from fastapi import Query, Response

from goald.api.auth.access import ContactEdits, ContactReads
from goald.api.dependencies import Dependencies, Deps, Metrics
from goald.api.http.idempotency import REPLAYED_HEADER, Idempotent
from goald.api.http.pagination import RequestedIdPage
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.contacts import ContactAnswer, ContactChange, ContactPage
from goald.api.models.events import PublishedEvent
from goald.api.own_events.publication import publish_own
from goald.api.problems import BadRequest, NotFoundProblem, responses
from goald.domain.contacts.addresses import MAX_EMAIL, MAX_PHONE, email_address, phone_number
from goald.metrics.api import ApiMetrics

router = Router()
_PATH = "/api/v1/contacts/{contact_id}"
_ACCEPTED: Any = {202: {"headers": REPLAYED_HEADER}, **responses(409)}


@router.get(
    "/api/v1/contacts",
    tags=["contacts"],
    summary="List contacts, or look them up by e-mail address or phone number",
    operation_id="list_contacts",
)
async def list_contacts(
    caller: ContactReads,
    deps: Deps,
    page: RequestedIdPage,
    email: Annotated[
        str | None,
        Query(max_length=MAX_EMAIL, description="Only contacts with this address, in any case."),
    ] = None,
    phone: Annotated[
        str | None,
        Query(max_length=MAX_PHONE, description="Only contacts with this number, in any format."),
    ] = None,
    region: Annotated[
        str | None,
        Query(
            pattern="^[A-Z]{2}$",
            description="The country (ISO 3166) of a number without a country code.",
        ),
    ] = None,
) -> ContactPage:
    """Ordered by id. Several contacts may have the same address."""
    tenant = caller.tenant_id
    filters = {"email": _email(email), "phone": _phone(phone, region)}
    listing = page.of((str,), "contacts", tenant, *filters.values())
    async with deps.readers.places.taken_by(tenant):
        found = await deps.readers.contacts.page(tenant, filters, listing.span)
    return ContactPage(
        items=[ContactAnswer.of(row) for row in found.rows],
        next_cursor=listing.cursor(found.next),
    )


@router.get(
    _PATH,
    tags=["contacts"],
    summary="Get a contact",
    operation_id="get_contact",
    responses=responses(404),
)
async def get_contact(contact_id: PathId, caller: ContactReads, deps: Deps) -> ContactAnswer:
    """The values that events have given. A change that was accepted a moment ago may not be visible
    yet."""
    found = await deps.readers.contacts.get(caller.tenant_id, contact_id)
    if found is None:
        raise NotFoundProblem(f"There is no contact {contact_id}")
    return ContactAnswer.of(found)


@router.put(
    _PATH,
    tags=["contacts"],
    summary="Describe a contact, and remove other values",
    operation_id="put_contact",
    status_code=202,
    response_model=PublishedEvent,
    responses=_ACCEPTED,
)
async def put_contact(
    contact_id: PathId,
    caller: ContactEdits,
    deps: Deps,
    metrics: Metrics,
    body: ContactChange,
    idempotent: Idempotent,
) -> Response:
    """Publishes `contact.updated`. The address, the number, the time zone and the attributes that
    the body does not have are removed. `opted_in` is kept if the body does not have it; tags and
    stages change by their own events only."""
    data = {**body.model_dump(exclude_unset=True), "contact_id": contact_id, "replace": True}

    async def put() -> PublishedEvent:
        return await _publish(deps, metrics, caller.tenant_id, "contact.updated", data)

    return await idempotent.execute(caller, 202, put)


@router.patch(
    _PATH,
    tags=["contacts"],
    summary="Change values of a contact",
    operation_id="patch_contact",
    status_code=202,
    response_model=PublishedEvent,
    responses=_ACCEPTED,
)
async def patch_contact(
    contact_id: PathId,
    caller: ContactEdits,
    deps: Deps,
    metrics: Metrics,
    body: ContactChange,
    idempotent: Idempotent,
) -> Response:
    """Publishes `contact.updated`. Values that the body does not have are kept. Creates an unknown
    contact."""
    data = {**body.model_dump(exclude_unset=True), "contact_id": contact_id}

    async def patch() -> PublishedEvent:
        return await _publish(deps, metrics, caller.tenant_id, "contact.updated", data)

    return await idempotent.execute(caller, 202, patch)


@router.delete(
    _PATH,
    tags=["contacts"],
    summary="Delete a contact",
    operation_id="delete_contact",
    status_code=202,
    response_model=PublishedEvent,
    responses=_ACCEPTED,
)
async def delete_contact(
    contact_id: PathId, caller: ContactEdits, deps: Deps, metrics: Metrics, idempotent: Idempotent
) -> Response:
    """Publishes `contact.deleted`, which cancels the enrollments of the contact and erases it
    everywhere. Also for a contact that is not in the list: it may have enrollments."""

    async def delete() -> PublishedEvent:
        data = {"contact_id": contact_id}
        return await _publish(deps, metrics, caller.tenant_id, "contact.deleted", data)

    return await idempotent.execute(caller, 202, delete)


def _email(text: str | None) -> str | None:
    if text is not None and email_address(text) is None:
        raise _invalid("email", "must be an e-mail address")
    return None if text is None else email_address(text)


def _phone(text: str | None, region: str | None) -> str | None:
    number = None if text is None else phone_number(text, region)
    if text is not None and number is None:
        raise _invalid("phone", "must be a phone number with its country code, or have a region")
    return number


def _invalid(parameter: str, detail: str) -> BadRequest:
    return BadRequest(f"{parameter}: {detail}", errors=[{"parameter": parameter, "detail": detail}])


async def _publish(
    deps: Dependencies, metrics: ApiMetrics, tenant: str, kind: str, data: dict[str, Any]
) -> PublishedEvent:
    """Publish one event, with a random id: two equal requests are two events."""
    event_id = str(uuid4())
    await publish_own(deps, metrics, tenant, kind, event_id, data)
    return PublishedEvent(event_id=event_id, type=kind)
