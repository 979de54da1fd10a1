"""Form-encoded and multipart bodies."""

from typing import Any, Final
from urllib.parse import parse_qsl

from goald.domain.errors import InvalidEvent

MAX_FIELDS: Final = 256
MAX_PART_HEADERS: Final = 8
MAX_PART_HEADER: Final = 4096

Form = dict[str, Any]
"""Values by name: text, or a list of text for a name that is repeated."""


def read_form(body: bytes) -> Form:
    """Return the fields of an `application/x-www-form-urlencoded` body. Raises InvalidEvent for
    more than MAX_FIELDS fields."""
    try:
        pairs = parse_qsl(
            body.decode("utf-8", "replace"),
            True,  # keeps fields without a value
            errors="replace",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise InvalidEvent(f"the form has more than {MAX_FIELDS} fields") from None
    return _form(pairs)


def read_multipart(body: bytes, content_type: str) -> Form:
    """Return the text fields of a `multipart/form-data` body; parts with a file name are left
    out. Raises InvalidEvent for a body that is malformed, cut off, or beyond the limits."""
    from python_multipart import MultipartParser
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidEvent("the Content-Type of the multipart body has no boundary")
    parts = _Parts(lambda value: parse_options_header(value)[1])
    try:
        parser = MultipartParser(
            boundary,
            parts.callbacks(),
            max_size=max(len(body), 1),
            max_header_count=MAX_PART_HEADERS,
            max_header_size=MAX_PART_HEADER,
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise InvalidEvent(f"the multipart body is malformed: {error}") from None
    if not parts.has_ended:
        raise InvalidEvent("the multipart body is cut off before its last boundary")
    return _form(parts.fields)


class _Parts:
    """Collects the text fields of a multipart body from the parser's callbacks."""

    def __init__(self, options_of: Any) -> None:
        self.fields: list[tuple[str, str]] = []
        self.has_ended = False
        self._options_of = options_of
        self._name = self._value = b""
        self._disposition = b""
        self._data: list[bytes] = []

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_part_data": lambda data, start, end: self._data.append(data[start:end]),
            "on_part_end": self._end,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._disposition, self._data = b"", []

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _end(self) -> None:
        options = self._options_of(self._disposition)
        name = options.get(b"name")
        if name is None or b"filename" in options:
            return
        if len(self.fields) >= MAX_FIELDS:
            raise InvalidEvent(f"the form has more than {MAX_FIELDS} fields")
        value = b"".join(self._data)
        self.fields.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))

    def _finish(self) -> None:
        self.has_ended = True


def _form(pairs: list[tuple[str, str]]) -> Form:
    form: Form = {}
    for name, value in pairs:
        if name not in form:
            form[name] = value
        elif isinstance(form[name], list):
            form[name].append(value)
        else:
            form[name] = [form[name], value]
    return form
