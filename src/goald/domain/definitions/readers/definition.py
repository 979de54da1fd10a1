"""Reads and validates a definition, and reports all its faults together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from goald.domain.configuration.workflows import DEFINITION_FIELDS
from goald.domain.definitions.faults import DefinitionFault, FaultList
from goald.domain.definitions.readers.fields import Field
from goald.domain.definitions.readers.patterns import read_pattern
from goald.domain.definitions.readers.steps import StepReader
from goald.domain.definitions.references import Reference
from goald.domain.definitions.steps import ALLOW, Reentry, WorkflowDefinition


@dataclass(frozen=True, slots=True)
class DefinitionReading:
    """The result of reading a document. References have not been checked."""

    definition: WorkflowDefinition | None
    """None if there are faults."""
    faults: tuple[DefinitionFault, ...]
    """In the order of the document."""
    references: tuple[Reference, ...]
    """The objects that must exist."""


def read_definition(document: Mapping[str, Any]) -> DefinitionReading:
    """Read a document: maps, lists, text, integers, Decimals, booleans and None."""
    faults = FaultList()
    references: list[Reference] = []
    members = Field(document, (), faults).members(DEFINITION_FIELDS, ("steps",)) or {}
    trigger = read_pattern(members["trigger"], references) if "trigger" in members else None
    reentry = _reentry(members["reentry"]) if "reentry" in members else Reentry()
    timezone = members["timezone"].zone() if "timezone" in members else None
    max_lateness = members["max_lateness"].duration() if "max_lateness" in members else None
    reader = StepReader(references, has_trigger="trigger" in members)
    steps = reader.read_list(members["steps"]).steps if "steps" in members else ()
    if "steps" in members and members["steps"].value == []:
        members["steps"].fault("must have at least one step")
    definition = WorkflowDefinition(steps, trigger, reentry, timezone, max_lateness)
    return DefinitionReading(
        None if len(faults) else definition, tuple(faults.list()), tuple(references)
    )


def _reentry(field: Field) -> Reentry:
    members = field.members(("allow", "min_interval")) or {}
    allow = members["allow"].choice(ALLOW) if "allow" in members else None
    interval = members["min_interval"].duration() if "min_interval" in members else None
    return Reentry(allow or "after_exit", interval or 0)
