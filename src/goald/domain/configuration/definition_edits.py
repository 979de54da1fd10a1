"""Edits of the definition of a workflow: its draft, and the publication of a version. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from goald.domain.configuration.edits import ExpectedVersion, workflow_of
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionContent,
    DefinitionRow,
)
from goald.domain.errors import InvalidConfiguration, NotFound, VersionConflict

MAX_VERSIONS: Final = 1_000
"""Of one workflow."""


def put_definition(
    current: CurrentConfiguration,
    workflow_id: str,
    document: Mapping[str, Any],
    digest: bytes,
    expected: ExpectedVersion,
) -> list[ConfigurationChange]:
    """Make a document the draft. A document that equals the published version removes the draft,
    because there is nothing to publish. Raises NotFound for an unknown workflow."""
    workflow_of(current, workflow_id)
    found = current.definitions.get(workflow_id, CurrentDefinition())
    expected.require(found.newest)
    if found.newest is not None and found.newest.digest == digest:
        return []
    if found.published is not None and found.published.digest == digest:
        return [ConfigurationChange(found.draft, found.published, found.published)]
    version = _version_of_draft(found)
    return [ConfigurationChange(found.draft, DefinitionRow(workflow_id, version, document, digest))]


def publish_draft(
    current: CurrentConfiguration,
    workflow_id: str,
    content: DefinitionContent,
    expected: ExpectedVersion,
) -> list[ConfigurationChange]:
    """Publish the draft, of which `content` was made. Without a draft nothing changes. Raises
    NotFound for a workflow without a definition, and VersionConflict if the draft has changed since
    `content` was made."""
    newest = newest_definition(current, workflow_id)
    expected.require(newest)
    if newest.digest != content.digest:
        raise VersionConflict("The definition was changed by another request. Read it again")
    return publish_content(current.definitions[workflow_id], workflow_id, content)


def publish_content(
    found: CurrentDefinition, workflow_id: str, content: DefinitionContent
) -> list[ConfigurationChange]:
    """Publish a definition in place of the draft, if there is one; no change if it is the published
    version and there is no draft."""
    published = found.published
    if published is not None and published.digest == content.digest:
        removed = ConfigurationChange(found.draft, published, published)
        return [] if found.draft is None else [removed]
    row = DefinitionRow(
        workflow_id, _version_of_draft(found), content.document, content.digest, content.plan
    )
    return [ConfigurationChange(found.draft, row, published)]


def newest_definition(current: CurrentConfiguration, workflow_id: str) -> DefinitionRow:
    """Return the draft of a workflow, or its published version without a draft. Raises NotFound."""
    workflow_of(current, workflow_id)
    newest = current.definitions.get(workflow_id, CurrentDefinition()).newest
    if newest is None:
        raise NotFound(f"The workflow {workflow_id} has no definition")
    return newest


def _version_of_draft(found: CurrentDefinition) -> int:
    version = found.last_version + 1 if found.draft is None else found.draft.version
    if version > MAX_VERSIONS:
        raise InvalidConfiguration(f"A workflow may have {MAX_VERSIONS:,} versions of a definition")
    return version
