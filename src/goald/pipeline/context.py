"""The context that the objects of a pipeline share: time, metrics, retries and fail points."""

from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeAlias, TypeVar

from prometheus_client import Counter

from goald.domain.fail_points import FailPointHook, no_op
from goald.metrics.pipeline import ConsumerMetrics, ShardMetrics
from goald.pipeline.retry import Retrier
from goald.pipeline.stall_detector import StallDetector
from goald.ports.clock import Clock


class RetryMetrics(Protocol):
    """Metrics that count retries by operation."""

    retries: Counter


M = TypeVar("M", bound=RetryMetrics)


@dataclass(frozen=True, slots=True)
class PipelineContext(Generic[M]):
    """The dependencies shared by all objects of one stream's flow, or of one shard's."""

    clock: Clock
    metrics: M
    retry: Retrier
    stall_detector: StallDetector
    fail_point: FailPointHook

    @classmethod
    def create(cls, clock: Clock, metrics: M, fail_point: FailPointHook = no_op) -> Self:
        """Return a context with a stall detector and a retrier that no other context has."""
        stall_detector = StallDetector(clock)
        retry = Retrier(clock, metrics.retries, stall_detector)
        return cls(clock, metrics, retry, stall_detector, fail_point)


ConsumerContext: TypeAlias = PipelineContext[ConsumerMetrics]
ShardContext: TypeAlias = PipelineContext[ShardMetrics]
