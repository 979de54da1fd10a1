"""Ids of stream entries, `milliseconds-sequence`."""


def order(entry_id: bytes) -> tuple[int, int]:
    """What ids are compared by; as text they are not in order."""
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence or b"0")
