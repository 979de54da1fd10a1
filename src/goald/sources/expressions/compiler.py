"""Compiles the syntax tree of an expression to functions.

Each node becomes a function that calls those of its children. A source evaluates dozens of
expressions for each delivery, and a call takes a fraction of the time that looking up a node's kind
takes.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from goald.sources.expressions.budget import Budget
from goald.sources.expressions.functions import FUNCTIONS

Evaluator: TypeAlias = Callable[[Budget, Any], Any]
"""Returns the value of a node for the value that it is applied to."""

_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "lt": operator.lt,
    "gt": operator.gt,
    "lte": operator.le,
    "gte": operator.ge,
}


def compile_tree(tree: Any) -> tuple[Evaluator, int]:
    """Return the function of a tree, and the steps to charge before each call of it; the function
    itself charges those that depend on the value. Raises KeyError for a node that JMESPath does
    not have."""
    return _compiled(tree), _steps(tree)


def _charged(node: Any) -> Evaluator:
    """The function of a node that is evaluated for each element of a list. It charges its steps."""
    evaluate, steps = compile_tree(node)

    def charged(budget: Budget, value: Any) -> Any:
        budget.charge(steps)
        return evaluate(budget, value)

    return charged


def is_false(value: Any) -> bool:
    """Whether a value counts as false in JMESPath: 0 does not."""
    return value is None or value is False or (not value and isinstance(value, (str, list, dict)))


def _compiled(node: Any) -> Evaluator:
    return _COMPILERS[node["type"]](node)


def _steps(node: Any) -> int:
    """The nodes that are evaluated once; the others charge for themselves (`_charged`)."""
    repeated = _REPEATED.get(node["type"], ())
    return 1 + sum(
        _steps(child)
        for index, child in enumerate(node["children"])
        if index not in repeated and isinstance(child, dict)
    )


_REPEATED: Final[Mapping[str, Sequence[int]]] = {
    "expref": (0,),
    "filter_projection": (1, 2),
    "projection": (1,),
    "value_projection": (1,),
}
"""The children that are evaluated for each element of a list, by kind of node."""


def _identity(_node: Any) -> Evaluator:
    return lambda _budget, value: value


def _literal(node: Any) -> Evaluator:
    literal = node["value"]
    return lambda _budget, _value: literal


def _field(node: Any) -> Evaluator:
    name = node["value"]
    return lambda _budget, value: value.get(name) if isinstance(value, dict) else None


def _path(node: Any) -> Evaluator:
    """`a.b.c`: most nodes are these. The fields at the end are looked up in place."""
    parts = _parts(node)
    names: list[str] = []
    while parts and parts[-1]["type"] == "field":
        names.insert(0, parts.pop()["value"])
    start = [_compiled(part) for part in parts]

    def fields(_budget: Budget, value: Any) -> Any:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    def path(budget: Budget, value: Any) -> Any:
        for evaluate in start:
            value = evaluate(budget, value)
        return fields(budget, value)

    return path if start else fields


def _parts(node: Any) -> list[Any]:
    if node["type"] != "subexpression":
        return [node]
    return [part for child in node["children"] for part in _parts(child)]


def _sequence(node: Any) -> Evaluator:
    first, second = map(_compiled, node["children"])
    return lambda budget, value: second(budget, first(budget, value))


def _index(node: Any) -> Evaluator:
    index = node["value"]

    def element(_budget: Budget, value: Any) -> Any:
        if isinstance(value, list) and -len(value) <= index < len(value):
            return value[index]
        return None

    return element


def _slice(node: Any) -> Evaluator:
    bounds = slice(*node["children"])

    def part(budget: Budget, value: Any) -> Any:
        budget.charge_for(value)
        return value[bounds] if isinstance(value, list) else None

    return part


def _flatten(node: Any) -> Evaluator:
    base = _compiled(node["children"][0])

    def flattened(budget: Budget, value: Any) -> Any:
        elements = base(budget, value)
        if not isinstance(elements, list):
            return None
        flat: list[Any] = []
        for element in elements:
            if isinstance(element, list):
                flat.extend(element)
            else:
                flat.append(element)
        budget.charge_for(elements)
        budget.charge_for(flat)
        return flat

    return flattened


def _projection(node: Any) -> Evaluator:
    base, each = _compiled(node["children"][0]), _charged(node["children"][1])

    def projected(budget: Budget, value: Any) -> Any:
        elements = base(budget, value)
        if not isinstance(elements, list):
            return None
        values = [each(budget, element) for element in elements]
        return [found for found in values if found is not None]

    return projected


def _value_projection(node: Any) -> Evaluator:
    base, each = _compiled(node["children"][0]), _charged(node["children"][1])

    def projected(budget: Budget, value: Any) -> Any:
        members = base(budget, value)
        if not isinstance(members, dict):
            return None
        values = [each(budget, member) for member in members.values()]
        return [found for found in values if found is not None]

    return projected


def _filter_projection(node: Any) -> Evaluator:
    base = _compiled(node["children"][0])
    each, condition = _charged(node["children"][1]), _charged(node["children"][2])

    def filtered(budget: Budget, value: Any) -> Any:
        elements = base(budget, value)
        if not isinstance(elements, list):
            return None
        values = [
            each(budget, element)
            for element in elements
            if not is_false(condition(budget, element))
        ]
        return [found for found in values if found is not None]

    return filtered


def _multi_select_list(node: Any) -> Evaluator:
    members = [_compiled(child) for child in node["children"]]

    def selected(budget: Budget, value: Any) -> Any:
        if value is None:
            return None
        return [member(budget, value) for member in members]

    return selected


def _multi_select_dict(node: Any) -> Evaluator:
    members = [(child["value"], _compiled(child["children"][0])) for child in node["children"]]

    def selected(budget: Budget, value: Any) -> Any:
        if value is None:
            return None
        return {name: member(budget, value) for name, member in members}

    return selected


def _or(node: Any) -> Evaluator:
    first, second = map(_compiled, node["children"])

    def either(budget: Budget, value: Any) -> Any:
        found = first(budget, value)
        return second(budget, value) if is_false(found) else found

    return either


def _and(node: Any) -> Evaluator:
    first, second = map(_compiled, node["children"])

    def both(budget: Budget, value: Any) -> Any:
        found = first(budget, value)
        return found if is_false(found) else second(budget, value)

    return both


def _not(node: Any) -> Evaluator:
    negated = _compiled(node["children"][0])
    return lambda budget, value: is_false(negated(budget, value))


def _comparator(node: Any) -> Evaluator:
    first, second = map(_compiled, node["children"])
    if node["value"] == "eq":
        literal = node["children"][1].get("value")
        if node["children"][1]["type"] == "literal" and isinstance(literal, str):
            return lambda budget, value: bool(first(budget, value) == literal)
        return lambda budget, value: budget.equal(first(budget, value), second(budget, value))
    if node["value"] == "ne":
        return lambda budget, value: not budget.equal(first(budget, value), second(budget, value))
    order = _ORDERS[node["value"]]

    def ordered(budget: Budget, value: Any) -> Any:
        operand, limit = first(budget, value), second(budget, value)
        budget.charge_for(operand)
        kind = _sort(operand)
        return order(operand, limit) if kind is not None and kind is _sort(limit) else None

    return ordered


def _sort(value: Any) -> type | None:
    """The order that a value belongs to: that of numbers, that of text, or none."""
    if isinstance(value, str):
        return str
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return int
    return None


def _expref(node: Any) -> Evaluator:
    each = _charged(node["children"][0])
    return lambda _budget, _value: each


def _function(node: Any) -> Evaluator:
    call = FUNCTIONS[node["value"]].call
    arguments = [_compiled(child) for child in node["children"]]

    def called(budget: Budget, value: Any) -> Any:
        given = [argument(budget, value) for argument in arguments]
        for each in given:
            budget.charge_for(each)
        result = call(budget, *given)
        budget.charge_for(result)
        return result

    return called


_COMPILERS: Final[Mapping[str, Callable[[Any], Evaluator]]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _identity,
    "expref": _expref,
    "field": _field,
    "filter_projection": _filter_projection,
    "flatten": _flatten,
    "function_expression": _function,
    "identity": _identity,
    "index": _index,
    "index_expression": _sequence,
    "literal": _literal,
    "multi_select_dict": _multi_select_dict,
    "multi_select_list": _multi_select_list,
    "not_expression": _not,
    "or_expression": _or,
    "pipe": _sequence,
    "projection": _projection,
    "slice": _slice,
    "subexpression": _path,
    "value_projection": _value_projection,
}
