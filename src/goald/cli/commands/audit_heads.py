"""The ends of the audit log's chains in a file, to be kept where the database's owner cannot
write: compared later, they find even a log that was rewritten together with its own ends."""

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


def write_heads(path: Path, ends: Mapping[str, SavedHead]) -> None:
    """Write the ends, by writer. Raises InvalidFile where the file cannot be written."""
    heads = {
        writer: {
            "number": end.number,
            "hash": end.hash.hex(),
            "recorded_at": None if end.recorded_at is None else rfc3339(end.recorded_at),
        }
        for writer, end in sorted(ends.items())
        if end.number
    }
    try:
        path.write_text(
            json.dumps({"goald_audit_heads": FORMAT, "heads": heads}, indent=1) + "\n", "utf-8"
        )
    except OSError as error:
        raise InvalidFile(f"{path} cannot be written: {error.strerror}") from error


def read_heads(path: Path) -> dict[str, SavedHead]:
    """The ends that `write_heads` wrote. Raises InvalidFile for anything else."""
    try:
        written = json.loads(path.read_text("utf-8"))
        ends = {str(writer): _end(end) for writer, end in written["heads"].items()}
        is_ours = written["goald_audit_heads"] == FORMAT
    except OSError as error:
        raise InvalidFile(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError):
        is_ours = False
    if not is_ours:
        raise InvalidFile(
            f"{path} holds no ends of the audit log as `goald audit verify --save-heads` "
            "writes them"
        )
    return ends


def _end(written: Any) -> SavedHead:
    number, hash_, at = written["number"], written["hash"], written["recorded_at"]
    if type(number) is not int or number < 1 or not _HASH.fullmatch(hash_):
        raise ValueError
    return SavedHead(
        number, bytes.fromhex(hash_), None if at is None else to_us(datetime.fromisoformat(at))
    )
