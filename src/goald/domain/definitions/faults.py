"""The faults of a definition."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]

MAX_FAULTS: Final = 200
"""Further faults are counted, not listed."""
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class DefinitionFault:
    """A fault at a place in a definition."""

    path: Path
    text: str

    @property
    def place(self) -> str:
        """The path as text, such as `steps[3].then[0].with.url`."""
        return format_path(self.path)

    @property
    def pointer(self) -> str:
        """The path as a JSON pointer, such as `/steps/3/then/0/with/url`."""
        escaped = (str(key).replace("~", "~0").replace("/", "~1") for key in self.path)
        return "".join(f"/{key}" for key in escaped)

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.path else self.text


def format_path(path: Path) -> str:
    """Return a path as text, such as `steps[3].then[0].with.url`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif _PLAIN_NAME.fullmatch(key):
            text += f".{key}" if text else key
        else:
            text += f"[{key[:64]!r}]"
    return text


class FaultList:
    """Collects the faults of a definition."""

    def __init__(self) -> None:
        self._faults: dict[tuple[Path, str], DefinitionFault] = {}

    def add(self, path: Path, text: str) -> None:
        if len(self._faults) < MAX_FAULTS:
            self._faults.setdefault((path, text), DefinitionFault(path, text))

    def list(self) -> list[DefinitionFault]:
        """Return the faults in the order in which they were found."""
        return [*self._faults.values()]

    def __len__(self) -> int:
        return len(self._faults)


def lines(faults: Sequence[DefinitionFault], prefix: Path = ()) -> Iterator[str]:
    """Yield a line for each fault, with its place below `prefix`."""
    for fault in faults:
        yield str(DefinitionFault((*prefix, *fault.path), fault.text))
