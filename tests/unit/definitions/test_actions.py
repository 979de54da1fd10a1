"""The fields of actions."""

from decimal import Decimal
from typing import Any

import pytest

from goald.domain.definitions.readers.definition import read_definition


def faults_of(action: str, config: Any) -> list[str]:
    document = {"steps": [{"id": "a", "action": action, "with": config}]}
    prefix = "steps[0].with"
    return [
        str(each).removeprefix(prefix).removeprefix(".")
        for each in read_definition(document).faults
    ]


URL = "https://example.com/hooks?c={{ contact.id }}"


@pytest.mark.parametrize(
    ("action", "config"),
    [
        ("send_email", {"subject": "a", "body": "b", "html": "<p>c</p>", "to": "d@example.com"}),
        ("send_sms", {"text": "a", "to": "{{ contact.phone }}"}),
        ("webhook", {"url": URL}),
        ("webhook", {"url": "http://example.com:8080", "method": "PUT", "headers": {"X-A": "b"}}),
        ("webhook", {"url": "http://[2606:2800:21f::1]:8080/{{ contact.id }}"}),
        ("webhook", {"url": "https://bücher.example/"}),
        ("webhook", {"url": "http://127.0.0.1:9000/hook"}),
        ("webhook", {"url": URL, "body": [(1 << 64) - 1, -(1 << 63), Decimal("1e300")]}),
        ("webhook", {"url": URL, "body": {"a": [1, True, None, "{{ contact.email }}"]}}),
        ("add_tag", {"tag_name": "VIP"}),
        ("remove_tag", {"tag_id": "t-1", "tag_name": "VIP"}),
        (
            "update_contact",
            {"attributes": {"plan": "pro", "old": None, "n": 1}},
        ),
        ("update_contact", {"email": "{{ contact.other }}", "opted_in": False}),
        ("notify_admin", {"message": "a"}),
        ("noop", {}),
    ],
)
def test_the_fields_of_an_action_are_valid(action: str, config: Any) -> None:
    assert faults_of(action, config) == []


@pytest.mark.parametrize(
    ("action", "config", "fault"),
    [
        ("send_email", {"subject": "a"}, "body: required but missing"),
        ("send_email", {"subject": 1, "body": "b"}, "subject: must be a text that is not empty"),
        ("send_email", {"subject": "", "body": "b"}, "subject: must be a text that is not empty"),
        ("send_email", {"subject": "{{ a", "body": "b"}, "subject: line 1: {{ is not closed by }}"),
        ("send_sms", {"txt": "a"}, "txt: unknown field. Did you mean text?"),
        ("webhook", {"url": "ftp://example.com"}, "url: must be a URL that begins with https://"),
        ("webhook", {"url": "https://"}, "url: must be a URL that begins with https://"),
        ("webhook", {"url": "{{ contact.url }}"}, "url: must be a URL that begins with https://"),
        ("webhook", {"url": "https://{{ contact.id }}.example.com"}, "url: the host must not be a"),
        (
            "webhook",
            {"url": "https://{% if contact.a %}{% endif %}/"},
            "url: the host must not be a",
        ),
        ("webhook", {"url": "https://user:secret@example.com"}, "url: must not contain a user"),
        ("webhook", {"url": "https://example.com:port"}, "url: the host is invalid"),
        ("webhook", {"url": URL, "method": "TRACE"}, "method: must be one of POST, PUT"),
        ("webhook", {"url": URL, "headers": {"a b": "c"}}, "headers['a b']: is not the name of a"),
        ("webhook", {"url": URL, "headers": {"Host": "c"}}, "headers.Host: goald sets this header"),
        (
            "webhook",
            {"url": URL, "headers": {"webhook-id": "c"}},
            "headers.webhook-id: goald sets this header",
        ),
        ("webhook", {"url": "https://exa mple.com/"}, "url: the host is invalid"),
        ("webhook", {"url": "https://127.1/"}, "url: the host is an address in a form that is not"),
        ("webhook", {"url": "https://2130706433"}, "url: the host is an address in a form that"),
        ("webhook", {"url": "http://0x7f.1:80/"}, "url: the host is an address in a form that is"),
        ("webhook", {"url": "http://0177.0.0.1/"}, "url: the host is an address in a form that is"),
        ("webhook", {"url": "http://169.254.169.254/"}, "url: goald does not connect to this"),
        ("webhook", {"url": "http://[::ffff:10.0.0.1]/"}, "url: goald does not connect to this"),
        ("webhook", {"url": "http://0.0.0.0:8080"}, "url: goald does not connect to this address"),
        ("webhook", {"url": URL, "headers": {"Expect": "c"}}, "headers.Expect: goald sets this"),
        ("webhook", {"url": URL, "headers": {"user-agent": "c"}}, "headers.user-agent: goald sets"),
        (
            "webhook",
            {"url": URL, "headers": {"X-A": "b", "x-a": "c"}},
            "headers.x-a: already exists",
        ),
        (
            "webhook",
            {"url": URL, "body": {"n": 1 << 64}},
            "body.n: an integer must have at most 64",
        ),
        (
            "webhook",
            {"url": URL, "body": [-(1 << 63) - 1]},
            "body[0]: an integer must have at most",
        ),
        (
            "webhook",
            {"url": URL, "body": Decimal("1e400")},
            "body: the number is too large: put it",
        ),
        ("acme.hook", {"n": 10**30}, "n: an integer must have at most 64 bits"),
        ("update_contact", {"attributes": {"n": 1 << 64}}, "attributes.n: an integer must have at"),
        ("add_tag", {"tag_name": "{{ contact.plan }}"}, "tag_name: must not be a template"),
        ("remove_tag", {"tag_id": "{% if true %}a{% endif %}"}, "tag_id: must not be a template"),
        ("webhook", {"url": URL, "body": {"a": ["{{ b"]}}, "body.a[0]: line 1: {{ is not closed"),
        ("add_tag", {}, ": must have at least one of tag_id, tag_name"),
        ("add_tag", {"tag_name": "a\x00"}, "tag_name: must not contain control characters"),
        ("add_tag", {"tag_id": 1}, "tag_id: must be a string"),
        ("update_contact", {}, ": must have at least one of email, phone"),
        ("update_contact", {"attributes": {"a": [1]}}, "attributes.a: must be text, a number"),
        ("update_contact", {"attributes": {"a": "x" * 2_049}}, "attributes.a: must have at most"),
        ("update_contact", {"opted_in": "no"}, "opted_in: must be true or false"),
        ("notify_admin", {}, "message: required but missing"),
        ("acme.hook", {"a": [{"b": "{{ c"}]}, "a[0].b: line 1: {{ is not closed by }}"),
        ("acme.hook", {"a": [*range(1_001)]}, "a[998]: an action may have 1,000 values"),
    ],
)
def test_a_fault_of_a_field_says_what_is_wrong(action: str, config: Any, fault: str) -> None:
    found = faults_of(action, config)
    assert found[0].startswith(fault)
