"""Reads and writes definitions of workflows. The guarantees of `statements` hold here too."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentDefinition,
    DefinitionRow,
    DefinitionVersion,
    RowMetadata,
)
from goald.domain.definitions.documents import document_text

_METADATA = """
revision, goald.us(created_at) AS created_at, goald.us(updated_at) AS updated_at,
goald.us(published_at) AS published_at
"""

CURRENT = f"""
SELECT DISTINCT ON (workflow_id, published_at IS NULL)
    workflow_id, version, document::text AS document, digest, plan, {_METADATA}
FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = ANY ($2::text[]) AND deleted_at IS NULL
ORDER BY workflow_id, published_at IS NULL, version DESC
"""
"""The draft and the newest published version of each workflow."""

LAST = """
SELECT workflow_id, max(version) AS version, max(revision) AS revision
FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = ANY ($2::text[]) GROUP BY workflow_id
"""
"""The greatest numbers of each workflow, those of deleted definitions included."""

VERSION = f"""
SELECT workflow_id, version, document::text AS document, digest, plan, {_METADATA}
FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3 AND deleted_at IS NULL
"""

PAGE_OF_VERSIONS = """
SELECT version, digest, goald.us(created_at) AS created_at, created_by,
    goald.us(updated_at) AS updated_at, updated_by, goald.us(published_at) AS published_at,
    published_by
FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = $2 AND deleted_at IS NULL
ORDER BY version DESC OFFSET $3 LIMIT $4
"""
"""Without the documents, newest first."""

COUNT_VERSIONS = """
SELECT count(*) FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = $2 AND deleted_at IS NULL
"""

_NEXT_REVISION = """
(SELECT coalesce(max(revision), 0) + 1 FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = $2)
"""
"""Deleted versions count, so that no ETag repeats. LOCK_TENANT serialises the changes."""

SAVE = f"""
INSERT INTO goald.workflow_definitions AS d (
    tenant_id, workflow_id, version, document, digest, plan, revision, created_by, updated_by,
    published_at, published_by)
SELECT $1, $2, $3, $4::text::json, $5, $6, {_NEXT_REVISION}, who, who,
    CASE WHEN $6::bytea IS NOT NULL THEN now() END, CASE WHEN $6::bytea IS NOT NULL THEN who END
FROM (SELECT nullif(current_setting('goald.actor', true), '') AS who) AS me
ON CONFLICT (tenant_id, workflow_id, version) DO UPDATE
SET document = excluded.document, digest = excluded.digest, plan = excluded.plan,
    revision = excluded.revision, updated_at = now(), updated_by = excluded.updated_by,
    published_at = excluded.published_at, published_by = excluded.published_by
RETURNING {_METADATA}
"""
"""Creates a draft or a published version, or replaces the draft, also by a published version. Fails
if the version is published."""

DELETE_DRAFT = """
DELETE FROM goald.workflow_definitions
WHERE tenant_id = $1 AND workflow_id = $2 AND published_at IS NULL AND deleted_at IS NULL
"""

RENEW_REVISION = f"""
UPDATE goald.workflow_definitions SET revision = {_NEXT_REVISION}
WHERE tenant_id = $1 AND workflow_id = $2 AND version = $3
RETURNING {_METADATA}
"""
"""Execute before DELETE_DRAFT: readers see the published version from then on, under an ETag that
has not occurred."""


async def read_definitions(
    connection: Any, tenant: str, workflow_ids: Sequence[str]
) -> dict[str, CurrentDefinition]:
    """Return the definitions of these workflows."""
    rows: dict[tuple[str, bool], DefinitionRow] = {}
    for record in await connection.fetch(CURRENT, tenant, workflow_ids):
        row = _definition_row(record)
        rows[row.workflow_id, row.is_published] = row
    return {
        record["workflow_id"]: CurrentDefinition(
            rows.get((record["workflow_id"], False)),
            rows.get((record["workflow_id"], True)),
            record["version"],
        )
        for record in await connection.fetch(LAST, tenant, workflow_ids)
    }


async def read_version(
    connection: Any, tenant: str, workflow_id: str, version: int
) -> DefinitionRow | None:
    """Return a version; None if there is none of this number."""
    row = await connection.fetchrow(VERSION, tenant, workflow_id, version)
    return None if row is None else _definition_row(row)


async def read_versions(
    connection: Any, tenant: str, workflow_id: str, offset: int, limit: int
) -> tuple[list[DefinitionVersion], int]:
    """Return a page of versions, newest first, and the number of all."""
    rows = await connection.fetch(PAGE_OF_VERSIONS, tenant, workflow_id, offset, limit)
    return [DefinitionVersion(**row) for row in rows], await connection.fetchval(
        COUNT_VERSIONS, tenant, workflow_id
    )


async def write_definition(
    connection: Any, tenant: str, change: ConfigurationChange, row: DefinitionRow
) -> ConfigurationChange:
    """Write a draft or a published version. A version that was published before takes the place of
    the draft, which is removed."""
    if row.published_at is not None:
        saved = await connection.fetchrow(RENEW_REVISION, tenant, row.workflow_id, row.version)
        await connection.execute(DELETE_DRAFT, tenant, row.workflow_id)
    else:
        saved = await connection.fetchrow(
            SAVE, tenant, row.workflow_id, row.version, document_text(row.document), row.digest,
            row.plan,
        )  # fmt: skip
    after = replace(row, published_at=saved["published_at"], metadata=_metadata(saved))
    return replace(change, after=after)


def _definition_row(record: Mapping[str, Any]) -> DefinitionRow:
    return DefinitionRow(
        record["workflow_id"],
        record["version"],
        json.loads(record["document"], parse_float=Decimal),
        record["digest"],
        record["plan"],
        record["published_at"],
        _metadata(record),
    )


def _metadata(record: Mapping[str, Any]) -> RowMetadata:
    return RowMetadata(record["revision"], record["created_at"], record["updated_at"])
