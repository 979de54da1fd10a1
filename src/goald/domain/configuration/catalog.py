"""The catalog check: which entities a goal may refer to, and when a workflow may be
activated."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from goald.domain.configuration.criteria import read_criteria, references
from goald.domain.configuration.goals import CatalogKind
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    CurrentConfiguration,
    EntityRow,
    GoalRow,
)
from goald.domain.errors import InvalidConfiguration

CatalogCheck: TypeAlias = Literal["strict", "known", "off"]
"""How references of goals to the catalog are checked. `strict`: each entity must exist. `known`:
each must exist if the catalog has any entity of its kind. `off`: no check."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog entities of one tenant that a check needs."""

    check: CatalogCheck
    entities: Mapping[str, set[str]]
    """Ids by kind."""
    kinds: set[str]
    """The kinds that have entities."""

    def missing(self, row: GoalRow) -> Iterator[tuple[str, str]]:
        """Yield (criterion, kind) of each reference of a goal that the check refuses."""
        for name, kind, entity in references(row.goal_type, row.criteria):
            if self.lacks(kind, entity):
                yield name, kind

    def lacks(self, kind: CatalogKind, entity_id: str) -> bool:
        """Return whether the check refuses a reference to an entity."""
        checked = self.check == "strict" or (self.check == "known" and kind in self.kinds)
        return checked and entity_id not in self.entities.get(kind, ())

    def require(self, row: GoalRow) -> None:
        """Raise InvalidConfiguration if the goal refers to an entity that does not exist."""
        for name, kind in self.missing(row):
            text = f"Referenced {kind} does not exist"
            raise InvalidConfiguration(text, [(f"/criteria/{name}", text)])

    def require_for_activation(self, rows: Iterable[GoalRow]) -> None:
        """Raise InvalidConfiguration if a workflow with these goals must not be activated.

        Criteria are validated again: entities may have been deleted since, and the rows may
        have been written by an earlier release. An empty list of goals is valid.
        """
        for row in rows:
            try:
                read_criteria(row.goal_type, row.criteria)
            except InvalidConfiguration as error:
                raise InvalidConfiguration(f"Invalid goal configuration: {error}") from None
            for _, kind in self.missing(row):
                raise InvalidConfiguration(f"Invalid goal configuration: {kind} does not exist")


def catalog_after(
    current: CurrentConfiguration, changes: Iterable[ConfigurationChange], check: CatalogCheck
) -> Catalog:
    """Return the catalog as it is after these changes. If one of them deletes an entity,
    `current` must hold every entity of that kind."""
    ids = {kind: set(rows) for kind, rows in current.catalog.items()}
    kinds = set(current.kinds)
    for change in changes:
        if isinstance(change.row, EntityRow):
            ids_of_kind = ids.setdefault(change.row.kind, set())
            if change.after is None:
                ids_of_kind.discard(change.row.id)
                kinds.discard(change.row.kind)
            else:
                ids_of_kind.add(change.row.id)
    return Catalog(check, ids, kinds | {kind for kind, found in ids.items() if found})
