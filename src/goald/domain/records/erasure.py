"""Pseudonyms of deleted contacts."""

from typing import Final

PSEUDONYM_PREFIX: Final = "erased:"
"""Starts the contact id in the rows of a deleted contact. A random UUID follows."""
