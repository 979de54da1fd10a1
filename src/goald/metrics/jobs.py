"""The metrics of the jobs that the driver runs."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from goald.domain.records.transfers import PendingTransfers


class TrimmingMetrics:
    """The metrics of the trimming job."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.trimmed = Counter(
            "goald_stream_trimmed",
            "Fully acknowledged entries that were removed from a stream.",
            ["stream"],
            registry=registry,
        )


class StreamBoundMetrics:
    """The metrics of the job that bounds the streams."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.bytes = Gauge(
            "goald_stream_bytes",
            "Memory of a stream in Redis, estimated from a sample. The bound of an event stream, "
            "of goald:exits and of goald:notices is GOALD_STREAM_BYTES.",
            ["stream"],
            registry=registry,
        )
        self.trimmed_early = Counter(
            "goald_stream_trimmed_early",
            "Entries that were removed before GOALD_KEEP because their stream took more than half "
            "of GOALD_STREAM_BYTES.",
            ["stream"],
            registry=registry,
        )


class ErasureMetrics:
    """The metrics of the job that erases deleted contacts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.pending = Gauge(
            "goald_erasures_pending",
            "Deleted contacts whose erasure is not finished.",
            registry=registry,
        )
        self.oldest = Gauge(
            "goald_erasure_oldest_seconds",
            "Age of the oldest erasure that is not finished; 0 if there is none.",
            registry=registry,
        )
        self.in_tables_oldest = Gauge(
            "goald_erasure_in_tables_oldest_seconds",
            "Age of the oldest erasure whose contact may still be in Postgres; 0 if there is none.",
            registry=registry,
        )
        self.finished = Counter("goald_erasures", "Erasures finished.", registry=registry)
        self.scan_ratio = Gauge(
            "goald_erasure_scan_ratio",
            "Fraction of the entries that the running scan for deleted contacts has read; 1 if "
            "none is running.",
            registry=registry,
        )
        self.removed = Counter(
            "goald_erasure_entries_removed",
            "Entries of deleted contacts that were removed, by stream.",
            ["stream"],
            registry=registry,
        )
        self.scan_ratio.set(1)


class TransferMetrics:
    """The metrics of the transfers of merged contacts (E21)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._pending = Gauge(
            "goald_transfers_pending",
            "Merged contacts whose enrollments have not all moved, by state: `waiting` for the "
            "shard that takes them, or `refused` by Postgres for the content of a row.",
            ["state"],
            registry=registry,
        )
        self._oldest = Gauge(
            "goald_transfer_oldest_seconds",
            "Age of the oldest of these, by state; 0 if there is none. If it is refused, since it "
            "was refused for the first time.",
            ["state"],
            registry=registry,
        )
        self._forwards = Gauge(
            "goald_forwards_to_deleted",
            "Merged contacts that continue under the id of a deleted contact.",
            registry=registry,
        )
        self._forwards_oldest = Gauge(
            "goald_forward_to_deleted_oldest_seconds",
            "Time since the oldest of these deletions; 0 if there is none.",
            registry=registry,
        )

    def set(self, pending: PendingTransfers) -> None:
        self._pending.labels("waiting").set(pending.waiting)
        self._pending.labels("refused").set(pending.refused)
        self._oldest.labels("waiting").set(pending.waiting_oldest_s)
        self._oldest.labels("refused").set(pending.refused_oldest_s)
        self._forwards.set(pending.forwards_to_deleted)
        self._forwards_oldest.set(pending.forwards_to_deleted_oldest_s)
