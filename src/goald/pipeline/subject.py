"""Finds the contact and the enrollment of an event, even if it cannot be decoded."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from unicodedata import category

from goald import _native
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Subject
from goald.domain.times import to_us

ID_CHARS: Final = 128
"""Characters of an id (D9)."""


class SubjectReader:
    """Reads events of any format, as the router does: by their raw bytes if they are invalid."""

    def __init__(self, decode: Callable[[bytes], dict[str, Any]]) -> None:
        """`decode` reads JSON and MessagePack, and raises ValueError."""
        self._decode = decode
        self._router = _native.Router(bytes(_native.SLOTS))
        self._matcher = _native.Matcher()

    def read(self, event: bytes) -> Subject | None:
        """The subject of an event; None if its tenant and contact cannot be found, or are no ids,
        so that no event can delete the contact. Never raises."""
        try:
            decoded = self._decode(event)
        except (ValueError, RecursionError):
            decoded = {}
        data = decoded.get("data")
        data = data if isinstance(data, dict) else {}
        tenant, contact = decoded.get("tenantid"), data.get("contact_id")
        if not isinstance(tenant, str) or not isinstance(contact, str):
            found = self._routed(event)
            if found is None:
                return None
            tenant, contact = found
        if not (_is_id(tenant) and _is_id(contact)) or contact.startswith(PSEUDONYM_PREFIX):
            return None
        enrollment = data.get("enrollment_id") or data.get("workflow_enrollment_id")
        return Subject(
            tenant,
            contact,
            enrollment if isinstance(enrollment, str) else None,
            _time(decoded.get("time")),
        )

    def _routed(self, event: bytes) -> tuple[str, str] | None:
        routed = self._router.route([[b"1-0", [b"event", event]]])
        contacts = self._matcher.contacts_of([buffer for _, buffer, _ in routed.buffers])
        return contacts[0] if contacts else None


def _is_id(text: str) -> bool:
    return 0 < len(text) <= ID_CHARS and not any(category(each) == "Cc" for each in text)


def _time(value: Any) -> int:
    try:
        moment = datetime.fromisoformat(value)
        return to_us(moment) if moment.tzinfo is not None else 0
    except (TypeError, ValueError, OverflowError):
        return 0
