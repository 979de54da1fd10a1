"""A guard, and how it is removed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Replaces a text in a file."""

    path: str
    text: str
    instead: str


@dataclass(frozen=True)
class Guard:
    """One guard, how it is removed, and which tests must fail without it."""

    name: str
    promise: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Each of these files must fail without the guard."""

    @property
    def is_native(self) -> bool:
        """Whether it is in the Rust core, which must be built again."""
        return any(edit.path.startswith("native/") for edit in self.edits)
