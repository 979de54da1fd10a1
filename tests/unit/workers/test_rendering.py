"""Templates of actions."""

import tracemalloc
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goald.domain.definitions.readers.templates import ENVIRONMENT
from goald.workers.rendering import RenderingFailed, render

CONTACT = {"contact": {"first_name": "Jane", "tags": ["VIP"], "note": "x" * 1_000}}


def still() -> float:
    """A clock of processor time that does not advance, for tests of other limits."""
    return 0.0


def test_texts_are_rendered_wherever_they_are() -> None:
    config = {
        "subject": "Hi {{ contact.first_name }}",
        "body": {"list": ["{% if contact.tags contains 'VIP' %}yes{% endif %}", 3, None, True]},
    }
    assert render(config, CONTACT) == {
        "subject": "Hi Jane",
        "body": {"list": ["yes", 3, None, True]},
    }


def test_what_a_contact_gives_is_not_a_template() -> None:
    variables = {"contact": {"first_name": "{{ contact.secret }}", "secret": "s"}}
    assert render({"t": "{{ contact.first_name }}"}, variables) == {"t": "{{ contact.secret }}"}


@pytest.mark.parametrize(
    "source",
    [
        "{{ contact.surname }}",
        "{{ nothing }}",
        "{% for a in (1..100000000) %}{% endfor %}",
        "{% for a in (1..2000) %}{% endfor %}",
        "{% for a in (1..40) %}{% for b in (1..40) %}{% endfor %}{% endfor %}",
        "{% for a in (1..999) %}{{ contact.note }}{% endfor %}",
        "{{ 1 | divided_by: 0 }}",
        "{% include 'x' %}",
        "{{ 'a' | unknown }}",
        "{{ 'a' | slice: contact.first_name }}",
    ],
)
def test_a_template_that_fails_or_exceeds_a_limit_is_an_error_without_values(source: str) -> None:
    with pytest.raises(RenderingFailed) as failed:
        render({"t": source}, CONTACT)
    assert "Jane" not in str(failed.value).partition(", at ")[0]


def test_an_error_shows_the_template_but_no_value() -> None:
    with pytest.raises(
        RenderingFailed, match=r"a variable has no value, at \{\{ contact\["
    ) as missing:
        render({"t": "Hi {{ contact[contact.first_name] }}"}, CONTACT)
    assert "Jane" not in str(missing.value)
    with pytest.raises(RenderingFailed) as other:
        render({"t": "{{ contact.tags | sum: contact.first_name, 'a@example.com' }}"}, CONTACT)
    assert "a@example.com" not in str(other.value)


def test_the_texts_of_an_action_have_a_limit_together() -> None:
    with pytest.raises(RenderingFailed, match="262,144 bytes"):
        render({str(n): "x" * 60_000 for n in range(5)}, CONTACT)


def test_now_is_the_time_of_rendering() -> None:
    """python-liquid keeps the text of a date, so the second would have that of the first."""
    config = {"t": "{{ 'now' | date: '%H:%M' }}"}
    times = [datetime(2026, 11, 28, hour, 30, tzinfo=UTC) for hour in (17, 9)]
    assert render(config, CONTACT, now=times.pop) == {"t": "09:30"}
    assert render(config, CONTACT, now=times.pop) == {"t": "17:30"}


# Values that a filter or a loop builds

