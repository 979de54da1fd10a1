"""Addresses in the form in which they are stored and compared."""

import pytest

from goald.domain.contacts.addresses import email_address, email_key, phone_number


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Ada@Example.COM ", "Ada@example.com"),
        ('"a b"@example.com', None),
        ("a@b@EXAMPLE.com", "a@b@example.com"),
        ("ada", None),
        ("@example.com", None),
        ("ada@", None),
        ("ada@exa mple.com", None),
        ("ada\n@example.com", None),
        ("a" * 320 + "@example.com", None),
    ],
)
def test_email_keeps_the_case_of_its_local_part_only(text: str, address: str | None) -> None:
    assert email_address(text) == address


def test_emails_that_differ_in_case_are_looked_up_together() -> None:
    same = ["Ada@Example.com", "ADA@EXAMPLE.COM", "ada@example.com"]
    assert len({email_key(text) for text in same}) == 1
    assert email_key("Stra\u00dfe@example.com") == email_key("STRASSE@example.com")


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("+49 (170) 123-4567", None, "+491701234567"),
        ("0170 1234567", "DE", "+491701234567"),
        ("0170 1234567", "de", "+491701234567"),
        ("0170 1234567", None, None),
        ("+1 650 253 0000 ext. 12", None, "+16502530000"),
        ("0170 1234567", "XX", None),
        ("call me", "DE", None),
        ("1" * 65, "DE", None),
        ("", "DE", None),
    ],
)
def test_phone_number_is_e164_or_nothing(text: str, region: str | None, number: str) -> None:
    assert phone_number(text, region) == number
