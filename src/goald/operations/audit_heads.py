"""The heads of the audit log's chains in a file. Kept where the owner of the database cannot
write, they reveal even a log that was rewritten together with its own heads."""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from goald.domain.audit.entries import SavedHead
from goald.domain.errors import InvalidFile
from goald.domain.times import rfc3339, to_us

FORMAT = 1
_HASH = re.compile("[0-9a-f]{64}")


def write_heads(path: Path, heads: Mapping[str, SavedHead]) -> None:
    """Write the head of each chain, by chain. Raises InvalidFile if the file is not writable."""
    contents = {
        writer: {
            "number": head.number,
            "hash": head.hash.hex(),
            "recorded_at": None if head.recorded_at is None else rfc3339(head.recorded_at),
        }
        for writer, head in sorted(heads.items())
        if head.number
    }
    try:
        path.write_text(
            json.dumps({"goald_audit_heads": FORMAT, "heads": contents}, indent=1) + "\n", "utf-8"
        )
    except OSError as error:
        raise InvalidFile(f"Cannot write {path}: {error.strerror}.") from error


def read_heads(path: Path) -> dict[str, SavedHead]:
    """The heads that `write_heads` wrote. Raises InvalidFile if the file is not one of these."""
    try:
        written = json.loads(path.read_text("utf-8"))
        heads = {str(writer): _head(head) for writer, head in written["heads"].items()}
        is_valid = written["goald_audit_heads"] == FORMAT
    except OSError as error:
        raise InvalidFile(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, AttributeError):
        is_valid = False
    if not is_valid:
        raise InvalidFile(f"{path} was not written by `goald audit verify --save-heads`.")
    return heads


def _head(written: Any) -> SavedHead:
    number, hash_, at = written["number"], written["hash"], written["recorded_at"]
    if type(number) is not int or number < 1 or not _HASH.fullmatch(hash_):
        raise ValueError
    return SavedHead(
        number, bytes.fromhex(hash_), None if at is None else to_us(datetime.fromisoformat(at))
    )
