"""Masks of logs (X15)."""

import pytest

from goald.domain.actions.masks import mask_config, mask_email, mask_phone, mask_text


@pytest.mark.parametrize(
    ("address", "masked"),
    [("jane@example.com", "j***@example.com"), ("j@e.org", "j***@e.org"), ("nobody", "***")],
)
def test_an_address_keeps_its_first_character_and_its_domain(address: str, masked: str) -> None:
    assert mask_email(address) == masked


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+49170123123", "+49******123"),
        ("+12025550123", "+1*******123"),
        ("0170 123123", "***"),
        ("+49 1", "***"),
    ],
)
def test_a_number_keeps_its_country_and_three_digits(number: str, masked: str) -> None:
    assert mask_phone(number) == masked


def test_a_message_of_a_provider_has_no_address_and_no_secret() -> None:
    text = (
        "550 <jane.doe+x@mail.example.com>: rejected; +49 170 123123; key=whsec_abc; "
        "https://hooks.example.com/t/secret?token=1"
    )
    assert mask_text(text, ["whsec_abc", ""]) == (
        "550 <j***@mail.example.com>: rejected; +49******123; key=***; "
        "https://hooks.example.com/***"
    )


def test_a_longer_secret_is_masked_before_its_beginning() -> None:
    assert mask_text("abcdef", ["abc", "abcdef"]) == "***"


def test_the_fields_of_an_action_are_hidden_unless_they_cannot_be_personal() -> None:
    config = {"to": "jane@example.com", "body": "Hi Jane", "tag_name": "VIP", "url": "https://x/y"}
    assert mask_config(config) == {
        "to": "***", "body": "***", "tag_name": "VIP", "url": "***",
    }  # fmt: skip
