"""Limits of rendering a template: the size of each value, and processor time.

python-liquid limits what a template writes and keeps, but a filter builds its result before it is
written or kept, and one filter can build a text of any size from two short ones. So every value
that a filter takes or returns is limited here, and a result that could be longer than its input by
more than a constant factor is predicted and refused before it is built.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, NoReturn

from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.context import RenderContext
from liquid.exceptions import (
    LiquidTypeError,
    LocalNamespaceLimitError,
    LoopIterationLimitError,
    ResourceLimitError,
)
from liquid.template import BoundTemplate
from liquid.token import Token
from liquid.undefined import Undefined

MAX_VALUE_SIZE: Final = 512 << 10
"""Of a value that a filter takes or returns, and of all variables that a template assigns."""
MAX_LOOP_POSITION: Final = 10_000
"""How far a loop may read into what it iterates over, with its offset."""
MAX_TEXT_OF_DATE: Final = 100
MAX_DISTINCT: Final = 1_000
"""How many items `uniq` may compare with each other."""
MAX_HTML_CHARS: Final = 64 << 10
"""How much text `strip_html` may parse."""
RENDERING_SECONDS: Final = 0.1
"""Processor time for all templates of an action together."""

_MAX_NUMBER_BITS: Final = 100
_ITEM_SIZE: Final = 128
_MEMBER_SIZE: Final = 16
_SCALAR_SIZE: Final = 32

_FilterFunction = Callable[..., object]


class RenderingTime:
    """The processor time that rendering may take. Rendering asks at every loop and filter."""

    def __init__(self, clock: Callable[[], float], seconds: float = RENDERING_SECONDS) -> None:
        """`clock`: the processor time of this thread in seconds, which other work does not
        advance."""
        self._clock = clock
        self._end = clock() + seconds

    def check(self) -> None:
        """Raises ResourceLimitError if the time is used up."""
        if self._clock() > self._end:
            raise ResourceLimitError("rendering takes too long", token=None)


class LimitedContext(RenderContext):
    """The state of rendering one template, with the limits of this module."""

    __slots__ = ("_now", "_sizes", "_time")

    def __init__(
        self,
        template: BoundTemplate,
        *,
        time: RenderingTime | None = None,
        now: datetime | None = None,
        **options: Any,
    ) -> None:
        """`now`: the time of `"now" | date`."""
        super().__init__(template, **options)
        self._now = now
        self._time = time
        self._sizes: dict[str, int] = {}
        """Of the variables that the template has assigned."""

    def filter(self, name: str, token: Token | None) -> _FilterFunction:
        function = super().filter(name, token)

        def limited(value: object, *arguments: object, **options: object) -> object:
            self._check_time()
            if name == "date" and self._now and isinstance(value, str):
                # python-liquid keeps the text of a date, also that of "now".
                value = self._now if value in ("now", "today") else value
            _check_call(name, value, arguments, options, token)
            result = function(value, *arguments, **options)
            size_of(result)
            return result

        return limited

    def assign(self, key: str, val: object) -> None:
        self._check_time()
        self._sizes[key] = size_of(val)
        if sum(self._sizes.values()) > MAX_VALUE_SIZE:
            raise LocalNamespaceLimitError("the variables are too large", token=None)
        self.locals[key] = val

    def stopindex(self, key: str, index: int | None = None) -> int:
        """Called with the position at which a loop ends, before anything is iterated over."""
        if index is not None and index > MAX_LOOP_POSITION:
            raise LoopIterationLimitError("loop iteration limit reached", token=None)
        return super().stopindex(key, index)

    @contextmanager
    def loop(
        self, namespace: Mapping[str, object], forloop: ForLoop | TableRow
    ) -> Iterator[RenderContext]:
        forloop.it = self._timed(forloop.it)
        with super().loop(namespace, forloop) as context:
            yield context

    def _timed(self, items: Iterator[Any]) -> Iterator[Any]:
        for item in items:
            self._check_time()
            yield item

    def _check_time(self) -> None:
        if self._time is not None:
            self._time.check()


class LimitedTemplate(BoundTemplate):
    """A template that is rendered with the limits of this module."""

    context_class = LimitedContext


def size_of(value: object) -> int:
    """The size of a value: its characters and items, however deep. Shared parts count each time,
    because a text that is made of the value has them each time. Raises ResourceLimitError as soon
    as it is more than MAX_VALUE_SIZE."""
    size, rest = 0, [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str):
            size += len(each)
        elif isinstance(each, Undefined):
            size += _SCALAR_SIZE
        elif isinstance(each, dict):
            size += sum(_MEMBER_SIZE + len(str(name)) for name in each)
            rest.extend(each.values())
        elif isinstance(each, list | tuple | range):
            size += _ITEM_SIZE * len(each)
            if size <= MAX_VALUE_SIZE:
                rest.extend(each)
        elif isinstance(each, int) and each.bit_length() > _MAX_NUMBER_BITS:
            _refuse("a number is too large")
        else:
            size += _SCALAR_SIZE
        if size > MAX_VALUE_SIZE:
            _refuse("a value is too large")
    return size


def _check_call(
    name: str,
    value: object,
    arguments: tuple[object, ...],
    options: Mapping[str, object],
    token: Token | None,
) -> None:
    """Refuse a filter whose input is too large, or whose result would be."""
    if options and name != "default":
        raise LiquidTypeError(f"{name} has no named argument", token=token)
    size = sum(map(size_of, (value, *arguments)))
    predict = _PREDICTIONS.get(name)
    if size > MAX_VALUE_SIZE or (predict and predict(value, *arguments) > MAX_VALUE_SIZE):
        _refuse("a value is too large")


def _replaced(value: object, old: object = "", new: object = "", *_: object) -> int:
    text, replaced = str(value), str(old)
    count = text.count(replaced) if replaced else len(text) + 1
    return len(text) + count * len(str(new))


def _joined(value: object, separator: object = " ", *_: object) -> int:
    size = size_of(value)
    return size + size // _ITEM_SIZE * len(str(separator))


def _parts(value: object, separator: object = "", *_: object) -> int:
    text = str(value)
    undivided = separator is None or isinstance(separator, Undefined) or separator == ""
    count = len(text) if undivided else text.count(str(separator)) + 1
    return len(text) + _ITEM_SIZE * count


def _distinct(value: object, *_: object) -> int:
    is_long = isinstance(value, list | tuple) and size_of(value) > _ITEM_SIZE * MAX_DISTINCT
    return MAX_VALUE_SIZE + 1 if is_long else 0


def _date(value: object, form: object = "", *_: object) -> int:
    is_long = max(len(str(value)), len(str(form))) > MAX_TEXT_OF_DATE
    return MAX_VALUE_SIZE + 1 if is_long else 0


def _stripped(value: object, *_: object) -> int:
    return MAX_VALUE_SIZE + 1 if len(str(value)) > MAX_HTML_CHARS else 0


_PREDICTIONS: Final[Mapping[str, Callable[..., int]]] = {
    "replace": _replaced,
    "join": _joined,
    "split": _parts,
    "uniq": _distinct,
    "date": _date,
    "strip_html": _stripped,
}
"""The size of a result before it is built, or more than the limit for an input that takes long.
Results of other filters have at most a constant factor of the size of their inputs."""


def _refuse(what: str) -> NoReturn:
    raise ResourceLimitError(what, token=None)
