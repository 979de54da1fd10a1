"""The documents that are shipped with goald."""

from functools import cache
from importlib import resources
from typing import Any

from goald.domain.errors import NotFound
from goald.domain.suggestions import nearest

_SUFFIX = ".yaml"


@cache
def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, sorted."""
    folder = resources.files("goald.sources.presets")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)))


def unknown_preset(name: str) -> str | None:
    """Return what is wrong with the name of a preset; None if there is such a preset."""
    if name in preset_names():
        return None
    near = nearest(name, preset_names())
    hint = f"Did you mean {near}?" if near else f"The presets are {', '.join(preset_names())}"
    return f"there is no preset of this name. {hint}"


@cache
def preset(name: str) -> dict[str, Any]:
    """Return a preset as a map, which must not be changed. Raises NotFound for an unknown name,
    with the nearest one."""
    import yaml

    fault = unknown_preset(name)
    if fault is not None:
        raise NotFound(fault)
    text = (resources.files("goald.sources.presets") / f"{name}{_SUFFIX}").read_text("utf-8")
    contents: dict[str, Any] = yaml.safe_load(text)
    return contents
