"""Renders the templates of an action."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from liquid.exceptions import LiquidError
from liquid.template import BoundTemplate

from goald.domain.definitions.readers.templates import ENVIRONMENT, MAX_TEMPLATE_CHARS
from goald.domain.errors import PermanentError

MAX_RENDERED_BYTES: Final = 256 << 10
"""The limit of the texts of an action together."""


class RenderingFailed(PermanentError):
    """A template cannot be rendered, as with a variable that the contact does not have. The message
    contains no value."""


def render(config: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an action with every text rendered. Raises RenderingFailed."""
    rendering = _Rendering(variables)
    return {name: rendering.value(value) for name, value in config.items()}


class _Rendering:
    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self._remaining = MAX_RENDERED_BYTES

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return value

    def _text(self, source: str) -> str:
        text = source
        if "{{" in source or "{%" in source:
            try:
                text = _parsed(source).render(**self._variables)
            except LiquidError as error:
                raise RenderingFailed(f"a template cannot be rendered: {error.message}") from None
            except RecursionError:
                raise RenderingFailed("a template is nested too deeply") from None
        self._remaining -= len(text.encode("utf-8", "replace"))
        if self._remaining < 0:
            limit = f"{MAX_RENDERED_BYTES:,} bytes"
            raise RenderingFailed(f"the rendered action has more than {limit}")
        return text


@lru_cache(maxsize=1_024)
def _parsed(source: str) -> BoundTemplate:
    if len(source) > MAX_TEMPLATE_CHARS:
        raise RenderingFailed(f"a template has more than {MAX_TEMPLATE_CHARS:,} characters")
    return ENVIRONMENT.parse(source)
