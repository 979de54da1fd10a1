"""Finds the contact and the enrollment of an event, even if it cannot be decoded."""

from collections.abc import Callable
from typing import Any, Final

from goald import _native
from goald.domain.ids import id_text, is_id
from goald.domain.records.erasure import PSEUDONYM_PREFIX, Subject

_GREATEST_NUMBER: Final = 1 << 63


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
        tenant, contact = id_text(tenant), id_text(contact)
        if tenant is None or contact is None:
            found = self._routed(event)
            if found is None:
                return None
            tenant, contact = found
        if not (is_id(tenant) and is_id(contact)) or contact.startswith(PSEUDONYM_PREFIX):
            return None
        enrollment = data.get("enrollment_id") or data.get("workflow_enrollment_id")
        return Subject(
            tenant,
            contact,
            id_text(enrollment),
            _time(decoded.get("time")),
        )

    def _routed(self, event: bytes) -> tuple[str, str] | None:
        routed = self._router.route([[b"1-0", [b"event", event]]])
        contacts = self._matcher.contacts_of([buffer for _, buffer, _ in routed.buffers])
        return contacts[0] if contacts else None


def _time(value: Any) -> int:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = repr(value) if abs(value) < _GREATEST_NUMBER else ""
    try:
        return _native.time_us(value) or 0
    except (TypeError, UnicodeEncodeError):  # no text, or with a lone surrogate
        return 0
