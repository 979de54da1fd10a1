"""Liquid templates in definitions, with limits.

The limits of the text are checked before python-liquid reads it, because its tokenizer takes
quadratic time for text that opens what it does not close. The limits of rendering belong to the
same environment, so that a template means the same wherever it is read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from liquid import Environment
from liquid.ast import Node
from liquid.builtin.expressions import LoopExpression
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.context import RenderContext
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.template import BoundTemplate
from liquid.undefined import FalsyStrictUndefined

from goald.domain.definitions.readers.limits import MAX_VALUE_SIZE, LimitedTemplate
from goald.domain.suggestions import nearest

MAX_TEMPLATE_CHARS: Final = 64 << 10
MAX_MARKUP_CHARS: Final = 500
"""Of one output or tag, with its delimiters."""
MAX_BRACKETS: Final = 10
"""Of one output or tag: python-liquid compares nested paths in quadratic time."""
VARIABLES: Final[Mapping[str, frozenset[str] | None]] = {
    "contact": None,
    "execution": frozenset({"id", "started_at", "attributes"}),
    "workflow": frozenset({"id", "name"}),
    "trigger": frozenset({"id", "source", "type", "time", "data"}),
}
"""The variables of templates, with their members; None: any. The attributes of a contact are
members of `contact` next to its id, email, phone, timezone, opted_in and tags."""

_MARKUP = re.compile(r"\{\{|\{%")
_VERBATIM = re.compile(r"\{%-?\s{0,50}(raw|doc)\s{0,50}-?%\}")
_LONG_SPACE = re.compile(r"\s{51}")


class TemplateEnvironment(Environment):
    """The Liquid of definitions: strict, without partial templates, and limited."""

    block_nesting_limit = 10
    context_depth_limit = 20
    loop_iteration_limit = 1_000
    """Of a loop with all loops around it, empty loops included."""
    output_stream_limit = 256 << 10
    local_namespace_limit = MAX_VALUE_SIZE
    template_class = LimitedTemplate

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        super().setup_tags_and_filters(extra=extra)
        for name in ("include", "render"):
            del self.tags[name]


ENVIRONMENT: Final = TemplateEnvironment(undefined=FalsyStrictUndefined)


def template_faults(source: str, *, has_trigger: bool) -> Iterator[str]:
    """Yield the faults of a template: limits, syntax, and variables that can never exist.
    `has_trigger`: whether events start executions, so that `trigger` can exist."""
    if len(source) > MAX_TEMPLATE_CHARS:
        yield f"a template must have at most {MAX_TEMPLATE_CHARS:,} characters"
        return
    limit = next(_markup_faults(source), None)
    if limit is not None:
        yield limit
        return
    try:
        template = ENVIRONMENT.parse(source)
    except LiquidError as error:
        yield _syntax_fault(source, error)
        return
    if any(_has_range(node) for node in template.nodes):
        yield "a range such as (1..9) can be used in a for loop only"
    yield from _unknown_names(template, has_trigger=has_trigger)


def _markup_faults(source: str) -> Iterator[str]:
    """Yield a fault for each output or tag that is not closed, or longer than it may be."""
    position = 0
    while found := _MARKUP.search(source, position):
        start = found.start()
        closes = "}}" if found[0] == "{{" else "%}"
        end = source.find(closes, start + 2, start + MAX_MARKUP_CHARS)
        if end < 0:
            where = f"line {_line(source, start)}: {found[0]}"
            if source.find(closes, start + 2) < 0:
                yield f"{where} is not closed by {closes}"
            else:
                yield f"{where} … {closes} has more than {MAX_MARKUP_CHARS} characters"
            return
        position = end + 2
        if _LONG_SPACE.search(source, start, position):
            yield f"line {_line(source, start)}: more than 50 spaces in {found[0]} … {closes}"
            return
        if source.count("[", start, position) > MAX_BRACKETS:
            where = f"line {_line(source, start)}: {found[0]} … {closes}"
            yield f"{where} has more than {MAX_BRACKETS} brackets"
            return
        verbatim = _VERBATIM.match(source, start)
        if verbatim:
            closing = re.compile(r"\{%-?\s{0,50}end" + verbatim[1] + r"\s{0,50}-?%\}")
            closed = closing.search(source, position)
            if closed is None:
                yield f"line {_line(source, start)}: {verbatim[1]} is not closed"
                return
            position = closed.end()


def _syntax_fault(source: str, error: LiquidError) -> str:
    index = error.token.start_index if error.token is not None else -1
    place = f"line {_line(source, index)}: " if index >= 0 else ""
    return f"the template does not parse: {place}{error.message}"


def _line(source: str, index: int) -> int:
    return source.count("\n", 0, index) + 1


def _has_range(node: Node) -> bool:
    """Return whether a range is used other than in a for loop, whose iterations are limited: a
    filter would make a list of it, however long."""
    if any(_contains_range(each) for each in node.expressions()):
        return True
    context = RenderContext(_EMPTY)
    return any(_has_range(child) for child in node.children(context, include_partials=False))


def _contains_range(expression: Expression) -> bool:
    if isinstance(expression, RangeLiteral):
        return True
    children: Iterable[Expression] = expression.children()
    if isinstance(expression, LoopExpression):
        children = (child for child in children if not isinstance(child, RangeLiteral))
    return any(_contains_range(child) for child in children)


_EMPTY: Final = BoundTemplate(ENVIRONMENT, nodes=[])


def _unknown_names(template: BoundTemplate, *, has_trigger: bool) -> Iterator[str]:
    """Yield a fault for each filter that does not exist, and for each variable that no execution
    can have."""
    analysis = template.analyze(include_partials=False)
    for name in analysis.filters:
        if name not in ENVIRONMENT.filters:
            suggestion = nearest(name, ENVIRONMENT.filters)
            hint = "" if suggestion is None else f". Did you mean {suggestion}?"
            yield f"unknown filter {name}{hint}"
    for name, uses in analysis.globals.items():
        if name not in VARIABLES:
            yield f"unknown variable {name}: templates have {', '.join(VARIABLES)}"
            continue
        if name == "trigger" and not has_trigger:
            yield "the variable trigger does not exist, because the workflow has no trigger"
            continue
        members = VARIABLES[name]
        for use in uses:
            member = use.segments[1] if len(use.segments) > 1 else None
            if members is not None and isinstance(member, str) and member not in members:
                known = ", ".join(sorted(members))
                yield f"unknown variable {name}.{member}: {name} has {known}"
