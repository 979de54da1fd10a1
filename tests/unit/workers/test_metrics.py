"""The metrics of a worker."""

from prometheus_client import CollectorRegistry
from tests.support.actions.worker_bench import (
    LEASE,
    NOOP,
    RecordingProvider,
    WorkerBench,
    a_job,
    until,
)

from goald.metrics.workers import WorkerMetrics


async def test_a_worker_counts_jobs_by_outcome_and_gates_that_refuse() -> None:
    registry, bench, provider = CollectorRegistry(), WorkerBench(), RecordingProvider()

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    await bench.admit()
    await bench.register(a_job(0))
    async with bench.worker({NOOP: provider}, observer=WorkerMetrics(registry)) as worker:
        await bench.wait_results(1)
        provider.is_ready.clear()
        await bench.register(a_job(1))
        await until(lambda: worker.in_flight == 1)
        await bench.gates.close_gates(LEASE, [a_job(1).gate])
        provider.is_ready.set()
        await bench.wait_results(2)
    assert value("goald_actions_total", action="noop", outcome="success") == 1
    assert value("goald_actions_total", action="noop", outcome="refused") == 1
    assert value("goald_action_seconds_count", action="noop") == 2
    assert value("goald_action_gates_refused_total", answer="refused_closed") == 1


async def test_a_worker_counts_receivers_that_wait_and_jobs_that_it_took_over() -> None:
    registry, bench, provider = CollectorRegistry(), WorkerBench(), RecordingProvider()
    provider.is_ready.clear()
    await bench.admit()
    for number, connection in enumerate(("a", "a", "a", "b")):
        await bench.register(a_job(number, connection=connection))
    await bench.queue().receive([NOOP], 4, 0.01)  # by a worker that ends
    await bench.clock.advance(61)
    metrics = WorkerMetrics(registry)
    async with bench.worker({NOOP: provider}, observer=metrics, concurrency=2) as worker:
        metrics.watch(
            lambda: worker.in_flight, lambda: worker.waiting, lambda: worker.receivers_waiting
        )
        await until(lambda: worker.in_flight + worker.waiting == 4)
        running = registry.get_sample_value("goald_actions_in_flight") or 0
        assert registry.get_sample_value("goald_actions_waiting") == 4 - running
        assert worker.receivers_waiting >= 1
        taken_over = registry.get_sample_value("goald_actions_taken_over_total", {"action": "noop"})
        assert taken_over == 4
        provider.is_ready.set()
        await bench.wait_results(4)
        assert worker.receivers_waiting == 0