DOUBLED = "{% assign a = contact.tags %}" + "{% assign a = a | concat: a %}" * 30
BOMBS = {
    "replace": "{{ 'aaaaaaaaaa'" + " | replace: '', 'bbbbbbbbbb'" * 12 + " }}",
    "replace a text": "{{ 'a'" + " | replace: 'a', 'aaaaaaaaaaaaaaaaaaaa'" * 12 + " }}",
    "append": "{% assign a = 'aaaa' %}" + "{% assign a = a | append: a %}" * 40,
    "concat": DOUBLED,
    "join": "{% assign a = 'a b c' | split: ' ' %}"
    + "{% assign b = a | join: contact.note %}{% assign a = b | split: 'x' %}" * 12,
    "list of one text": "{% assign a = contact.note | split: ',' %}"
    + "{% assign a = a | concat: a %}" * 11
    + "{{ a }}",
    "many variables": "".join(
        "{% assign v" + str(n) + " = contact.note | replace: 'x', '" + "y" * 100 + "' | split: 'z'"
        " %}"
        for n in range(300)
    ),
    "url_encode": "{{ 'ééé'" + " | url_encode | replace: '%', 'éé'" * 12 + " }}",
    "numbers": "{% assign a = 999999999 %}" + "{% assign a = a | times: a %}" * 40,
    "range": "{% for a in (1..5000000) reversed %}{% endfor %}",
    "offset": "{% for a in (1..5000000) offset: 4999999 %}{% endfor %}",
    "rows": "{% tablerow a in (1..5000000) reversed %}{% endtablerow %}",
    "base64": "{{ contact.note" + " | base64_encode" * 28 + " | size }}",
    "capture": "{% capture a %}{% for i in (1..999) %}{{ contact.note }}{% endfor %}"
    "{% endcapture %}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_value_is_refused_before_it_is_built(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(RenderingFailed, match="exceeds a limit"):
            render({"t": BOMBS[name]}, CONTACT, still)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..900) %}{% assign a = i %}{% endfor %}" * 100,
        "{% for i in (1..900) %}{% endfor %}" * 100,
        "{% tablerow i in (1..9) %}{% endtablerow %}" * 500,
        "{{ contact.note | upcase | size }}" * 1_500,
    ],
)
def test_rendering_has_a_limit_of_time(source: str) -> None:
    assert render({"t": source}, CONTACT, still)
    ticks = count()
    with pytest.raises(RenderingFailed, match="takes too long"):
        render({"t": source}, CONTACT, lambda: next(ticks) * 1e-4)


def test_the_templates_of_an_action_have_a_limit_of_time_together() -> None:
    ticks = count()
    config = {str(n): "{% for i in (1..100) %}{% endfor %}" for n in range(20)}
    with pytest.raises(RenderingFailed, match="takes too long"):
        render(config, CONTACT, lambda: next(ticks) * 1e-4)


def test_comparing_many_items_and_parsing_much_html_are_refused() -> None:
    many = {"contact": {"tags": [str(n) for n in range(2_000)], "html": "<a" * 50_000 + ">"}}
    for source in ("{{ contact.tags | uniq }}", "{{ contact.html | strip_html }}"):
        with pytest.raises(RenderingFailed, match="exceeds a limit"):
            render({"t": source}, many, still)
    assert render({"t": "{{ contact.tags | sort | join: ',' | size }}"}, many) == {"t": "8889"}


# Errors of every kind


@pytest.mark.parametrize(
    "source",
    [
        "{{ '1e400' | ceil }}",
        "{{ '1e400' | round }}",
        "{{ 'nan' | floor }}",
        "{{ contact.tags | concat: contact.tags | sum }}{{ 'x,y' | split: ',' | sum }}",
        "{{ 5 | modulo: 0.0 }}",
        "{{ contact.broken | url_encode }}",
        "{{ contact.broken | base64_encode }}",
        "{{ contact.broken }}",
        "{{ 'YQ' | base64_decode }}",
        "{{ '/w==' | base64_decode }}",
        "{{ '99999999999999999999' | date: '%Y' }}",
        "{% for a in contact.tags limit: -5 %}{{ a }}{% endfor %}",
    ],
)
def test_every_error_is_a_failed_rendering(source: str) -> None:
    broken = {"contact": {**CONTACT["contact"], "broken": "\ud800"}}
    with pytest.raises(RenderingFailed):
        render({"t": source}, broken)


@pytest.mark.parametrize("config", [{"t": "\ud800"}, {"t": {"\udfff": "a"}}, {"t": ["{{ a"]}])
def test_a_field_that_is_not_valid_is_a_failed_rendering(config: dict[str, object]) -> None:
    with pytest.raises(RenderingFailed):
        render(config, CONTACT)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(["1e400", "0", "-1", "9" * 5_000, "\ud800", "%Y", "<b>", "nan"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
LITERALS = st.sampled_from(["a", "b", "1", "0.0", "-7", "'1e400'", "''", "nil", "true", "99999999"])


@settings(max_examples=300)
@given(
    st.sampled_from(sorted(ENVIRONMENT.filters)),
    st.sampled_from(sorted(ENVIRONMENT.filters)),
    st.lists(LITERALS, max_size=3),
    VALUES,
    VALUES,
)
def test_any_template_gives_valid_text_or_a_failed_rendering(
    first: str, second: str, arguments: list[str], a: object, b: object
) -> None:
    call = f"{first}: {', '.join(arguments)}" if arguments else first
    source = f"{{{{ a | {call} | {second} }}}}{{% for i in a %}}{{{{ i }}}}{{% endfor %}}"
    try:
        rendered = render({"t": source}, {"a": a, "b": b}, still)
    except RenderingFailed:
        return
    assert rendered["t"].encode().decode() == rendered["t"]
