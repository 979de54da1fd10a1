"""E-mail addresses and phone numbers in the form in which they are stored and compared."""

import re
import unicodedata
from typing import Final

import phonenumbers

MAX_EMAIL: Final = 320
MAX_PHONE: Final = 64
"""Characters of a phone number before it is parsed."""

_EMAIL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff]+@[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff@]+")


def email_address(text: str) -> str | None:
    """Return an e-mail address with its domain in lower case. None if the text is not one. The
    part before the @ is kept, because a mail server may distinguish upper case."""
    text = unicodedata.normalize("NFC", text.strip())
    if len(text) > MAX_EMAIL or not _EMAIL.fullmatch(text):
        return None
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def email_key(email: str) -> str:
    """Return the text by which an address is looked up: two addresses that differ only in case
    have the same."""
    return unicodedata.normalize("NFC", email.casefold())


def phone_number(text: str, region: str | None = None) -> str | None:
    """Return a phone number in E.164, such as `+491701234567`. `region`: the country (ISO 3166) of
    a number without a country code. None if the text is not a number, or its country is unknown.
    An extension is left out."""
    if len(text) > MAX_PHONE:
        return None
    try:
        number = phonenumbers.parse(text, region.upper() if region else None)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    number.extension = None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
