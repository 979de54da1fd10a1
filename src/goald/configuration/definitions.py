"""Definitions of workflows: drafts, versions and their publication."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from goald.configuration.compiled_definitions import compile_document, form_only, invalid_definition
from goald.configuration.executor import ChangeExecutor, EditResult
from goald.configuration.ports import ConfigurationStore
from goald.domain.configuration.catalog import CatalogCheck, catalog_after
from goald.domain.configuration.definition_edits import (
    newest_definition,
    publish_draft,
    put_definition,
)
from goald.domain.configuration.edits import ExpectedVersion, workflow_of
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    ConfigurationScope,
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionRow,
    DefinitionVersion,
)
from goald.domain.definitions.differences import StepDifference, compare_definitions
from goald.domain.definitions.documents import document_digest, document_text
from goald.domain.definitions.faults import DefinitionFault
from goald.domain.definitions.readers.definition import read_definition
from goald.domain.definitions.references import EntityReference, missing_references
from goald.domain.errors import NotFound


@dataclass(frozen=True, slots=True)
class DefinitionView:
    """A version of a definition, its faults, and its differences from the published version."""

    row: DefinitionRow
    faults: tuple[DefinitionFault, ...] = ()
    """Of a draft: why it cannot be published. References are checked when it is published."""
    differences: tuple[StepDifference, ...] | None = None
    """How the steps differ from the version that was published before; None if there is none, or
    if the draft has faults."""


class DefinitionService:
    """Reads, changes and publishes definitions. Documents are read in a thread, because the largest
    take up to a second. Each call may raise ServiceUnavailable, in which case nothing was
    changed."""

    def __init__(
        self, store: ConfigurationStore, executor: ChangeExecutor, check: CatalogCheck
    ) -> None:
        self._store = store
        self._executor = executor
        self._check = check

    async def newest(self, tenant: str, workflow_id: str) -> DefinitionView:
        """Return the draft, or the published version without a draft. Raises NotFound."""
        current = await self._load(tenant, workflow_id)
        row = newest_definition(current, workflow_id)
        if row.is_published:
            return DefinitionView(row)
        return await asyncio.to_thread(_view, row, current.definitions[workflow_id].published)

    async def version(self, tenant: str, workflow_id: str, version: int) -> DefinitionView:
        """Return a version. Raises NotFound."""
        await self._require_workflow(tenant, workflow_id)
        row = await self._store.definition(tenant, workflow_id, version)
        if row is None:
            raise NotFound(f"The definition of {workflow_id} has no version {version}")
        if row.is_published:
            return DefinitionView(row)
        return await asyncio.to_thread(_view, row, None)

    async def versions(
        self, tenant: str, workflow_id: str, offset: int, limit: int
    ) -> tuple[list[DefinitionVersion], int]:
        """Return up to `limit` versions, newest first, and the total number. Raises NotFound for an
        unknown workflow."""
        await self._require_workflow(tenant, workflow_id)
        rows, total = await self._store.definitions(tenant, workflow_id, offset, limit)
        return list(rows), total

    async def put(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        document: Mapping[str, Any],
        expected: ExpectedVersion,
    ) -> tuple[EditResult[DefinitionRow], DefinitionView]:
        """Make a document the draft. It may have faults, which the view lists. Raises
        InvalidConfiguration if it is too large or cannot be stored, and the errors of
        `put_definition`."""
        document_text(document)
        digest = document_digest(document)
        result = await self._executor.edit(
            tenant, actor, self._scope(workflow_id),
            lambda current: put_definition(current, workflow_id, document, digest, expected),
            lambda current: newest_definition(current, workflow_id),
        )  # fmt: skip
        if result.row.is_published:
            return result, DefinitionView(result.row)
        current = await self._load(tenant, workflow_id)
        published = current.definitions.get(workflow_id, CurrentDefinition()).published
        return result, await asyncio.to_thread(_view, result.row, published)

    async def publish(
        self, tenant: str, actor: str, workflow_id: str, expected: ExpectedVersion
    ) -> tuple[EditResult[DefinitionRow], DefinitionView]:
        """Publish the draft. Without a draft nothing changes. Raises InvalidConfiguration with all
        faults, and the errors of `publish_draft`."""
        before = await self._load(tenant, workflow_id)
        newest = newest_definition(before, workflow_id)
        compiled = await asyncio.to_thread(compile_document, newest.document)
        entities: set[tuple[str, str]] = {
            (reference.kind, reference.entity_id)
            for reference in compiled.references
            if isinstance(reference, EntityReference)
        }

        def decide(current: CurrentConfiguration) -> list[ConfigurationChange]:
            changes = publish_draft(current, workflow_id, compiled.content, expected)
            catalog = catalog_after(current, [], self._check)
            faults = missing_references(compiled.references, catalog, form_only)
            if changes and (found := list(faults)):
                raise invalid_definition(found)
            return changes

        result = await self._executor.edit(
            tenant, actor, self._scope(workflow_id, entities), decide,
            lambda current: newest_definition(current, workflow_id),
        )  # fmt: skip
        published = before.definitions[workflow_id].published
        return result, await asyncio.to_thread(_view, result.row, published)

    async def _load(self, tenant: str, workflow_id: str) -> CurrentConfiguration:
        return await self._store.load(tenant, self._scope(workflow_id))

    async def _require_workflow(self, tenant: str, workflow_id: str) -> None:
        scope = ConfigurationScope([workflow_id], references=False)
        workflow_of(await self._store.load(tenant, scope), workflow_id)

    @staticmethod
    def _scope(workflow_id: str, entities: Collection[tuple[str, str]] = ()) -> ConfigurationScope:
        return ConfigurationScope([workflow_id], entities, references=False, definitions=True)


def _view(row: DefinitionRow, published: DefinitionRow | None) -> DefinitionView:
    """Read a document and compare it with the published version."""
    reading = read_definition(row.document)
    old = read_definition(published.document).definition if published is not None else None
    if reading.definition is None or old is None:
        return DefinitionView(row, reading.faults)
    return DefinitionView(row, (), compare_definitions(old, reading.definition))
