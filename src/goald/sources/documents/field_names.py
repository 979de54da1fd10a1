"""The names of the fields at a place of a source document, for suggestions."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from goald.sources.documents.fields import SourceDocument


def field_names(path: Sequence[int | str]) -> list[str]:
    """Return the names that a map at this place may have, sorted; none if it has names of the
    author's choice. `path` is the location that pydantic gives to a fault, in which the `type` of a
    scheme follows `scheme`."""
    kinds: list[Any] = [SourceDocument]
    for key in path:
        kinds = [inner for kind in kinds for inner in _inner(kind, key)]
    return sorted({name for kind in kinds if _is_model(kind) for name in _fields(kind)})


def _inner(kind: Any, key: int | str) -> Iterator[Any]:
    """The types of the value under a key of a map of this type."""
    if get_origin(kind) is dict:
        yield from _members(get_args(kind)[1])
    elif _is_model(kind):
        fields = _fields(kind)
        if key in fields:
            yield from _members(fields[str(key)])
        elif "type" in fields and key in _literals(fields["type"]):
            yield kind


def _members(annotation: Any) -> Iterator[Any]:
    """The types that an annotation allows, each without its metadata."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _members(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for each in get_args(annotation):
            yield from _members(each)
    else:
        yield annotation


def _literals(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
