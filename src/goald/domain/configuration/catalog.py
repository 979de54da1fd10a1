"""What goals may refer to, and what a goal must be for its workflow to be active (R13)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from goald.domain.configuration.criteria import read_criteria, references
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
)
from goald.domain.errors import InvalidConfiguration

CatalogCheck: TypeAlias = Literal["strict", "known", "off"]
"""Whether a goal may refer to what the catalog does not have: never; only where it has no
entity of that kind, so that a platform need not send what it does not want checked; always."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """The entities of one tenant, as far as a decision needs them."""

    check: CatalogCheck
    entities: Mapping[str, set[str]]
    """The ids of each kind."""
    kinds: set[str]
    """The kinds that have entities."""

    def missing(self, row: GoalRow) -> Iterator[tuple[str, str]]:
        """(criterion, kind) of what a goal refers to and may not, since it is not there."""
        for name, kind, entity in references(row.goal_type, row.criteria):
            checked = self.check == "strict" or (self.check == "known" and kind in self.kinds)
            if checked and entity not in self.entities.get(kind, ()):
                yield name, kind

    def require(self, row: GoalRow) -> None:
        """Raises InvalidConfiguration where a goal refers to what is not there."""
        for name, kind in self.missing(row):
            text = f"Referenced {kind} does not exist"
            raise InvalidConfiguration(text, [(f"/criteria/{name}", text)])

    def require_for_activation(self, rows: Iterable[GoalRow]) -> None:
        """Raises InvalidConfiguration where a workflow with these goals may not be activated.
        Checked again then: entities go, and rows outlive a release. No goals are no fault."""
        for row in rows:
            try:
                read_criteria(row.goal_type, row.criteria)
            except InvalidConfiguration as error:
                raise InvalidConfiguration(f"Invalid goal configuration: {error}") from None
            for _, kind in self.missing(row):
                raise InvalidConfiguration(f"Invalid goal configuration: {kind} does not exist")


def catalog_after(
    held: HeldConfiguration, changes: Iterable[ConfigurationChange], check: CatalogCheck
) -> Catalog:
    """The catalog once these changes are made. Of a kind that an entity is deleted of, all
    must be held."""
    ids = {kind: set(rows) for kind, rows in held.catalog.items()}
    kinds = set(held.kinds)
    for change in changes:
        if isinstance(change.row, EntityRow):
            of_kind = ids.setdefault(change.row.kind, set())
            if change.after is None:
                of_kind.discard(change.row.id)
                kinds.discard(change.row.kind)
            else:
                of_kind.add(change.row.id)
    return Catalog(check, ids, kinds | {kind for kind, found in ids.items() if found})
