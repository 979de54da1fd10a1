"""The functions of mapping expressions: those of JMESPath, and a few that webhooks need.

They differ from JMESPath in three ways: numbers are exact and may be text (`"19.90"`), a function
of null is null, and each charges the work that it does to the budget of the delivery.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from goald.domain.errors import InvalidEvent
from goald.sources.bodies.json_text import read_json
from goald.sources.expressions.budget import Budget
from goald.sources.expressions.numbers import EXACT, decimal_of

MAX_TEXT: Final = 16_384
"""Characters of text that a function makes."""
MAX_ARGUMENTS: Final = 16

_EMAIL: Final = re.compile(r"[^\s@<>,;:\"()]{1,64}@[^\s@<>,;:\"()]{1,190}\.[^\s@<>,;:\"().]{2,63}")
_PHONE: Final = re.compile(r"\+?[0-9][0-9 ().\-/]{4,30}[0-9]", re.ASCII)
_INTERNATIONAL: Final = re.compile(r"\+[0-9][0-9 ().\-/]{4,30}[0-9]", re.ASCII)
_ANSWER: Final = re.compile(r"q[0-9]+_", re.ASCII)


class FunctionFault(Exception):
    """A function cannot use its arguments. The message is for the author of the expression."""


@dataclass(frozen=True, slots=True)
class Function:
    call: Callable[..., Any]
    least: int
    most: int


def _text(value: Any) -> str:
    """Return a scalar as text; a list or an object is a fault."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        number = decimal_of(value)
        if number is not None:
            return format(number, "f")
    elif isinstance(value, int) and value.bit_length() < 4096:
        return str(value)
    raise FunctionFault("needs text, a number or a boolean")


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise FunctionFault("needs a list")
    return value


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FunctionFault("needs an object")
    return value


def _number(value: Any) -> Decimal:
    number = decimal_of(value)
    if number is None:
        raise FunctionFault("needs a number")
    return number


