"""Verifies the audit log: no row was changed, and none is missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from goald.domain.audit.entries import AuditFinding, SavedHead
from goald.domain.audit.log import AuditVerification, LogChunk

MAX_FINDINGS = 1_000
"""The maximum number of findings in a report. A rewritten log has one for each row."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of a verification."""

    rows: int
    heads: Mapping[str, SavedHead]
    """By chain, its last verified row."""
    findings: Sequence[AuditFinding]
    """The first MAX_FINDINGS."""
    finding_count: int

    @property
    def intact(self) -> bool:
        """Whether there are no findings."""
        return not self.finding_count


def verify(
    chunks: Iterable[LogChunk],
    saved_heads: Mapping[str, SavedHead],
    on_progress: Callable[[int], None] = lambda _: None,
) -> AuditReport:
    """Check every chain of the log. Blocks while the chunks are read, and raises what reading
    them raises.

    `saved_heads`: the heads of an earlier report, which find a log that was rewritten together
    with its own heads. `on_progress` receives the number of rows checked so far.
    """
    verification = AuditVerification(saved_heads)
    findings: list[AuditFinding] = []
    count = 0
    for chunk in chunks:
        for finding in verification.check(chunk):
            count += 1
            if len(findings) < MAX_FINDINGS:
                findings.append(finding)
        on_progress(verification.rows)
    return AuditReport(verification.rows, verification.heads, findings, count)
