"""/metrics is rendered at most twice a second (D8)."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from goald.adapters.memory.clock import ManualClock
from goald.api.metrics_text import KEEP_SECONDS, MetricsText


class Renderings:
    """A collector that counts how often it is collected."""

    count = 0

    def collect(self) -> Iterator[Metric]:
        self.count += 1
        yield GaugeMetricFamily("renderings", "How often.", value=self.count)


async def test_requests_within_half_a_second_share_one_rendering() -> None:
    clock, registry, renderings = ManualClock(), CollectorRegistry(), Renderings()
    registry.register(renderings)
    before = renderings.count
    text = MetricsText(registry, clock)
    first = text.latest()
    assert f"renderings {before + 1}.0" in first.decode()
    await clock.advance(KEEP_SECONDS * 0.9)
    assert [text.latest() for _ in range(100)] == [first] * 100
    assert renderings.count == before + 1
    await clock.advance(KEEP_SECONDS * 0.1)
    assert f"renderings {before + 2}.0" in text.latest().decode()
    assert renderings.count == before + 2
