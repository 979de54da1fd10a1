"""The server returns the memory that it has freed."""

import platform

import psutil
import pytest
from tests.integration.http_edge.served import Served, until

PART = 16 << 10
TOTAL = 64 << 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps the memory")
def test_memory_returns_although_something_above_it_is_in_use(served: Served) -> None:
    process = psutil.Process()
    parts = [b"x" * (PART + number % 2) for number in range(TOTAL // PART)]
    peak, last = process.memory_info().rss, parts[-1]
    parts.clear()
    until(lambda: peak - process.memory_info().rss > TOTAL / 2, "the memory is not returned")
    assert last
    assert served.is_alive()
