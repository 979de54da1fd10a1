"""Templates in definitions: what is refused, and what rendering is limited to."""

import pytest
from liquid.exceptions import LoopIterationLimitError, OutputStreamLimitError, UndefinedError

from goald.domain.definitions.readers.templates import (
    ENVIRONMENT,
    MAX_MARKUP_CHARS,
    MAX_TEMPLATE_CHARS,
    template_faults,
)


def faults_of(source: str, *, has_trigger: bool = False) -> list[str]:
    return list(template_faults(source, has_trigger=has_trigger))


@pytest.mark.parametrize(
    "source",
    [
        "no markup",
        "Hi {{ contact.first_name | default: 'there' }}",
        "{{ contact['a name'].b[0] }} {{ execution.attributes.order }} {{ workflow.name }}",
        "{% for i in (1..3) %}{{ i }}{{ forloop.index }}{% endfor %}",
        "{% assign a = contact.email %}{{ a }}{% capture b %}x{% endcapture %}{{ b }}",
        "{% raw %}{{ x {% endraw %}",
        "{% if contact.vip %}a{% elsif contact.b == 1 %}b{% endif %}",
        "{% comment %}{{ x }}{% endcomment %}",
    ],
)
def test_a_valid_template_has_no_faults(source: str) -> None:
    assert faults_of(source) == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("a\n{{ contact.email", "line 2: {{ is not closed by }}"),
        ("{% if contact.a %}", "the template does not parse: expected tag endif"),
        ("\n\n{% nosuch %}", "the template does not parse: line 3: unexpected tag 'nosuch'"),
        ("{% include 'x' %}", "the template does not parse: line 1: unexpected tag 'include'"),
        ("{% render 'x' %}", "the template does not parse: line 1: unexpected tag 'render'"),
        ("{% raw %}", "line 1: raw is not closed"),
        ("{{ contact.email | upcas }}", "unknown filter upcas. Did you mean upcase?"),
        ("{{ contct.email }}", "unknown variable contct: templates have contact, execution"),
        ("{{ workflow.title }}", "unknown variable workflow.title: workflow has id, name"),
        ("{{ trigger.id }}", "the variable trigger does not exist, because the workflow has no"),
        ("{{ (1..100000000) | join }}", "a range such as (1..9) can be used in a for loop only"),
        ("{% assign a = (1..9) %}", "a range such as (1..9) can be used in a for loop only"),
        (
            "{% for i in (1..3) %}{% if true %}{{ (1..9) | size }}{% endif %}{% endfor %}",
            "a range such as (1..9) can be used in a for loop only",
        ),
        ("{% if contact.a %}" * 11, "the template does not parse: block nesting limit"),
    ],
)
def test_an_invalid_template_is_refused(source: str, fault: str) -> None:
    assert faults_of(source)[0].startswith(fault)


def test_the_trigger_is_known_if_the_workflow_has_one() -> None:
    assert faults_of("{{ trigger.data.form_id }}", has_trigger=True) == []
    assert faults_of("{{ trigger.form_id }}", has_trigger=True) == [
        "unknown variable trigger.form_id: trigger has data, id, source, time, type"
    ]


def test_text_that_takes_the_parser_long_is_refused_before_it() -> None:
    # Each of these takes python-liquid between two seconds and a minute.
    assert "not closed" in faults_of("{{" * 20_000)[0]
    assert "characters" in faults_of("{{" * 20_000 + "}}")[0]
    assert "not closed" in faults_of("{% raw %}" * 7_000)[0]
    assert "50 spaces" in faults_of("{{" + " " * 51 + "}}")[0]
    assert "brackets" in faults_of("{{ a" + "[a" * 100 + "]" * 100 + " }}")[0]


def test_the_limits_are_exact() -> None:
    assert faults_of("a" * MAX_TEMPLATE_CHARS) == []
    assert faults_of("a" * (MAX_TEMPLATE_CHARS + 1)) != []
    longest = "{{ '" + "a" * (MAX_MARKUP_CHARS - 8) + "' }}"
    assert len(longest) == MAX_MARKUP_CHARS
    assert faults_of(longest) == []
    assert faults_of(longest.replace("'a", "'aa")) != []


def test_rendering_is_limited_in_loops_that_are_empty_too() -> None:
    for body in ("", "{{ i }}", "{% continue %}"):
        with pytest.raises(LoopIterationLimitError):
            ENVIRONMENT.render("{% for i in (1..20000) %}" + body + "{% endfor %}")


def test_rendering_is_limited_in_output() -> None:
    text = "a" * 1_000
    with pytest.raises(OutputStreamLimitError):
        ENVIRONMENT.render("{% for i in (1..900) %}" + text + "{% endfor %}")


def test_a_missing_variable_is_an_error_unless_it_has_a_default() -> None:
    with pytest.raises(UndefinedError):
        ENVIRONMENT.render("{{ contact.first_name }}", contact={})
    assert ENVIRONMENT.render("{{ contact.a | default: 'x' }}", contact={}) == "x"
    assert ENVIRONMENT.render("{% if contact.a %}a{% else %}b{% endif %}", contact={}) == "b"
