"""The secrets that a configuration file refers to, read from variables and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from goald.domain.configuration.desired_sources import DesiredSource, SecretReference
from goald.domain.credentials.sources import MAX_SECRETS
from goald.domain.errors import InvalidFile
from goald.sources.documents.reading import with_contact

MAX_SECRET: Final = 1_024
"""Characters of a secret."""


@dataclass(frozen=True, slots=True)
class SourceDefinition:
    """A source of a configuration file, with its secrets."""

    name: str
    preset: str
    overrides: Mapping[str, Any]
    secrets: tuple[str, ...] | None = field(repr=False)
    """None keeps those of an existing source."""
    has_contact: bool = False
    """Whether `contact` was written outside `overrides`, for the paths of faults."""


def read_secrets(
    sources: Sequence[DesiredSource], folder: Path, environment: Mapping[str, str]
) -> list[SourceDefinition]:
    """Return the sources with their secrets. Blocks while files are read. `folder`: to which paths
    are relative.

    Raises InvalidFile with a line for each secret that cannot be read, which names its place and
    never contains a part of it.
    """
    faults: list[str] = []
    definitions = []
    for index, source in enumerate(sources):
        if len(source.secrets or ()) > MAX_SECRETS:
            faults.append(f"sources[{index}].secrets: a source has at most {MAX_SECRETS} secrets")
            continue
        secrets = []
        for number, reference in enumerate(source.secrets or ()):
            try:
                secrets.append(_read(reference, folder, environment))
            except InvalidFile as error:
                faults.append(f"sources[{index}].secrets[{number}]: {error}")
        definitions.append(_definition(source, secrets))
    if faults:
        raise InvalidFile("\n".join(faults))
    return definitions


def _definition(source: DesiredSource, secrets: list[str]) -> SourceDefinition:
    return SourceDefinition(
        source.name,
        source.preset,
        with_contact(source.overrides, source.contact),
        None if source.secrets is None else tuple(secrets),
        source.contact is not None,
    )


def _read(reference: SecretReference, folder: Path, environment: Mapping[str, str]) -> str:
    if reference.env is not None:
        text, place = environment.get(reference.env, ""), f"the variable {reference.env}"
        if not text:
            raise InvalidFile(f"{place} is not set or empty")
    else:
        path = folder / Path(reference.file or "").expanduser()
        text, place = _contents(path), str(path)
        if not text:
            raise InvalidFile(f"{place} is empty")
    if len(text) > MAX_SECRET:
        raise InvalidFile(f"{place} has more than {MAX_SECRET:,} characters")
    return text


def _contents(path: Path) -> str:
    """Return the text of a file without the end of its last line."""
    try:
        with path.open("rb") as file:
            # 4 bytes per character at most, and the end of the line.
            text = file.read(4 * MAX_SECRET + 3).decode("utf-8-sig")
    except OSError as error:
        raise InvalidFile(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InvalidFile(f"cannot read {path}: it is not UTF-8") from None
    return text.rstrip("\r\n")
