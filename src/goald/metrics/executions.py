"""The metrics of the executions of a shard."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from goald.metrics.buckets import LATENCY_BUCKETS


class ExecutionMetrics:
    """The metrics of the executions of a shard. Their samples begin when a workflow has a
    definition."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.executions = Gauge(
            "goald_executions",
            "Executions in memory. Their state says what they wait for: a permit of their account "
            "(queued), the turn of their job (ready), its result (running), a time (sleeping), an "
            "event (listening), the next attempt (backing_off), the end of a rate limit "
            "(rate_limited), a connection (on_hold), the activation of a workflow (inactive) or "
            "a manual retry (failed).",
            ["state"],
            registry=registry,
        )
        self.steps_due = Gauge(
            "goald_steps_due",
            "Executions whose step is due and not started.",
            registry=registry,
        )
        self.oldest_step = Gauge(
            "goald_step_due_oldest_seconds",
            "Time since the first of these steps became due; 0 if there is none.",
            registry=registry,
        )
        self.timers_held = Gauge(
            "goald_timers_held",
            "Timers that are due, and wait until every event stream was read beyond their time.",
            registry=registry,
        )
        self.oldest_timer = Gauge(
            "goald_timer_due_oldest_seconds",
            "Time since the first timer became due that has not fired; 0 if there is none.",
            registry=registry,
        )
        self.jobs_in_flight = Gauge(
            "goald_jobs_in_flight",
            "Jobs of actions that were committed and have no result.",
            registry=registry,
        )
        self.jobs_published = Counter(
            "goald_jobs_published",
            "Jobs that were committed, by what their gate answered: the job was published "
            "(registered), or not, because its gate was closed before (exists).",
            ["answer"],
            registry=registry,
        )
        self.gates_closed = Counter(
            "goald_gates_closed",
            "Gates that were closed because their execution ended or left its attempt, by their "
            "state before: open, closed, passed, finished or unknown.",
            ["state"],
            registry=registry,
        )
        self.actions_in_flight = Histogram(
            "goald_exit_action_in_flight_seconds",
            "Executions that ended while a worker had passed the gate of their action and not "
            "finished: the time since the gate was passed.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.outcomes_unknown = Counter(
            "goald_action_outcomes_unknown",
            "Actions of which is not known whether they were performed, because their worker died "
            "or Redis was replaced during the call.",
            registry=registry,
        )

    def set_states(self, states: Mapping[str, int]) -> None:
        """Take the number of executions by state."""
        for state, count in states.items():
            self.executions.labels(state).set(count)
