"""Finds folders, constructors and class names that break the repository's structure rules."""

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

MAX_FILES = 15
"""Source files of one folder, its subfolders not included."""
MAX_PARAMETERS = 7
"""Parameters of a constructor, `self` not included."""

_SOURCE = {".py", ".pyi", ".rs", ".sql", ".sh"}
_UNLIMITED = {
    "src/goald/migrations/versions": "Alembic reads one folder, and each revision adds two files",
}
"""Folders that may hold more, and why."""


def findings(sources: Mapping[str, str]) -> Iterator[str]:
    """A line for each fault of these files, by path."""
    yield from crowded_folders(sources)
    trees = {path: ast.parse(text) for path, text in sources.items() if path.endswith(".py")}
    for path, tree in trees.items():
        yield from long_constructors(path, tree)
    yield from repeated_classes(
        {path: tree for path, tree in trees.items() if path.startswith("src/goald/")}
    )


def crowded_folders(paths: Iterable[str]) -> Iterator[str]:
    counts: dict[str, int] = defaultdict(int)
    for path in map(PurePath, paths):
        if path.suffix in _SOURCE:
            counts[str(path.parent)] += 1
    for folder, count in sorted(counts.items()):
        if count > MAX_FILES and folder not in _UNLIMITED:
            yield (
                f"{folder}: {count} source files, at most {MAX_FILES} are allowed: "
                "move those of one concept into a folder"
            )


def long_constructors(path: str, tree: ast.Module) -> Iterator[str]:
    for definition in ast.walk(tree):
        if not isinstance(definition, ast.ClassDef):
            continue
        for method in definition.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                arguments = method.args
                count = len(arguments.posonlyargs + arguments.args + arguments.kwonlyargs) - 1
                if count > MAX_PARAMETERS:
                    yield (
                        f"{path}:{method.lineno}: the constructor of {definition.name} has {count} "
                        f"parameters, at most {MAX_PARAMETERS} are allowed: group those that are "
                        "passed on together in an object"
                    )


def repeated_classes(trees: Mapping[str, ast.Module]) -> Iterator[str]:
    places: dict[str, list[str]] = defaultdict(list)
    for path, tree in trees.items():
        for definition in ast.walk(tree):
            if isinstance(definition, ast.ClassDef):
                places[definition.name].append(f"{path}:{definition.lineno}")
    for name, found in sorted(places.items()):
        for place in found[1:]:
            yield f"{place}: class {name} is already defined at {found[0]}: rename one of them"
