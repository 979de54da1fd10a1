"""Mapping expressions: JMESPath, compiled once, with static bounds that keep hostile ones cheap.

Length alone is no bound: `[@, @] | [@, @] | …` doubles its result with each step. So the number of
nodes, their depth and the product of the widths of all multi-selects are limited when an expression
is compiled, and a `Budget` counts steps when it is evaluated.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from goald.domain.suggestions import nearest
from goald.sources.expressions.budget import Budget, BudgetExhausted
from goald.sources.expressions.compiler import Evaluator, compile_tree
from goald.sources.expressions.functions import FUNCTIONS, Function, FunctionFault
from goald.sources.expressions.root_names import root_names

MAX_TEXT: Final = 2_000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 32
MAX_WIDTH: Final = 64
"""The product of the widths of all multi-select lists and objects of an expression."""
_MAX_OPEN: Final = 64
_EXPREF_ARGUMENTS: Final = {"map": 0, "max_by": 1, "min_by": 1, "sort_by": 1}
"""The argument that is an expression (`&…`), by function."""


class ExpressionFault(Exception):
    """An expression is invalid, or cannot be evaluated for a delivery."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression."""

    text: str
    _evaluator: Evaluator = field(repr=False, compare=False)
    _steps: int = field(repr=False, compare=False)
    names: frozenset[str] = field(repr=False, compare=False)
    """The members of the root object that it refers to."""

    def evaluate(self, budget: Budget, root: Any) -> Any:
        """Return the value for a root object; None if a path leads nowhere.

        Raises ExpressionFault if the expression does not fit the data, and BudgetExhausted.
        """
        try:
            budget.charge(self._steps)
            return self._evaluator(budget, root)
        except BudgetExhausted:
            raise
        except FunctionFault as fault:
            raise ExpressionFault(f"a function {fault}") from None
        except RecursionError:
            raise ExpressionFault("is too deep for this delivery") from None
        except Exception as error:
            # Such as a slice of step 0: data does not fit an expression in many ways.
            raise ExpressionFault(f"cannot be evaluated: {str(error)[:200]}") from None


def compile_expression(text: str) -> Expression:
    """Compile an expression. Raises ExpressionFault with a message for its author."""
    if len(text) > MAX_TEXT:
        raise ExpressionFault(f"has more than {MAX_TEXT} characters")
    if sum(map(text.count, "([{!&")) > _MAX_OPEN:
        raise ExpressionFault(f"has more than {_MAX_OPEN} brackets, ! and &")
    import jmespath

    try:
        tree = jmespath.compile(text).parsed
    except RecursionError:
        raise ExpressionFault("is nested too deeply") from None
    except Exception as error:  # of several kinds, and warnings if they are errors
        raise ExpressionFault(f"is not a JMESPath expression: {_reason(error, text)}") from None
    _check_bounds(tree)
    return Expression(text, *compile_tree(_exact(tree)), root_names(tree))


def _reason(error: Exception, text: str) -> str:
    """Return the reason of jmespath in one line, followed by the expression."""
    line = next(iter(str(error).splitlines()), "")[:200]
    for introduction in ("Bad jmespath expression: ", "Invalid jmespath expression: "):
        line = line.removeprefix(introduction)
    reason = line.removesuffix(":").removesuffix(", for expression")
    return f"{reason}, in {' '.join(text.split())[:200]}"


def _check_bounds(tree: Any) -> None:
    width = 1
    for nodes, (node, depth) in enumerate(_walk(tree), start=1):
        if nodes > MAX_NODES:
            raise ExpressionFault(f"has more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise ExpressionFault(f"is nested more than {MAX_DEPTH} deep")
        if node["type"] in ("multi_select_list", "multi_select_dict"):
            width *= len(node["children"])
        elif node["type"] == "function_expression":
            _check_call(node)
        elif node["type"] == "subexpression" and node["children"][0]["type"] == "not_expression":
            raise ExpressionFault("has !a.b, which means (!a).b: write !(a.b)")
    if width > MAX_WIDTH:
        raise ExpressionFault(
            f"builds too many lists: the product of the lengths of all [a, b] and {{a: b}} exceeds "
            f"{MAX_WIDTH}"
        )


def _walk(tree: Any) -> Iterator[tuple[Any, int]]:
    """The nodes of a tree with their depth. Slices have numbers as children."""
    open_nodes = [(tree, 1)]
    while open_nodes:
        node, depth = open_nodes.pop()
        yield node, depth
        open_nodes += [(each, depth + 1) for each in node["children"] if isinstance(each, dict)]


def _check_call(node: Any) -> None:
    name, arguments = node["value"], node["children"]
    function = FUNCTIONS.get(name)
    if function is None:
        near = nearest(name, FUNCTIONS)
        raise ExpressionFault(
            f"unknown function {name}()" + (f". Did you mean {near}()?" if near else "")
        )
    if not function.least <= len(arguments) <= function.most:
        raise ExpressionFault(_wrong_count(name, function, len(arguments)))
    for index, argument in enumerate(arguments):
        if (argument["type"] == "expref") != (_EXPREF_ARGUMENTS.get(name) == index):
            raise ExpressionFault(f"{name}(): an argument with & is missing or misplaced")


def _wrong_count(name: str, function: Function, count: int) -> str:
    if function.least == function.most:
        needed = f"{function.most} argument{'' if function.most == 1 else 's'}"
    elif count < function.least:
        needed = f"at least {function.least} argument{'' if function.least == 1 else 's'}"
    else:
        needed = f"at most {function.most} arguments"
    return f"{name}() needs {needed}, has {count}"


def _exact(node: Any) -> Any:
    """Return a copy of a tree in which the numbers of literals are Decimals."""
    copy = dict(node)
    if node["type"] == "literal":
        copy["value"] = _exact_value(node["value"])
    copy["children"] = [
        _exact(each) if isinstance(each, dict) else each for each in node["children"]
    ]
    return copy


def _exact_value(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_exact_value(each) for each in value]
    if isinstance(value, dict):
        return {name: _exact_value(each) for name, each in value.items()}
    return value
