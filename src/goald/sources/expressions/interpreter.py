"""Evaluates JMESPath within a budget. Imported when the first expression is compiled, because
jmespath is needed only by those who have sources."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from jmespath.visitor import TreeInterpreter

from goald.sources.expressions.functions import FUNCTIONS, BudgetExhausted

MAX_STEPS: Final = 200_000
"""Steps of all the expressions of one delivery; a step takes about a microsecond."""


class BudgetedInterpreter(TreeInterpreter):
    """One for each delivery. Every visited node is a step, and so is every 32 elements of a list
    and every 256 characters of text that a node gives, so that the work is bounded for all
    expressions and bodies. Raises BudgetExhausted beyond MAX_STEPS."""

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        super().__init__()
        self._remaining = max_steps
        self._visits: dict[str, Callable[[Any, Any], Any]] = {}

    def charge(self, steps: int) -> None:
        self._remaining -= steps
        if self._remaining < 0:
            raise BudgetExhausted

    def visit(self, node: Any, value: Any) -> Any:
        self._remaining -= 1
        if self._remaining < 0:
            raise BudgetExhausted
        kind = node["type"]
        visit = self._visits.get(kind)
        if visit is None:
            visit = self._visits[kind] = getattr(self, f"visit_{kind}")
        result = visit(node, value)
        if isinstance(result, list):
            self._remaining -= len(result) >> 5
        elif isinstance(result, str):
            self._remaining -= len(result) >> 8
        return result

    def apply(self, expression: Any, value: Any) -> Any:
        return self.visit(expression.expression, value)

    def equal(self, first: Any, second: Any) -> bool:
        """Whether two values are equal as JSON: 1 equals 1.0, and not true."""
        self.charge(1)
        if isinstance(first, list) and isinstance(second, list):
            return len(first) == len(second) and all(map(self.equal, first, second))
        if isinstance(first, dict) and isinstance(second, dict):
            return first.keys() == second.keys() and all(
                self.equal(each, second[name]) for name, each in first.items()
            )
        if isinstance(first, bool) or isinstance(second, bool):
            return first is second
        return bool(first == second)

    def visit_subexpression(self, node: Any, value: Any) -> Any:
        """A path, with its fields looked up in place: most nodes of expressions are these."""
        for child in node["children"]:
            if child["type"] != "field":
                value = self.visit(child, value)
            elif isinstance(value, dict):
                self.charge(1)
                value = value.get(child["value"])
            else:
                value = None
        return value

    def visit_comparator(self, node: Any, value: Any) -> Any:
        first = self.visit(node["children"][0], value)
        second = self.visit(node["children"][1], value)
        if node["value"] == "eq":
            return self.equal(first, second)
        if node["value"] == "ne":
            return not self.equal(first, second)
        if _sort(first) is None or _sort(first) is not _sort(second):
            return None
        return self.COMPARATOR_FUNC[node["value"]](first, second)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        arguments = [self.visit(child, value) for child in node["children"]]
        return FUNCTIONS[node["value"]].call(self, *arguments)


def _sort(value: Any) -> type | None:
    """The order that a value belongs to: that of numbers, that of text, or none."""
    if isinstance(value, str):
        return str
    if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
        return int
    return None
