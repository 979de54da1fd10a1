"""The modules of native/matcher import each other in one direction, in every folder."""

import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "native/matcher/src"

Modules = dict[tuple[str, ...], str]
Graph = dict[str, set[str]]


def read_modules(source: Path) -> Modules:
    """The code of each module by its path, without comments and unit tests."""
    modules: Modules = {}
    for file in sorted(source.rglob("*.rs")):
        path = file.relative_to(source).with_suffix("").parts
        if path[-1] in ("mod", "lib"):
            path = path[:-1]
        code = re.sub(r"//.*", "", file.read_text())
        modules[path] = code.partition("#[cfg(test)]\nmod tests")[0]
    return modules


def paths(tree: str) -> Iterator[tuple[str, ...]]:
    """The paths that a use tree such as `a::{b, c::d}` names."""
    prefix, brace, rest = tree.partition("{")
    start = tuple(part for part in prefix.strip().split("::") if part)
    if not brace:
        yield (*start[:-1], start[-1].split(" as ")[0].strip())
        return
    depth, item = 0, ""
    for character in rest[: rest.rindex("}")] + ",":
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if item.strip():
                for path in paths(item):
                    yield start + path
            item = ""
        else:
            item += character


def imports(module: tuple[str, ...], code: str) -> Iterator[tuple[str, ...]]:
    """The absolute paths that a module names through `crate`, `self` and `super`."""
    uses = re.findall(r"\buse ((?:crate|self|super)\b[^;]+);", code)
    uses += re.findall(r"\b(?:crate|self|super)(?:::\w+)+", re.sub(r"\buse [^;]+;", "", code))
    for use in uses:
        for path in paths(use):
            supers = path.count("super")
            base = () if path[0] == "crate" else module[: len(module) - supers]
            yield (*base, *path[max(supers, 1) :])


def graphs(modules: Modules) -> dict[tuple[str, ...], Graph]:
    """For each folder, which of its modules imports which. A folder's own file is `mod`."""
    found: dict[tuple[str, ...], Graph] = {}

    def child(folder: tuple[str, ...], path: tuple[str, ...]) -> str:
        name = path[: len(folder) + 1]
        return name[-1] if len(path) > len(folder) and name in modules else "mod"

    for module, code in modules.items():
        for path in imports(module, code):
            for depth in range(min(len(module), len(path)) + 1):
                folder = module[:depth]
                if path[:depth] != folder:
                    break
                if not any(len(other) > depth and other[:depth] == folder for other in modules):
                    continue
                importer, imported = child(folder, module), child(folder, path)
                if importer != imported:
                    found.setdefault(folder, {}).setdefault(importer, set()).add(imported)
    return found


def cycles(modules: Modules) -> list[str]:
    """The import cycle of each folder that has one, as `folder: a -> b -> a`."""
    found = []
    for folder, graph in graphs(modules).items():
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            name = "/".join(folder) or "src"
            found.append(f"{name}: {' -> '.join(reversed(error.args[1]))}")
    return found


def test_modules_import_in_one_direction() -> None:
    assert cycles(read_modules(SOURCE)) == []


def test_every_module_is_read() -> None:
    graph = graphs(read_modules(SOURCE))
    assert {"decode", "route"} <= graph[()]["matcher"]
    assert "fanout" in graph[("index",)]["mod"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("use crate::b::B;", "use super::a::{self, A};"),
        ("use crate::{b, c::C};", "fn f() -> crate::a::A {}"),
        ("fn f(x: super::b::B) {}", "use crate::{c, a::{A, X as Y}};"),
    ],
)
def test_an_import_cycle_is_reported(first: str, second: str) -> None:
    modules: Modules = {(): "mod a; mod b; mod c;", ("a",): first, ("b",): second, ("c",): ""}
    assert cycles(modules) in (["src: a -> b -> a"], ["src: b -> a -> b"])


def test_a_module_that_imports_from_the_file_of_its_folder_is_found() -> None:
    modules: Modules = {
        (): "",
        ("a",): "mod b; pub use self::b::B;",
        ("a", "b"): "use super::A;",
    }
    assert cycles(modules) in (["a: mod -> b -> mod"], ["a: b -> mod -> b"])
