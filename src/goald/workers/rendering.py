"""Renders the templates of an action."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from liquid.exceptions import (
    LiquidError,
    LiquidSyntaxError,
    ResourceLimitError,
    UndefinedError,
    UnknownFilterError,
)
from liquid.output import LimitedStringIO
from liquid.template import BoundTemplate

from goald.domain.actions.masks import mask_text
from goald.domain.definitions.readers.limits import LimitedContext, RenderingTime
from goald.domain.definitions.readers.templates import ENVIRONMENT, MAX_TEMPLATE_CHARS
from goald.domain.errors import PermanentError

MAX_RENDERED_BYTES: Final = 256 << 10
"""The limit of the texts of an action together."""
_EXCERPT_CHARS: Final = 60


class RenderingFailed(PermanentError):
    """A template cannot be rendered, as with a variable that the contact does not have. The message
    contains no value, but the output or tag of the template that failed."""


def render(
    config: Mapping[str, Any],
    variables: Mapping[str, Any],
    clock: Callable[[], float] = time.thread_time,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> dict[str, Any]:
    """The fields of an action with every text rendered. The texts are valid Unicode. `clock`: the
    processor time of this thread in seconds. `now`: the time of `"now" | date`. Raises
    RenderingFailed, and nothing else."""
    try:
        rendering = _Rendering(variables, RenderingTime(clock), now())
        return {name: rendering.value(value) for name, value in config.items()}
    except RenderingFailed:
        raise
    except Exception as error:
        reason = f"a template cannot be rendered: {type(error).__name__}"
        raise RenderingFailed(reason) from None


class _Rendering:
    def __init__(
        self, variables: Mapping[str, Any], time_left: RenderingTime, now: datetime
    ) -> None:
        self._variables = variables
        self._now = now
        self._time = time_left
        self._remaining = MAX_RENDERED_BYTES

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {self._charged(name): self.value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self.value(each) for each in value]
        return value

    def _text(self, source: str) -> str:
        if "{{" not in source and "{%" not in source:
            return self._charged(source)
        try:
            text = self._render(_parsed(source))
        except RenderingFailed:
            raise
        except Exception as error:
            # The message of an error may contain a value, and its cause too.
            raise RenderingFailed(f"{_reason(error)}{_place(source, error)}") from None
        return self._charged(text)

    def _render(self, template: BoundTemplate) -> str:
        output = LimitedStringIO(limit=self._remaining)
        context = LimitedContext(template, globals=self._variables, time=self._time, now=self._now)
        template.render_with_context(context, output)
        return output.getvalue()

    def _charged(self, text: str) -> str:
        """The text, counted against the limit."""
        try:
            self._remaining -= len(text.encode())
        except UnicodeEncodeError:
            raise RenderingFailed("a text is not valid Unicode") from None
        if self._remaining < 0:
            limit = f"{MAX_RENDERED_BYTES:,} bytes"
            raise RenderingFailed(f"the rendered action has more than {limit}")
        return text


@lru_cache(maxsize=1_024)
def _parsed(source: str) -> BoundTemplate:
    if len(source) > MAX_TEMPLATE_CHARS:
        raise RenderingFailed(f"a template has more than {MAX_TEMPLATE_CHARS:,} characters")
    return ENVIRONMENT.parse(source)


def _reason(error: Exception) -> str:
    match error:
        case UndefinedError():
            return "a variable has no value"
        case ResourceLimitError():
            return f"the template exceeds a limit: {error.message}"
        case LiquidSyntaxError() | UnknownFilterError():
            return f"the template is invalid: {error.message}"
        case RecursionError():
            return "the template is nested too deeply"
        case UnicodeError():
            return "a text is not valid Unicode"
        case _:
            return "a filter cannot be applied to its value"


def _place(source: str, error: Exception) -> str:
    """The output or tag that failed, as it is in the template."""
    token = error.token if isinstance(error, LiquidError) else None
    if token is None or not 0 <= token.start_index < len(source):
        return ""
    end = token.start_index + 2
    start = max(source.rfind("{{", 0, end), source.rfind("{%", 0, end), 0)
    excerpt = mask_text(source[start : start + _EXCERPT_CHARS]).encode("utf-8", "replace").decode()
    return f", at {excerpt}"
