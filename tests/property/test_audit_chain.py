"""Verification of the audit log finds any change of a chain, at any place and in any chunk size."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from goald.domain.audit.entries import (
    AuditFinding,
    Chain,
    ChainEntry,
    ChainHead,
    SavedHead,
    entry_hash,
)
from goald.domain.audit.log import AuditVerification, LogChunk

Tampering: TypeAlias = Callable[[list[ChainEntry], int, int], list[ChainEntry]]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@st.composite
def chains(draw: st.DrawFn) -> list[ChainEntry]:
    """The unchanged rows of a chain."""
    rows: list[ChainEntry] = []
    before = b""
    for number in range(1, draw(st.integers(2, 12)) + 1):
        row = ChainEntry(
            "slots/0", number, "acme", 1_780_000_000_000_000 + number, draw(TEXT),
            "goal.achieved", "enrollment", f"e-{number}", draw(st.none() | TEXT), None,
            '{"contact_id": "ann"}', b"",
        )  # fmt: skip
        before = entry_hash(before, row)
        rows.append(replace(row, hash=before))
    return rows


def findings(
    rows: Sequence[ChainEntry],
    head: ChainHead | None,
    sizes: Sequence[int],
    saved: SavedHead | None = None,
) -> list[AuditFinding]:
    """The findings if the log is read in chunks of these sizes, repeated cyclically."""
    verification = AuditVerification({} if saved is None else {"slots/0": saved})
    chain = Chain("slots/0", head)
    ordered = sorted(rows, key=lambda row: (row.number, row.recorded_at))
    found: list[AuditFinding] = []
    start = 0
    for size in [*sizes, len(ordered) + 1] * (len(ordered) + 1):
        chunk = ordered[start : start + size]
        start += len(chunk)
        is_last = len(chunk) < size
        found += verification.check(LogChunk(chunk, [chain], 0, is_last))
        if is_last:
            return found
    raise AssertionError("the chunks do not end")


SIZES = st.lists(st.integers(1, 4), max_size=3)


def end_of(rows: Sequence[ChainEntry]) -> ChainHead:
    return ChainHead(rows[-1].number, rows[-1].hash)


@given(rows=chains(), sizes=SIZES)
def test_an_unchanged_chain_has_no_finding(rows: list[ChainEntry], sizes: list[int]) -> None:
    assert findings(rows, end_of(rows), sizes) == []


def exchange(rows: list[ChainEntry], i: int, j: int) -> list[ChainEntry]:
    rows[i], rows[j] = replace(rows[j], number=i + 1), replace(rows[i], number=j + 1)
    return rows


def exchange_content(rows: list[ChainEntry], i: int, j: int) -> list[ChainEntry]:
    rows[i], rows[j] = (
        replace(rows[j], number=i + 1, hash=rows[i].hash),
        replace(rows[i], number=j + 1, hash=rows[j].hash),
    )
    return rows


@given(data=st.data(), rows=chains(), sizes=SIZES, by=st.sampled_from([exchange, exchange_content]))
def test_two_exchanged_rows_are_reported(
    data: st.DataObject, rows: list[ChainEntry], sizes: list[int], by: Tampering
) -> None:
    places = st.integers(0, len(rows) - 1)
    i, j = sorted(data.draw(st.lists(places, min_size=2, max_size=2, unique=True)))
    head = end_of(rows)
    found = findings(by(rows, i, j), head, sizes)
    assert [(each.kind, each.number) for each in found] == [("swapped", i + 1), ("swapped", j + 1)]


@given(
    data=st.data(),
    rows=chains(),
    sizes=SIZES,
    column=st.sampled_from(
        ["tenant_id", "actor", "action", "subject", "subject_id", "workflow_id", "before", "after"]
    ),
)
def test_a_row_with_changed_content_is_reported(
    data: st.DataObject, rows: list[ChainEntry], sizes: list[int], column: str
) -> None:
    i = data.draw(st.integers(0, len(rows) - 1))
    head = end_of(rows)
    value = '"other"' if column in ("before", "after") else "something else"
    changed: dict[str, Any] = {column: value}
    rows[i] = replace(rows[i], **changed)
    found = findings(rows, head, sizes)
    assert [(each.kind, each.number) for each in found] == [("modified", i + 1)]


@given(data=st.data(), rows=chains(), sizes=SIZES)
def test_a_row_with_a_changed_hash_is_reported(
    data: st.DataObject, rows: list[ChainEntry], sizes: list[int]
) -> None:
    i = data.draw(st.integers(0, len(rows) - 1))
    head = end_of(rows)
    rows[i] = replace(rows[i], hash=bytes(32))
    found = findings(rows, head, sizes)
    assert [(each.kind, each.number) for each in found] == [("rehashed", i + 1)]


@given(data=st.data(), rows=chains(), sizes=SIZES)
def test_deleted_rows_are_reported(
    data: st.DataObject, rows: list[ChainEntry], sizes: list[int]
) -> None:
    numbers = [row.number for row in rows]
    deleted = data.draw(st.sets(st.sampled_from(numbers), min_size=1))
    head = end_of(rows)
    found = findings([row for row in rows if row.number not in deleted], head, sizes)
    assert {each.kind for each in found} <= {"missing", "truncated"}
    reported = {n for each in found for n in range(each.number, (each.last or each.number) + 1)}
    assert reported == deleted


@given(data=st.data(), rows=chains(), sizes=SIZES)
def test_a_rewritten_chain_is_found_by_comparison_with_a_saved_head(
    data: st.DataObject, rows: list[ChainEntry], sizes: list[int]
) -> None:
    """All rows after a changed row, and the head, have matching hashes."""
    i = data.draw(st.integers(0, len(rows) - 1))
    saved = SavedHead(rows[-1].number, rows[-1].hash, rows[-1].recorded_at)
    before = rows[i - 1].hash if i else b""
    rows[i] = replace(rows[i], actor="another actor")
    for k in range(i, len(rows)):
        before = entry_hash(before, rows[k])
        rows[k] = replace(rows[k], hash=before)
    assert findings(rows, end_of(rows), sizes) == []
    found = findings(rows, end_of(rows), sizes, saved)
    assert [(each.kind, each.number) for each in found] == [("rewritten", len(rows))]
