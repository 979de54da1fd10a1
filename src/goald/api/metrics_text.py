"""The text of /metrics, rendered at most twice a second, however often it is requested (D8)."""

from typing import Final

from prometheus_client import CollectorRegistry, generate_latest

from goald.ports.clock import Clock

KEEP_SECONDS: Final = 0.5
"""How long a rendered text is served. Prometheus scrapes every few seconds at most."""


class MetricsText:
    """The metrics of a registry in Prometheus's text format. Bound to one event loop."""

    def __init__(self, registry: CollectorRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock
        self._text = b""
        self._rendered_at: float | None = None

    def latest(self) -> bytes:
        """The metrics of now, or of up to KEEP_SECONDS ago. Blocks for the few milliseconds that
        a rendering takes, at most once in KEEP_SECONDS."""
        now = self._clock.monotonic()
        if self._rendered_at is None or now - self._rendered_at >= KEEP_SECONDS:
            self._text = generate_latest(self._registry)
            self._rendered_at = self._clock.monotonic()
        return self._text
