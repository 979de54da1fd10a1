"""Fixtures and scheduling for all tests."""

import os
import signal

import pytest
from tests.support import distribution
from xdist.remote import Producer

pytest_plugins = [
    "tests.support.services.servers",
    "tests.support.api.client",
    "tests.support.services.daemon",
    "tests.support.services.commands",
    "tests.support.data.records",
]

# Settings in the shell that runs the tests, such as the data directory of a running goald, would
# apply to the code under test.
for name in [each for each in os.environ if each.upper().startswith("GOALD_")]:
    if name != "GOALD_TEST_DATA":
        del os.environ[name]

# Processes that a shell starts in the background ignore SIGINT, and so do their children.
# Some tests send SIGINT to the commands that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    return distribution.worker_count()


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> distribution.FileScheduling | None:
    """Without `--dist`, tests/support/distribution.py distributes the tests."""
    return distribution.create_scheduler(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        distribution.make_ids_unique(items)
        distribution.order_long_first(items)
