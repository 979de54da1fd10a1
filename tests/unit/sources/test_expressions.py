"""Expressions evaluate as JMESPath does, with exact numbers, and within their budget."""

from decimal import Decimal
from typing import Any

import pytest

from goald.sources.expressions.budget import Budget, BudgetExhausted
from goald.sources.expressions.expression import ExpressionFault, compile_expression
from goald.sources.expressions.functions import MAX_TEXT

ROOT: dict[str, Any] = {
    "a": {"b": "q", "n": Decimal("1.10"), "i": 3},
    "list": [{"k": "x", "v": 2}, {"k": "y", "v": 1}],
    "tags": "vip, , old",
    "five": 5,
}


def value(text: str, root: Any = ROOT) -> Any:
    return compile_expression(text).evaluate(Budget(), root)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b", "q"),
        ("a.missing.b", None),
        ("five.b", None),
        ("five.b.not_null(@, 'k')", "k"),
        ("a.n == `1.1`", True),
        ("a.i > `2` && a.n < `1.2`", True),
        ("a.i > 'x'", None),
        ("a.i == '3'", False),
        ("`true` == `1`", False),
        ("list[?k == 'y'].v | [0]", 1),
        ("sort_by(list, &v)[0].k", "y"),
        ("max_by(list, &v).k", "x"),
        ("map(&k, list)", ["x", "y"]),
        ("split(tags, ',')", ["vip", "old"]),
        ("without(list[].v, [`1`])", [2]),
        ("contains(list[].k, 'y')", True),
        ("keys(missing)", None),
        ("length(missing)", None),
        ("concat(a.b, '-', a.n)", "q-1.10"),
        ("concat(a.b, missing)", None),
        ("if(missing, 'x', 'y')", "y"),
        ("pair('k', a.b)", {"k": "q"}),
        ("lookup({x: a.b}, 'x')", "q"),
        ("json('{\"n\": 1.50}').n", Decimal("1.50")),
        ("sum([a.n, '2.05'])", Decimal("3.15")),
        ("abs('-10.00')", Decimal("10.00")),
        ("to_number('x')", None),
        ("type(a.n)", "number"),
        ("replace(a.b, 'q', 'r')", "r"),
        ("upper(trim(' ab '))", "AB"),
        ("merge(a, {b: 'z'}).b", "z"),
        ("reverse(list)[0].k", "y"),
        ("join('-', ['a', `1`, missing])", "a-1"),
    ],
)
def test_an_expression_has_its_value(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["join(',', a)", "to_string(list)", "sum(list)", "sort([`1`, 'a'])", "list[::0]", "json('{')"],
)
def test_an_expression_that_does_not_fit_the_data_is_a_fault(text: str) -> None:
    with pytest.raises(ExpressionFault):
        value(text)


def test_every_visited_node_is_charged() -> None:
    with pytest.raises(BudgetExhausted):
        compile_expression("map(&@, @)").evaluate(Budget(1_000), [0] * 2_000)


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("length(@)", [0] * 64_000),
        ("length(@)", "x" * 512_000),
        ("@[]", [0] * 64_000),
        ("@[1:]", [0] * 64_000),
        ("@ == @", "x" * 512_000),
        ("@ < 'x'", "x" * 512_000),
        ("[split(@, 'x')]", "ax" * 2_000),
        ("contains(@, `1`)", [0] * 2_000),
        ("contains(@, 'x')", [0] * 2_000),
        ("@[*].a", [0] * 2_000),
        ("@[?a]", [0] * 2_000),
        ("*.a", {str(number): 0 for number in range(2_000)}),
    ],
)
def test_long_lists_and_texts_are_charged(text: str, root: Any) -> None:
    with pytest.raises(BudgetExhausted):
        compile_expression(text).evaluate(Budget(1_900), root)


@pytest.mark.parametrize("text", ["concat(@, @)", "join(@, [@, @])", "replace(@, 'x', 'xx')"])
def test_text_that_a_function_makes_is_bounded(text: str) -> None:
    with pytest.raises(ExpressionFault, match="characters"):
        value(text, "x" * (MAX_TEXT - 1))
