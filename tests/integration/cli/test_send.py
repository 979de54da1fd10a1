"""`goald send` and `goald replay` over a real Redis, without a daemon."""

import asyncio
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.services.commands import GOALD, Ran, an_exit, events_in
from tests.support.services.redis_proxy import Proxy

from goald.cli.main import main
from goald.domain.streams import partition_of
from goald.redis_keys import event_stream
from goald.runtime.wiring import operations


def test_send_appends_an_event_to_the_stream_of_its_contact(
    run: Callable[..., Ran], streams: Any
) -> None:
    ran = run(
        "send", "payment.completed", "--tenant", "acme", "--contact", "c-1", "amount=19.90",
        "currency=EUR", "line_items:=[]", "--id", "e-1", "--time", "2026-03-01T12:00:00+01:00",
        "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    stream = event_stream(partition_of("acme", "c-1", 4))
    [(entry, fields)] = streams.xrange(stream)
    assert ran.json == {"id": "e-1", "stream": stream, "entry": entry.decode()}
    event = json.loads(fields[b"event"])
    assert event["data"] == {
        "contact_id": "c-1",
        "amount": "19.90",
        "currency": "EUR",
        "line_items": [],
    }
    assert event["time"] == "2026-03-01T11:00:00.000000Z"


@pytest.mark.parametrize(
    "more", [["--time", "2026-03-01T12:00:00"], ["--time", "soon"], ["x"], ["contact_id=c"]]
)
def test_send_refuses_wrong_usage(run: Callable[..., Ran], streams: Any, more: list[str]) -> None:
    ran = run("send", "a.b", "--tenant", "acme", "--contact", "c-1", *more)
    assert ran.code == 2
    assert events_in(streams) == []


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], "c-1 leaves nurture (enrollment en-1): tag_added by contact.tag.added, 4 ms"),
        (["--json"], '}\n{"outcome": "processed", "exits": 1, "notices": 0}\n'),
    ],
)
async def test_send_waits_for_the_exit_it_causes(
    clean: None,
    streams: Any,
    redis_url: str,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    expected: str,
) -> None:
    stream = event_stream(partition_of("acme", "c-1", 4))

    def answer() -> None:
        """Publish, then acknowledge, as goald does."""
        streams.xgroup_create(stream, "goald", id="0", mkstream=True)
        found: Any = []
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found = streams.xreadgroup("goald", "one", {stream: ">"}, block=1_000)
        streams.xadd("goald:exits", {"event": an_exit(contact="c-9", event_id="another")})
        streams.xadd("goald:exits", {"event": an_exit()})
        streams.xack(stream, "goald", found[0][1][0][0])

    words = ["send", "contact.tag.added", "--tenant", "acme", "--contact", "c-1", "--id", "e-1"]
    code, _ = await asyncio.gather(
        asyncio.to_thread(main, [*words, "--wait", "30", *more]), asyncio.to_thread(answer)
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert expected in printed
    assert "c-9" not in printed


async def test_send_fails_with_the_reason_if_the_event_is_dead_lettered(
    clean: None, streams: Any, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = event_stream(partition_of("acme", "c-1", 4))
    reason = "the enrollment with this enrollment_id has ended"

    def refuse() -> None:
        """Dead-letter, then acknowledge, as goald does."""
        streams.xgroup_create(stream, "goald", id="0", mkstream=True)
        found: Any = []
        deadline = time.monotonic() + 30
        while not found and time.monotonic() < deadline:
            found = streams.xreadgroup("goald", "one", {stream: ">"}, block=1_000)
        entry_id, fields = found[0][1][0]
        dead = {"stream": stream, "id": entry_id, "event": fields[b"event"], "reason": reason}
        streams.xadd("goald:dead", dead | {"delivery_attempts": 1, "at": "2026-03-01T12:00:00Z"})
        streams.xack(stream, "goald", entry_id)

    started = ["send", "workflow.enrollment.started", "--tenant", "acme", "--contact", "c-1"]
    ids = ["workflow_id=w", "enrollment_id=e-1"]
    code, _ = await asyncio.gather(
        asyncio.to_thread(main, [*started, *ids, "--wait", "30"]), asyncio.to_thread(refuse)
    )
    assert code == 1
    assert reason in capsys.readouterr().out


def test_send_stops_waiting_if_goald_does_not_process_the_event(
    run: Callable[..., Ran], streams: Any
) -> None:
    ran = run("send", "a.b", "--tenant", "acme", "--contact", "c-1", "--wait", "0.1")
    assert ran.code == 1
    assert "The event was not processed within 0.1 s." in ran.err
    words = ["send", "a.b", "--tenant", "acme", "--contact", "c-1", "--wait", "0.1", "--json"]
    _, outcome = run(*words).lines
    assert outcome == {"outcome": "not processed in time", "exits": 0, "notices": 0}


def test_an_enrollment_in_an_unknown_workflow_is_sent_with_a_warning(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "a.yaml").write_text(
        "tenant: acme\nworkflows:\n  - {id: trial-month, active: true}\n"
    )
    assert run("apply", "a.yaml").code == 0

    def enroll(tenant: str, workflow: str) -> str:
        words = ["--tenant", tenant, "--contact", "c-1", "enrollment_id=e-1"]
        ran = run("send", "workflow.enrollment.started", *words, f"workflow_id={workflow}")
        assert (ran.code, ran.out.startswith("Sent ")) == (0, True), ran.err
        return ran.err

    assert enroll("acme", "trial-month") == ""
    assert enroll("acme", "trial-mont") == (
        "goald: Warning: goald has no workflow trial-mont of the tenant acme. "
        "Did you mean trial-month?\n"
    )
    assert enroll("globex", "trial-month") == (
        "goald: Warning: goald has no workflow trial-month of the tenant globex.\n"
    )


def test_an_enrollment_is_sent_without_a_warning_if_postgres_is_unreachable(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/goald")
    words = ["--tenant", "acme", "--contact", "c-1", "enrollment_id=e-1", "workflow_id=w"]
    ran = run("send", "workflow.enrollment.started", *words)
    assert (ran.code, ran.out.startswith("Sent "), ran.err) == (0, True, "")


def lines(count: int) -> bytes:
    return b"".join(
        json.dumps(
            {
                "id": f"e-{number}",
                "source": "s",
                "type": "form.submitted",
                "time": "2026-03-01T12:00:00Z",
                "tenantid": "acme",
                "data": {"contact_id": f"c-{number % 50}", "number": number},
            }
        ).encode()
        + b"\n"
        for number in range(count)
    )


def test_replay_keeps_the_order_of_each_contact(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_bytes(lines(3_000))
    ran = run("replay", "log.jsonl", "--json", "--progress")
    assert ran.code == 0, ran.err
    assert ran.json["sent"] == 3_000
    numbers: dict[str, list[int]] = {}
    for event in events_in(streams):
        numbers.setdefault(event["data"]["contact_id"], []).append(event["data"]["number"])
    assert sum(map(len, numbers.values())) == 3_000
    assert all(found == sorted(found) for found in numbers.values())


def test_replay_reports_bad_lines_and_sends_the_others(
    run: Callable[..., Ran], streams: Any
) -> None:
    content = lines(1) + b"nonsense\n" + b'{"tenantid": "acme"}\n' + lines(2)
    ran = run("replay", "-", stdin=content)
    assert ran.code == 1
    assert "line 2: not JSON" in ran.err
    assert "line 3: data.contact_id is missing" in ran.err
    assert "3 events" in ran.out
    assert "2 bad lines" in ran.out
    assert len(events_in(streams)) == 3
    assert run("replay", "-", "--skip-bad", stdin=content).code == 0


def test_replay_starts_at_the_requested_line(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_bytes(lines(10))
    assert run("replay", "log.jsonl", "--from-line", "9").code == 0
    assert {event["id"] for event in events_in(streams)} == {"e-8", "e-9"}


def test_replay_reports_a_missing_file(run: Callable[..., Ran], streams: Any) -> None:
    ran = run("replay", "none.jsonl")
    assert ran.code == 1
    assert "Cannot read none.jsonl: No such file or directory." in ran.err


def test_an_interrupted_replay_prints_the_line_to_continue_from(
    streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "log.jsonl").write_bytes(lines(5_000))
    process = subprocess.Popen(
        [*GOALD, "replay", "log.jsonl", "--rate", "200"], stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not events_in(streams) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    sent = len(events_in(streams))
    assert process.returncode == 130
    assert f"{sent:,} events were sent. Continue with --from-line {sent + 1}." in printed


async def test_a_replay_that_loses_redis_prints_the_line_to_continue_from(
    streams: Any,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(operations, "REPLAY_PATIENCE_S", 0.5)
    (tmp_path / "log.jsonl").write_bytes(lines(5_000))
    async with Proxy(redis_url.removeprefix("unix://")) as proxy:
        monkeypatch.setenv("GOALD_REDIS_URL", proxy.url)
        running = asyncio.create_task(
            asyncio.to_thread(main, ["replay", "log.jsonl", "--rate", "500"])
        )
        async with asyncio.timeout(60):
            while not await asyncio.to_thread(events_in, streams):
                await asyncio.sleep(0.02)
        proxy.cut()
        assert await running == 3
    printed = capsys.readouterr().err
    found = re.search(r"([0-9,]+) events were sent. Continue with --from-line ([0-9]+)", printed)
    assert found is not None
    numbers = {event["data"]["number"] for event in events_in(streams)}
    assert numbers >= set(range(int(found[2]) - 1))
