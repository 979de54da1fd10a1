"""How the tests are spread over several processes (`pytest -n`, as `make test` has them).

A file's tests stay in one process and in their order, since they share its databases. All
files that use the session's daemon are one such unit: a daemon is six seconds of two cores,
and another for each process would be waited for by all. What takes long begins first, so
that no process is left with it at the end.
"""

import os
from collections import Counter
from dataclasses import replace

import psutil
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

SHARES_THE_DAEMON = (
    "tests/acceptance/",
    "tests/reality/",
    "tests/integration/pipeline/test_asyncapi.py",
    "tests/integration/pipeline/test_bad_input.py",
    "tests/integration/pipeline/test_events_take_effect.py",
    "tests/integration/pipeline/test_poison.py",
)
"""Left out, a file is still right: its process starts a daemon of its own for it."""
LONG = (
    "tests/fault/",
    "tests/integration/api/test_document_holds.py",
    "tests/integration/daemon/test_restart.py",
    "tests/integration/daemon/test_serve.py",
    "tests/integration/daemon/test_serve_api.py",
    "tests/integration/daemon/test_serve_faults.py",
    "tests/integration/daemon/test_two_daemons.py",
    "tests/property/",
    *SHARES_THE_DAEMON,
)
MOST = 8


class ByFile(LoadFileScheduling):
    """One file to one process; the files of the shared daemon, all to one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SHARES_THE_DAEMON):
            return "the daemon"
        return str(super()._split_scope(nodeid))


def scheduler(config: pytest.Config, log: Producer) -> ByFile:
    """Gives out units in the order of `long_first`."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def long_first(items: list[pytest.Item]) -> None:
    """Put what takes long before the rest, in place; the order is otherwise kept."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def tell_apart(items: list[pytest.Item]) -> None:
    """Give each test an id of its own, where a plugin gives one to several, as Schemathesis does:
    of those that share one, only one would be run."""
    seen: Counter[str] = Counter(item.nodeid for item in items)
    for item in items:
        if seen[item.nodeid] > 1:
            item._id = replace(item.id, params=item.name.partition("[")[2].removesuffix("]"))
    ids = {item.nodeid for item in items}
    assert len(ids) == len(items), "two tests have one id, and only one of them would be run"


def processes() -> int:
    """How many `-n auto` means: two for a core, since half of the time is waiting, but one
    for each 2 GiB of memory at most."""
    memory = psutil.virtual_memory().total >> 31
    return max(1, min(2 * (os.cpu_count() or 1), memory, MOST))
