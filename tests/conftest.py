"""What every test may ask for."""

import signal

pytest_plugins = [
    "tests.support.services",
    "tests.support.api",
    "tests.support.daemon",
    "tests.support.commands",
    "tests.support.records",
]

# A shell that runs the tests in the background has them ignore Ctrl-C, and with them every
# command that they start; some tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
