"""Edits of definitions, as changes of rows."""

import hashlib

import pytest

from goald.domain.configuration.definition_edits import (
    MAX_VERSIONS,
    publish_draft,
    put_definition,
)
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import (
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionContent,
    DefinitionRow,
    WorkflowRow,
)
from goald.domain.errors import InvalidConfiguration, VersionConflict

ANY = ExpectedVersion()


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def current(definition: CurrentDefinition) -> CurrentConfiguration:
    return CurrentConfiguration(
        {"w": WorkflowRow("w", "W", "any", False)}, definitions={"w": definition}
    )


def draft(text: str, version: int = 1) -> DefinitionRow:
    return DefinitionRow("w", version, {"text": text}, digest(text))


def content(text: str) -> DefinitionContent:
    return DefinitionContent({"text": text}, digest(text), b"plan")


def test_a_draft_that_changed_after_its_validation_is_not_published() -> None:
    changed = current(CurrentDefinition(draft("changed"), None, 1))
    with pytest.raises(VersionConflict):
        publish_draft(changed, "w", content("validated"), ANY)


def test_a_published_draft_keeps_its_number_and_gets_its_plan() -> None:
    (change,) = publish_draft(
        current(CurrentDefinition(draft("a", 3), None, 3)), "w", content("a"), ANY
    )
    assert change.after == DefinitionRow("w", 3, {"text": "a"}, digest("a"), b"plan")


def test_the_number_of_versions_is_limited() -> None:
    full = current(CurrentDefinition(None, None, MAX_VERSIONS))
    with pytest.raises(InvalidConfiguration, match="1,000 versions"):
        put_definition(full, "w", {}, digest("a"), ANY)
    last = current(CurrentDefinition(draft("a", MAX_VERSIONS), None, MAX_VERSIONS))
    assert put_definition(last, "w", {}, digest("b"), ANY)
