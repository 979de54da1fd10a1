"""Ids of stream entries, `milliseconds-sequence`."""


def order(entry_id: bytes) -> tuple[int, int]:
    """The sort key of an id. Ids compared as text are out of order."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or b"0")
