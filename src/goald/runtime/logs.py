"""Logs: structlog, as text or JSON, to standard error."""

import logging
import sys
from typing import Any, TextIO

import structlog

_QUIET = ("asyncio", "ray", "sqlalchemy", "alembic", "httpx", "httpcore")
"""Libraries of which only warnings and errors are logged."""


def configure(level: str, style: str, stream: TextIO | None = None) -> None:
    """Send the logs of goald and its libraries to `stream` (standard error if None).

    `level` is debug, info, warning or error. `style` is text, json or auto; auto is text on a
    terminal and JSON elsewhere. Call it once in each process, before the first log line; a second
    call replaces the first.
    """
    to = stream if stream is not None else sys.stderr
    terminal = to.isatty()
    as_text = style == "text" or (style == "auto" and terminal)
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    # Plain tracebacks, because those of Rich show local variables, which include tokens.
    plain = structlog.dev.plain_traceback
    rendered: list[Any] = (
        [structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0, exception_formatter=plain)]
        if as_text
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(to)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