def _bounded(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise FunctionFault(f"makes text of more than {MAX_TEXT} characters")
    return text


def _contains(budget: Budget, subject: Any, search: Any) -> bool:
    if isinstance(subject, str):
        return isinstance(search, str) and search in subject
    values = _list(subject)
    if isinstance(search, str):  # which equals only text
        budget.charge(len(values))
        return search in values
    return any(budget.equal(each, search) for each in values)


def _join(budget: Budget, glue: Any, parts: Any) -> str:
    texts = [_text(each) for each in _list(parts) if each is not None]
    budget.charge(len(texts))
    if sum(map(len, texts)) + len(_text(glue)) * len(texts) > MAX_TEXT:
        raise FunctionFault(f"makes text of more than {MAX_TEXT} characters")
    return _text(glue).join(texts)


def _concat(_budget: Budget, *parts: Any) -> str | None:
    if None in [None if part is None else 0 for part in parts]:
        return None
    texts = [_text(part) for part in parts]
    if sum(map(len, texts)) > MAX_TEXT:
        raise FunctionFault(f"makes text of more than {MAX_TEXT} characters")
    return "".join(texts)


def _split(budget: Budget, subject: Any, separator: Any) -> list[str]:
    if not _text(separator):
        raise FunctionFault("needs a separator")
    parts = _text(subject).split(_text(separator))
    budget.charge(len(parts))
    return [part.strip() for part in parts if part.strip()]


def _replace(_budget: Budget, subject: Any, old: Any, new: Any) -> str:
    text, fragment = _text(subject), _text(old)
    if not fragment or len(text) + text.count(fragment) * len(_text(new)) > MAX_TEXT:
        raise FunctionFault(f"makes text of more than {MAX_TEXT} characters")
    return text.replace(fragment, _text(new))


def _length(_budget: Budget, value: Any) -> int:
    if isinstance(value, (str, list, dict)):
        return len(value)
    raise FunctionFault("needs text, a list or an object")


def _type(_budget: Budget, value: Any) -> str:
    for name, kinds in _TYPES.items():
        if isinstance(value, kinds):
            return name
    return "null"


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "boolean": (bool,),
    "number": (int, Decimal),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def _key_of(value: Any) -> Any:
    """A value that sorts: all numbers, or all text."""
    return value if isinstance(value, str) else _number(value)


def _sorted(budget: Budget, values: Any, expression: Any = None) -> list[Any]:
    items = list(_list(values))
    budget.charge(2 * len(items))
    keys = [each if expression is None else expression(budget, each) for each in items]
    if len({isinstance(key, str) for key in keys}) > 1:
        raise FunctionFault("needs numbers or text, not both")
    order = sorted(range(len(items)), key=lambda index: _key_of(keys[index]))
    return [items[index] for index in order]


def _last(budget: Budget, values: Any, expression: Any = None) -> Any:
    return (_sorted(budget, values, expression) or [None])[-1]


def _first(budget: Budget, values: Any, expression: Any = None) -> Any:
    return (_sorted(budget, values, expression) or [None])[0]


def _sum(budget: Budget, values: Any) -> Decimal:
    total = Decimal(0)
    for each in _list(values):
        budget.charge(1)
        total = EXACT.add(total, _number(each))
    return total


def _subtract(_budget: Budget, first: Any, second: Any) -> Decimal:
    return EXACT.subtract(_number(first), Decimal(0) if second is None else _number(second))


def _multiply(_budget: Budget, first: Any, second: Any) -> Decimal:
    return EXACT.multiply(_number(first), Decimal(1) if second is None else _number(second))


def _merge(budget: Budget, *maps: Any) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for each in maps:
        budget.charge(len(_map(each)) if each is not None else 0)
        merged.update(each or {})
    return merged


def _map_each(budget: Budget, expression: Any, values: Any) -> list[Any]:
    return [expression(budget, each) for each in _list(values)]


def _without(budget: Budget, values: Any, others: Any) -> list[Any]:
    removed = [] if others is None else _list(others)
    return [
        each for each in _list(values) if not any(budget.equal(each, other) for other in removed)
    ]


def _json(budget: Budget, value: Any) -> Any:
    text = _text(value)
    budget.charge(len(text) >> 5)
    try:
        return read_json(text)
    except InvalidEvent as error:
        raise FunctionFault(str(error).replace("the body", "the text", 1)) from None


def _not_null(_budget: Budget, *values: Any) -> Any:
    return next((each for each in values if each is not None), None)


def _condition(_budget: Budget, condition: Any, then: Any, otherwise: Any = None) -> Any:
    is_false = condition is None or condition is False or condition in ("", [], {})
    return otherwise if is_false else then


def _answers(budget: Budget, value: Any) -> list[Any]:
    """The values of a form: of an object whose keys are Jotform's `q<number>_<name>` only those."""
    if isinstance(value, dict):
        answers = [each for name, each in value.items() if _ANSWER.match(name)]
        values = answers or list(value.values())
    else:
        values = _list(value)
    budget.charge(len(values))
    return values


def _first_email(budget: Budget, value: Any) -> str | None:
    for each in _answers(budget, value):
        if isinstance(each, str) and len(each) <= 320 and _EMAIL.fullmatch(each.strip()):
            return each.strip()
    return None


def _first_phone(budget: Budget, value: Any) -> str | None:
    """The first answer that is a phone object (`full`, or `country`, `area` and `phone`), or text
    in the international form. National numbers in free text are too easily something else."""
    for each in _answers(budget, value):
        if isinstance(each, dict) and ("full" in each or {"area", "phone"} <= each.keys()):
            parts = [each.get(name) for name in ("country", "area", "phone")]
            text = each.get("full") or " ".join(str(part) for part in parts if part)
            if isinstance(text, str) and _PHONE.fullmatch(text.strip().replace("(", "", 1)):
                return text.strip()
        elif isinstance(each, str) and len(each) <= 40 and _INTERNATIONAL.fullmatch(each.strip()):
            return each.strip()
    return None


def _nullable(call: Callable[..., Any]) -> Callable[..., Any]:
    """The function with null for null as its first argument."""

    def with_null(budget: Budget, first: Any, *others: Any) -> Any:
        return None if first is None else call(budget, first, *others)

    return with_null


FUNCTIONS: Final[Mapping[str, Function]] = {
    "abs": Function(_nullable(lambda _budget, value: _number(value).copy_abs()), 1, 1),
    "contains": Function(_nullable(_contains), 2, 2),
    "ends_with": Function(_nullable(lambda _budget, a, b: _text(a).endswith(_text(b))), 2, 2),
    "join": Function(lambda budget, a, b: None if b is None else _join(budget, a, b), 2, 2),
    "keys": Function(_nullable(lambda _budget, value: list(_map(value))), 1, 1),
    "length": Function(_nullable(_length), 1, 1),
    "map": Function(lambda budget, a, b: None if b is None else _map_each(budget, a, b), 2, 2),
    "max": Function(_nullable(_last), 1, 1),
    "max_by": Function(_nullable(_last), 2, 2),
    "merge": Function(_merge, 1, MAX_ARGUMENTS),
    "min": Function(_nullable(_first), 1, 1),
    "min_by": Function(_nullable(_first), 2, 2),
    "not_null": Function(_not_null, 1, MAX_ARGUMENTS),
    "reverse": Function(_nullable(lambda _budget, value: list(reversed(_list(value)))), 1, 1),
    "sort": Function(_nullable(_sorted), 1, 1),
    "sort_by": Function(_nullable(_sorted), 2, 2),
    "starts_with": Function(_nullable(lambda _budget, a, b: _text(a).startswith(_text(b))), 2, 2),
    "sum": Function(_nullable(_sum), 1, 1),
    "to_array": Function(_nullable(lambda _budget, a: a if isinstance(a, list) else [a]), 1, 1),
    "to_number": Function(lambda _budget, value: decimal_of(value), 1, 1),
    "to_string": Function(_nullable(lambda _budget, value: _bounded(_text(value))), 1, 1),
    "type": Function(_type, 1, 1),
    "values": Function(_nullable(lambda _budget, value: list(_map(value).values())), 1, 1),
    "concat": Function(_concat, 1, MAX_ARGUMENTS),
    "first_email": Function(_nullable(_first_email), 1, 1),
    "first_phone": Function(_nullable(_first_phone), 1, 1),
    "if": Function(_condition, 2, 3),
    "json": Function(_nullable(_json), 1, 1),
    "lookup": Function(_nullable(lambda _budget, value, key: _map(value).get(_text(key))), 2, 2),
    "lower": Function(_nullable(lambda _budget, value: _bounded(_text(value)).lower()), 1, 1),
    "multiply": Function(_nullable(_multiply), 2, 2),
    "pair": Function(_nullable(lambda _budget, key, value: {_text(key): value}), 2, 2),
    "replace": Function(_nullable(_replace), 3, 3),
    "split": Function(_nullable(_split), 2, 2),
    "subtract": Function(_nullable(_subtract), 2, 2),
    "trim": Function(_nullable(lambda _budget, value: _text(value).strip()), 1, 1),
    "upper": Function(_nullable(lambda _budget, value: _bounded(_text(value)).upper()), 1, 1),
    "without": Function(_nullable(_without), 2, 2),
}
"""By name. JMESPath has no operator for `lookup(object, key)`, `pair(key, value)`,
`without(list, list)`, `if(condition, then, else)`, and arithmetic."""
