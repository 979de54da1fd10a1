"""What every test may ask for."""

pytest_plugins = ["tests.support.services", "tests.support.daemon", "tests.support.commands"]
