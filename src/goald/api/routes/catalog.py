"""The catalog: what goals may refer to (3.4, R13)."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from goald.api.auth.access import Edits, PartsOf, Reads
from goald.api.http.exact_numbers import ExactJson
from goald.api.http.pagination import Asked
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import LOCATION, status_of
from goald.api.models.catalog import EntityAnswer, EntityChange, EntityPage
from goald.api.models.editing import Limit
from goald.api.problems import responses
from goald.domain.configuration.goals import CatalogKind
from goald.domain.configuration.workflows import EntityRow

router = Router()

_ENTITY = "/api/v1/catalog/{kind}/{entity_id}"
_MADE = {"description": "Made", "model": EntityAnswer, "headers": LOCATION}


@router.get(
    "/api/v1/catalog/{kind}",
    tags=["catalog"],
    summary="The entities of a kind",
    operation_id="list_entities",
    responses=responses(400),
)
async def list_entities(
    kind: CatalogKind,
    caller: Reads,
    parts: PartsOf,
    limit: Limit = 50,
    cursor: Annotated[
        str | None,
        Query(min_length=1, max_length=1_024, description="The `next_cursor` of the page before."),
    ] = None,
) -> EntityPage:
    """By id."""
    listing = Asked(limit, cursor, None, None).of((str,), "catalog", caller.tenant_id, kind)
    after = str(listing.span.after[0]) if listing.span.after else ""
    rows = await parts.configuration.entities(caller.tenant_id, kind, after, limit + 1)
    shown = rows[:limit]
    is_last = len(rows) <= limit
    return EntityPage(
        items=[_answer(row) for row in shown],
        next_cursor=None if is_last else listing.cursor((shown[-1].id,)),
    )


@router.get(
    _ENTITY,
    tags=["catalog"],
    summary="An entity",
    operation_id="get_entity",
    responses=responses(400, 404),
)
async def get_entity(
    kind: CatalogKind, entity_id: PathId, caller: Reads, parts: PartsOf
) -> EntityAnswer:
    return _answer(await parts.configuration.entity(caller.tenant_id, kind, entity_id))


@router.put(
    _ENTITY,
    tags=["catalog"],
    summary="Make an entity, or change its name",
    operation_id="put_entity",
    response_model=EntityAnswer,
    responses={201: _MADE},
)
async def put_entity(
    kind: CatalogKind, entity_id: PathId, body: EntityChange, caller: Edits, parts: PartsOf
) -> ExactJson:
    """From the first entity of a kind on, goals may refer to those that there are, and no
    others (`GOALD_CATALOG`)."""
    edited = await parts.configuration.put_entity(
        caller.tenant_id, caller.subject, EntityRow(kind, entity_id, body.name)
    )
    where = f"/api/v1/catalog/{kind}/{quote(entity_id, safe='')}"
    headers = {"Location": where} if edited.created else {}
    return ExactJson(_answer(edited.row), status_of(edited), headers)


@router.delete(
    _ENTITY,
    tags=["catalog"],
    summary="Delete an entity",
    operation_id="delete_entity",
    status_code=204,
    responses=responses(404),
)
async def delete_entity(
    kind: CatalogKind, entity_id: PathId, caller: Edits, parts: PartsOf
) -> Response:
    """Goals that refer to it stay, and go on listening; their workflow cannot be activated
    until they do not."""
    await parts.configuration.delete_entity(caller.tenant_id, caller.subject, kind, entity_id)
    return Response(status_code=204)


def _answer(row: EntityRow) -> EntityAnswer:
    return EntityAnswer(kind=row.kind, id=row.id, name=row.name)
