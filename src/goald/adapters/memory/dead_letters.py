"""The bound of the dead letters in memory."""

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from goald.ports.event_stream import RawEntry

_STEP = 16
"""The dead letters are reduced to a sixteenth below the bound."""
_OVERHEAD_BYTES = 240


def surplus(entries: Sequence[RawEntry], max_bytes: int) -> Iterator[bytes]:
    """The ids of the dead letters to delete if all are larger than `max_bytes`: the oldest of the
    tenant that has most, one after another."""
    by_tenant: dict[bytes, deque[tuple[bytes, int]]] = defaultdict(deque)
    sizes: dict[bytes, int] = defaultdict(int)
    for entry_id, flat in entries:
        tenant = dict(zip(flat[::2], flat[1::2], strict=True)).get(b"tenant", b"")
        size = sum(map(len, flat)) + _OVERHEAD_BYTES
        by_tenant[tenant].append((entry_id, size))
        sizes[tenant] += size
    total = sum(sizes.values())
    if total <= max_bytes:
        return
    while total > max_bytes - max_bytes // _STEP:
        most = max(sizes, key=lambda tenant: (sizes[tenant], tenant))
        entry_id, size = by_tenant[most].popleft()
        sizes[most] -= size
        total -= size
        yield entry_id
