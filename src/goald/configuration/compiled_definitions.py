"""Definitions that were validated and compiled, from documents and from the file of
`goald apply`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from goald.domain.configuration.catalog import Catalog
from goald.domain.configuration.desired import DesiredConfiguration
from goald.domain.configuration.workflows import DEFINITION_FIELDS, DefinitionContent
from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.documents import document_digest, document_text
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.faults import DefinitionFault, Path, format_path, lines
from goald.domain.definitions.readers.definition import read_definition
from goald.domain.definitions.references import Reference, missing_references
from goald.domain.errors import InvalidConfiguration, InvalidFile


class DecimalText(str):
    """A number with decimals in a file, as it is written there: as an id or an amount it is text,
    in a definition it is a number."""

    __slots__ = ()


def form_only(_: str) -> bool:
    """`ConnectionExists` while goald stores no connections: only the form of a name is checked."""
    return True


@dataclass(frozen=True, slots=True)
class CompiledDefinition:
    """A definition without faults. Its references have not been checked."""

    content: DefinitionContent
    references: tuple[Reference, ...]


def compile_document(document: Mapping[str, Any]) -> CompiledDefinition:
    """Compile a document. Takes up to a second for the largest. Raises InvalidConfiguration with
    every fault."""
    document_text(document)
    reading = read_definition(document)
    if reading.definition is None:
        raise invalid_definition(reading.faults)
    plan = encode_plan(compile_plan(reading.definition))
    content = DefinitionContent(document, document_digest(document), plan)
    return CompiledDefinition(content, reading.references)


def invalid_definition(faults: Sequence[DefinitionFault]) -> InvalidConfiguration:
    """Return the error for these faults."""
    more = "" if len(faults) == 1 else f" ({len(faults)} faults in all)"
    return InvalidConfiguration(
        f"Invalid definition: {faults[0]}{more}", [(each.pointer, str(each)) for each in faults]
    )


def compile_file(desired: DesiredConfiguration) -> dict[str, CompiledDefinition]:
    """Return the definitions of a file, by workflow. Raises InvalidFile with a line for every
    fault."""
    compiled: dict[str, CompiledDefinition] = {}
    faults: list[str] = []
    for index, workflow in enumerate(desired.workflows):
        if workflow.definition is not None:
            document = _document(workflow.definition)
            found = list(_fault_lines(document, ("workflows", index)))
            faults += found
            if not found:
                compiled[workflow.id] = compile_document(document)
    if faults:
        raise InvalidFile("\n".join(faults))
    return compiled


def file_faults(contents: Any) -> Iterator[str]:
    """Yield a line for each fault of the definitions in the parsed contents of a file, which may
    have other faults."""
    workflows = contents.get("workflows") if isinstance(contents, dict) else None
    for index, workflow in enumerate(workflows if isinstance(workflows, list) else ()):
        if isinstance(workflow, dict):
            given = {name: workflow[name] for name in DEFINITION_FIELDS if name in workflow}
            if any(value is not None for value in given.values()):
                yield from _fault_lines(_document(given), ("workflows", index))


def require_references(
    compiled: Mapping[str, CompiledDefinition],
    desired: DesiredConfiguration,
    catalog: Catalog,
) -> None:
    """Raise InvalidFile with a line for each object that a definition of the file refers to and
    that does not exist."""
    faults: list[str] = []
    for index, workflow in enumerate(desired.workflows):
        if workflow.id in compiled:
            references = compiled[workflow.id].references
            missing = list(missing_references(references, catalog, form_only))
            faults += lines(missing, ("workflows", index))
    if faults:
        raise InvalidFile("\n".join(faults))


def _fault_lines(document: dict[str, Any], place: Path) -> Iterator[str]:
    try:
        document_text(document)
    except InvalidConfiguration as error:
        yield f"{format_path(place)}: {error}"
        return
    yield from lines(read_definition(document).faults, place)


def _document(value: Any) -> Any:
    """Return a value of a file as a document has it: decimals as numbers, dates and times as
    text."""
    if isinstance(value, dict):
        return {name: _document(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_document(item) for item in value]
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, DecimalText):
        try:
            return Decimal(value.replace("_", ""))
        except InvalidOperation:  # .inf, .nan
            return str(value)
    return value
