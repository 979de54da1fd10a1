"""What every test may ask for."""

import signal

import pytest
from tests.support import distribution as spread
from xdist.remote import Producer

pytest_plugins = [
    "tests.support.services.servers",
    "tests.support.api.client",
    "tests.support.services.daemon",
    "tests.support.services.commands",
    "tests.support.data.records",
]

# A shell that runs the tests in the background has them ignore Ctrl-C, and with them every
# command that they start; some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers() -> int:
    return spread.processes()


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> spread.ByFile | None:
    """Where no `--dist` says how, tests are spread as tests/support/distribution.py has it."""
    return spread.scheduler(config, log) if config.getvalue("dist") == "load" else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        spread.tell_apart(items)
        spread.long_first(items)
