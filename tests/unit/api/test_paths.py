"""Ids in paths."""

import pytest
from pydantic import TypeAdapter, ValidationError

from goald.api.http.paths import PathId, loggable, routing_path

ids = TypeAdapter(PathId)


def test_id_may_contain_an_escaped_slash() -> None:
    _, before, within, after = routing_path(b"/a/x%2Fy%2fz/b").split("/")

    assert (before, ids.validate_python(within), after) == ("a", "x/y/z", "b")


def test_id_that_looks_like_an_escape_is_unchanged() -> None:
    assert ids.validate_python(routing_path(b"x%252Fy%20%C3%BC")) == "x%2Fy ü"


@pytest.mark.parametrize(
    "raw", [b"", b"a%00b", b"a%0Ab", b"%7f", b"%C2%85", b"%ff", b"a" * 257, ("😀" * 193).encode()]
)
def test_invalid_id_is_refused(raw: bytes) -> None:
    with pytest.raises(ValidationError):
        ids.validate_python(routing_path(raw))


def test_the_key_of_a_source_is_not_logged() -> None:
    assert loggable("/hooks/acme/pay/4jXo3HmnVJ1c9TqkZ8yQWg") == "/hooks/acme/pay/KEY"
    assert loggable("/hooks/acme/pay/4jXo/3Hmn") == "/hooks/acme/pay/KEY"
    assert loggable("/api/v1/sources/pay") == "/api/v1/sources/pay"


def test_length_of_an_id_is_counted_in_characters() -> None:
    with pytest.raises(ValidationError, match="at most 256 characters"):
        ids.validate_python("a" * 257)
