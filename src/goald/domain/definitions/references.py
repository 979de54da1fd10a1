"""The objects that a definition refers to: catalog entities and connections."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from goald.domain.configuration.catalog import Catalog
from goald.domain.configuration.goals import CatalogKind
from goald.domain.definitions.faults import DefinitionFault, Path

ConnectionExists: TypeAlias = Callable[[str], bool]
"""Whether the tenant has a connection of this name."""


@dataclass(frozen=True, slots=True)
class EntityReference:
    """A reference to a catalog entity, and its place."""

    kind: CatalogKind
    entity_id: str
    path: Path


@dataclass(frozen=True, slots=True)
class ConnectionReference:
    """A reference to a connection, and its place."""

    name: str
    path: Path


Reference: TypeAlias = EntityReference | ConnectionReference


def missing_references(
    references: Iterable[Reference], catalog: Catalog, connection_exists: ConnectionExists
) -> Iterator[DefinitionFault]:
    """Yield a fault for each reference whose object does not exist, as far as the catalog check
    requires that it does."""
    for reference in references:
        match reference:
            case EntityReference(kind, entity_id, path):
                if catalog.lacks(kind, entity_id):
                    yield DefinitionFault(path, f"Referenced {kind} does not exist")
            case ConnectionReference(name, path):
                if not connection_exists(name):
                    yield DefinitionFault(path, "Referenced connection does not exist")
