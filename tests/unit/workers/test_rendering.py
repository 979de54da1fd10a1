"""Templates of actions."""

import pytest

from goald.workers.rendering import RenderingFailed, render

CONTACT = {"contact": {"first_name": "Jane", "tags": ["VIP"], "note": "x" * 1_000}}


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
    ],
)
def test_a_template_that_fails_or_exceeds_a_limit_is_an_error_without_values(source: str) -> None:
    with pytest.raises(RenderingFailed) as failed:
        render({"t": source}, CONTACT)
    assert "Jane" not in str(failed.value)


def test_the_texts_of_an_action_have_a_limit_together() -> None:
    with pytest.raises(RenderingFailed, match="262,144 bytes"):
        render({str(n): "x" * 60_000 for n in range(5)}, CONTACT)
