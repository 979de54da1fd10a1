"""The program of the API process. Run by the supervisor, never by hand."""

import sys

from goald.runtime.daemon.children.signs import StartingSigns


def main() -> int:
    """Load the application, showing signs of life, and serve it. Returns the exit code."""
    signs = StartingSigns()
    import uvloop

    from goald.runtime.daemon.api.instance import serve

    return uvloop.run(serve(signs.end))


if __name__ == "__main__":
    sys.exit(main())
