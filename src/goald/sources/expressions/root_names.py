"""The names that an expression looks up in the object that it is evaluated for."""

from typing import Any, Final

_FIRST_ONLY: Final = frozenset(
    {
        "subexpression",
        "index_expression",
        "projection",
        "value_projection",
        "filter_projection",
        "pipe",
    }
)
"""The nodes whose other children are evaluated for the value of the first child."""


def root_names(tree: Any) -> frozenset[str]:
    """Return the names of a syntax tree of jmespath that are members of the root object: `body` and
    `headers` of `body.a || headers.b[?c]`. An expression all of whose names are missing from the
    root can find nothing in any delivery."""
    kind, children = tree["type"], tree["children"]
    if kind == "field":
        return frozenset((tree["value"],))
    if kind == "expref":
        return frozenset()
    own = children[:1] if kind in _FIRST_ONLY else children
    return frozenset().union(*(root_names(child) for child in own if isinstance(child, dict)))
