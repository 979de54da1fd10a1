"""The conditions of steps and triggers: a tree of tests of one contact."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal, TypeAlias

Operator: TypeAlias = Literal["eq", "ne", "lt", "lte", "gt", "gte", "contains", "in", "exists"]
OPERATORS: Final[tuple[Operator, ...]] = (
    "eq", "ne", "lt", "lte", "gt", "gte", "contains", "in", "exists",
)  # fmt: skip
Scalar: TypeAlias = str | bool | Decimal


@dataclass(frozen=True, slots=True)
class TagTest:
    """Whether the contact has a tag: by `tag_id` if the tag has an id, else by name (E16)."""

    tag_id: str | None
    tag_name: str | None


@dataclass(frozen=True, slots=True)
class AttributeTest:
    """Whether an attribute of the contact compares as `operator` says with `values`: one value, no
    value for `exists`, any number for `in`. False if the contact has no such attribute."""

    attribute: str
    operator: Operator
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class AllOf:
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    conditions: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Not:
    condition: "Condition"


Condition: TypeAlias = TagTest | AttributeTest | AllOf | AnyOf | Not


def tests_of(condition: Condition | None) -> Iterator[TagTest | AttributeTest]:
    """Yield the tests of a condition, from left to right."""
    match condition:
        case TagTest() | AttributeTest():
            yield condition
        case AllOf(conditions) | AnyOf(conditions):
            for inner in conditions:
                yield from tests_of(inner)
        case Not(inner):
            yield from tests_of(inner)
