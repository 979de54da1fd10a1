"""The program of a worker process. Run by the supervisor, never by hand."""

import sys

from goald.runtime.daemon.children.signs import StartingSigns


def main() -> int:
    """Load the worker, showing signs of life, and run it. Returns the exit code."""
    signs = StartingSigns()
    import uvloop

    from goald.runtime.daemon.workers.instance import perform

    return uvloop.run(perform(signs.end))


if __name__ == "__main__":
    sys.exit(main())
