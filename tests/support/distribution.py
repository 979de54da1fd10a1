"""Distributes the tests to several worker processes (`pytest -n`, as in `make test`).

The tests of one file run in one process and in order, because they share databases. All
files that use the shared daemon are one unit, because starting a daemon takes six seconds
of two cores. Long tests start first, so that none of them runs alone at the end.
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
    "tests/docs/test_pages_run.py",
    "tests/integration/daemon/test_ray_closed.py",
    "tests/integration/daemon/test_running.py",
    "tests/integration/pipeline/test_asyncapi.py",
    "tests/integration/pipeline/test_bad_input.py",
    "tests/integration/pipeline/test_events_take_effect.py",
    "tests/integration/pipeline/test_poison.py",
    "tests/integration/sources/test_presets_to_exit.py",
    "tests/reality/",
)
"""The files whose tests use the fixture `daemon` of tests/support/services/daemon.py."""
LONG = (
    "tests/fault/",
    "tests/integration/api/test_contract.py",
    "tests/integration/daemon/test_api_process.py",
    "tests/integration/daemon/test_restart.py",
    "tests/integration/daemon/test_serve.py",
    "tests/integration/daemon/test_serve_api.py",
    "tests/integration/daemon/test_serve_faults.py",
    "tests/integration/daemon/test_two_daemons.py",
    "tests/integration/erasure/",
    "tests/property/",
    *SHARES_THE_DAEMON,
)
MAX_WORKERS = 8


class FileScheduling(LoadFileScheduling):
    """Assigns each file to one process, and all files that share the daemon to the same one."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SHARES_THE_DAEMON):
            return "the daemon"
        return str(super()._split_scope(nodeid))


def create_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """The scheduler; assigns units in the order of `order_long_first`."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


def order_long_first(items: list[pytest.Item]) -> None:
    """Move long tests to the front, in place; the order is otherwise unchanged."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def make_ids_unique(items: list[pytest.Item]) -> None:
    """Give each test a unique id, in place. Schemathesis uses one id for several tests, of which
    pytest-xdist would run only one."""
    seen: Counter[str] = Counter(item.nodeid for item in items)
    for item in items:
        if seen[item.nodeid] > 1:
            item._id = replace(item.id, params=item.name.partition("[")[2].removesuffix("]"))
    ids = {item.nodeid for item in items}
    assert len(ids) == len(items), "two tests have the same id, and only one of them would run"


def worker_count() -> int:
    """The number of processes of `-n auto`: two per core, because tests wait for half of the
    time, and at most one per 2 GiB of memory."""
    memory = psutil.virtual_memory().total >> 31
    return max(1, min(2 * (os.cpu_count() or 1), memory, MAX_WORKERS))
