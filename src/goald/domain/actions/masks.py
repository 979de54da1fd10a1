"""Masks of personal data and secrets in logs (X15)."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

HIDDEN: Final = "***"
_MIN_SECRET_CHARS: Final = 3
_EMAIL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}")
_PHONE: Final = re.compile(r"\+\d(?:[\s().-]?\d){6,14}")
_URL: Final = re.compile(r"(https?://[^\s/?#\"'<>]+)[^\s\"'<>]*", re.IGNORECASE)
_LOGGED: Final = frozenset({"tag_id", "tag_name", "method", "opted_in", "timezone"})
"""The fields of actions whose values are in logs. Other fields are there by name only."""


def mask_email(address: str) -> str:
    """`jane@example.com` becomes `j***@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}{HIDDEN}@{domain}" if local and domain else HIDDEN


def mask_phone(number: str) -> str:
    """`+49170123123` becomes `+49******123`: the country and the last three digits."""
    try:
        import phonenumbers
    except ImportError:  # not installed with `goald.client`
        return HIDDEN
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return HIDDEN
    digits = phonenumbers.national_significant_number(parsed)
    if len(digits) < 6:
        return HIDDEN
    return f"+{parsed.country_code}{'*' * (len(digits) - 3)}{digits[-3:]}"


def mask_text(text: str, secrets: Iterable[str] = ()) -> str:
    """A message of a provider, without the secrets, with masked addresses, and with URLs cut after
    the host."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _URL.sub(r"\1/" + HIDDEN, text)
    text = _EMAIL.sub(lambda found: mask_email(found[0]), text)
    return _PHONE.sub(lambda found: mask_phone(found[0]), text)


def texts_of(value: Any) -> Iterator[str]:
    """Every text in a value that is long enough to be distinguished from other words."""
    rest = [value]
    while rest:
        each = rest.pop()
        if isinstance(each, str) and len(each) >= _MIN_SECRET_CHARS:
            yield each
        elif isinstance(each, Mapping):
            rest.extend(each.values())
        elif isinstance(each, list):
            rest.extend(each)


def mask_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an action for a log. Values that may hold personal data are hidden."""
    return {name: value if name in _LOGGED else HIDDEN for name, value in config.items()}
