"""Values that are stored encrypted."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EncryptedValue:
    """A value that only a holder of its key can read."""

    key_id: str
    """Identifies the key; derived from it."""
    data: bytes
