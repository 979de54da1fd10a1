"""The catalog: the entities that goals may refer to."""

from typing import Annotated
from urllib.parse import quote

from fastapi import Query, Response

from goald.api.auth.access import Edits, Reads
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.pagination import PageQuery
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.http.versions import LOCATION, status_of
from goald.api.models.catalog import EntityAnswer, EntityChange, EntityPage
from goald.api.models.requests import Limit
from goald.api.problems import responses
from goald.domain.configuration.goals import CatalogKind
from goald.domain.configuration.workflows import EntityRow

router = Router()

_ENTITY = "/api/v1/catalog/{kind}/{entity_id}"
_CREATED = {"description": "Created", "model": EntityAnswer, "headers": LOCATION}


@router.get(
    "/api/v1/catalog/{kind}",
    tags=["catalog"],
    summary="List the entities of a kind",
    operation_id="list_entities",
    responses=responses(400),
)
async def list_entities(
    kind: CatalogKind,
    caller: Reads,
    deps: Deps,
    limit: Limit = 50,
    cursor: Annotated[
        str | None,
        Query(
            min_length=1, max_length=1_024, description="The `next_cursor` of the previous page."
        ),
    ] = None,
) -> EntityPage:
    """Ordered by id."""
    listing = PageQuery(limit, cursor, None, None).of((str,), "catalog", caller.tenant_id, kind)
    after = str(listing.span.after[0]) if listing.span.after else ""
    async with deps.readers.places.taken_by(caller.tenant_id):
        rows = await deps.configuration.entities(caller.tenant_id, kind, after, limit + 1)
    page = rows[:limit]
    is_last = len(rows) <= limit
    return EntityPage(
        items=[_answer(row) for row in page],
        next_cursor=None if is_last else listing.cursor((page[-1].id,)),
    )


@router.get(
    _ENTITY,
    tags=["catalog"],
    summary="Get an entity",
    operation_id="get_entity",
    responses=responses(400, 404),
)
async def get_entity(
    kind: CatalogKind, entity_id: PathId, caller: Reads, deps: Deps
) -> EntityAnswer:
    return _answer(await deps.configuration.entity(caller.tenant_id, kind, entity_id))


@router.put(
    _ENTITY,
    tags=["catalog"],
    summary="Create an entity, or change its name",
    operation_id="put_entity",
    response_model=EntityAnswer,
    responses={201: _CREATED},
)
async def put_entity(
    kind: CatalogKind, entity_id: PathId, body: EntityChange, caller: Edits, deps: Deps
) -> ExactJson:
    """If a kind has an entity, goals may refer only to existing entities of that kind
    (`GOALD_CATALOG`)."""
    result = await deps.configuration.put_entity(
        caller.tenant_id, caller.subject, EntityRow(kind, entity_id, body.name)
    )
    path = f"/api/v1/catalog/{kind}/{quote(entity_id, safe='')}"
    headers = {"Location": path} if result.created else {}
    return ExactJson(_answer(result.row), status_of(result), headers)


@router.delete(
    _ENTITY,
    tags=["catalog"],
    summary="Delete an entity",
    operation_id="delete_entity",
    status_code=204,
    responses=responses(404),
)
async def delete_entity(
    kind: CatalogKind, entity_id: PathId, caller: Edits, deps: Deps
) -> Response:
    """Goals that refer to the entity stay and keep listening. Their workflow cannot be activated
    while they refer to it."""
    await deps.configuration.delete_entity(caller.tenant_id, caller.subject, kind, entity_id)
    return Response(status_code=204)


def _answer(row: EntityRow) -> EntityAnswer:
    return EntityAnswer(kind=row.kind, id=row.id, name=row.name)
