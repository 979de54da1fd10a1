"""Id types, so that a type checker distinguishes the kinds of ids.

Ids that the platform assigns are opaque text. Ids that goald assigns are UUIDs.
"""

import re
from typing import Final, NewType
from uuid import UUID

TenantId = NewType("TenantId", str)
ContactId = NewType("ContactId", str)
WorkflowId = NewType("WorkflowId", str)
EnrollmentId = NewType("EnrollmentId", str)
GoalId = NewType("GoalId", UUID)
AchievementId = NewType("AchievementId", UUID)

INVISIBLE: Final = (
    "\u00ad\u034f\u061c\u115f-\u1160\u17b4-\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Characters that are shown as nothing, or reorder their neighbours, as the inside of a character
class: with them two ids could look equal. The same list is in native/matcher/src/decode/id.rs. The
characters stand for themselves, because Python, Rust and JSON Schema escape them differently."""

CONTROL: Final = r"\x00-\x1f\x7f-\x9f"
SURROGATE: Final = r"\ud800-\udfff"
ID_PATTERN: Final = f"^[^{CONTROL}{INVISIBLE}]*$"
"""An id, apart from its length, for the schemas of the API."""
NOT_IN_IDS: Final = re.compile(f"[{CONTROL}{SURROGATE}{INVISIBLE}]")
"""Finds a character that no id contains."""
MAX_ID_CHARACTERS: Final = 256
MAX_ID_BYTES: Final = 768
"""In UTF-8: three ids fit in an entry of a Postgres index, which holds 2,704 bytes."""
NOT_AN_ID: Final = (
    "must have 1 to 256 characters, at most 768 bytes, without control or invisible characters"
)


def id_text(value: object) -> str | None:
    """Return the text of an id or a name in an event: an integer is taken as its decimal text
    (E14). None for any other type. The text may still be invalid as an id."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() <= 3 * MAX_ID_CHARACTERS else None
    return value if isinstance(value, str) else None


def is_id(text: str) -> bool:
    """Return whether a text is valid as an id of the platform (D9)."""
    return (
        1 <= len(text) <= MAX_ID_CHARACTERS
        and NOT_IN_IDS.search(text) is None
        and (text.isascii() or len(text.encode()) <= MAX_ID_BYTES)
    )
