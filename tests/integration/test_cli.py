"""The commands, over a real Redis and Postgres, and no daemon."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.integration.proxy import Proxy
from tests.support.services import Database

from goald.cli import replay
from goald.cli.main import main
from goald.domain.streams import event_stream, partition_of

GOALD = [sys.executable, "-m", "goald.cli.main"]

FILE = """
tenant: acme
workflows:
  - id: nurture
    name: Lead Nurturing
    goal_logic: any
    active: true
    goals:
      - {key: won, goal_type: tag_added, criteria: {tag_name: Customer}}
      - {goal_type: purchase_made, criteria: {min_amount: 100.00}}
"""


class Ran:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings but those of the test, and no daemon."""
    for name in list(os.environ):
        if name.upper().startswith("GOALD_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(
    clean: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ran]:
    """Runs a command line within this process."""

    def run(*words: str, stdin: bytes | None = None) -> Ran:
        capsys.readouterr()
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main(words)
        printed = capsys.readouterr()
        return Ran(int(code), printed.out, printed.err)

    return run


@pytest.fixture
def streams(
    clean: None, redis_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Services that the commands find through the settings; the Redis, for looking."""
    monkeypatch.setenv("GOALD_REDIS_URL", redis_url)
    monkeypatch.setenv("GOALD_POSTGRES_DSN", database.dsn)
    with redis.Redis.from_url(redis_url) as client:
        yield client


def events_in(client: Any) -> list[dict[str, Any]]:
    return [
        json.loads(fields[b"event"])
        for partition in range(4)
        for _, fields in client.xrange(event_stream(partition))
    ]


def bury(client: Any, event: dict[str, Any], reason: str = "it has no source") -> str:
    fields = {
        "stream": "goald:events:1",
        "id": "5-0",
        "event": json.dumps(event),
        "reason": reason,
        "tries": 1,
        "at": "2026-03-01T12:00:00Z",
    }
    entry: bytes = client.xadd("goald:dead", fields)
    return entry.decode()


def an_exit(contact: str = "c-1", tenant: str = "acme", event_id: str = "e-1") -> str:
    data = {
        "workflow_id": "nurture",
        "contact_id": contact,
        "enrollment_id": "en-1",
        "goal_type": "tag_added",
        "trigger_event": {"id": event_id, "source": "goald/cli", "type": "contact.tag.added"},
        "received_at": "2026-03-01T12:00:00.000000Z",
        "published_at": "2026-03-01T12:00:00.004000Z",
    }
    return json.dumps({"id": "x", "type": "workflow.exit.goal", "tenantid": tenant, "data": data})


def test_help_names_every_command_and_the_exit_codes(run: Callable[..., Ran]) -> None:
    ran = run("--help")
    assert ran.code == 0
    for word in ("serve", "apply", "replay", "check-config", "doctor", "130 interrupted"):
        assert word in ran.out


def test_version(run: Callable[..., Ran]) -> None:
    assert run("--version").out.startswith("goald 0.")


@pytest.mark.parametrize("words", [["frob"], ["send"], ["tail", "everything"], ["replay"], []])
def test_wrong_usage_ends_with_2(run: Callable[..., Ran], words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err


def test_without_an_instance_a_command_says_what_to_do(run: Callable[..., Ran]) -> None:
    ran = run("status")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "goald serve --embedded" in ran.err


def test_a_wrong_setting_ends_with_2_and_is_named(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_STREAMS", "many")
    for command in (["check-config"], ["status"], ["serve", "--embedded"]):
        ran = run(*command)
        assert ran.code == 2
        assert "GOALD_STREAMS" in ran.err


def test_serve_without_addresses_names_what_is_missing(run: Callable[..., Ran]) -> None:
    ran = run("serve")
    assert ran.code == 2
    assert "GOALD_REDIS_URL is not set" in ran.err


def test_services_that_are_away_end_with_3(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", f"unix://{tmp_path}/none.sock")
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald@127.0.0.1:1/goald")
    (tmp_path / "w.yaml").write_text(FILE)
    for command in (
        ["status"],
        ["send", "a.b", "--tenant", "t", "--contact", "c"],
        ["replay", "-"],
        ["tail", "exits"],
        ["dead", "list"],
        ["migrate"],
        ["apply", "w.yaml"],
    ):
        ran = run(*command, stdin=b"")
        assert ran.code == 3, (command, ran.err)
        assert ran.err.startswith("goald: "), command
        assert "Traceback" not in ran.err


def test_check_config_says_where_values_come_from_and_hides_passwords(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", "postgresql://goald:secret@h/g")
    (tmp_path / "goald.toml").write_text("shards = 3\n")
    rows = {row["name"]: row for row in run("check-config", "--json").json}
    assert rows["GOALD_POSTGRES_DSN"]["value"] == "postgresql://goald:***@h/g"
    assert rows["GOALD_POSTGRES_DSN"]["from"] == "variable"
    assert (rows["GOALD_SHARDS"]["value"], rows["GOALD_SHARDS"]["from"]) == ("3", "file goald.toml")
    assert rows["GOALD_STREAMS"]["from"] == "default"
    assert "secret" not in run("check-config").out


def test_send_puts_an_event_on_its_stream(run: Callable[..., Ran], streams: Any) -> None:
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
def test_send_refuses_what_it_cannot_mean(
    run: Callable[..., Ran], streams: Any, more: list[str]
) -> None:
    ran = run("send", "a.b", "--tenant", "acme", "--contact", "c-1", *more)
    assert ran.code == 2
    assert events_in(streams) == []


async def test_send_waits_for_the_exit_it_causes(
    clean: None, streams: Any, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = event_stream(partition_of("acme", "c-1", 4))

    def answer() -> None:
        """Does as goald does: publish, then acknowledge."""
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
        asyncio.to_thread(main, [*words, "--wait", "30"]), asyncio.to_thread(answer)
    )
    printed = capsys.readouterr().out
    assert code == 0
    assert "c-1 leaves nurture (enrollment en-1): tag_added by contact.tag.added, 4 ms" in printed
    assert "c-9" not in printed


def test_send_gives_up_waiting_where_nobody_reads(run: Callable[..., Ran], streams: Any) -> None:
    ran = run("send", "a.b", "--tenant", "acme", "--contact", "c-1", "--wait", "0.1")
    assert ran.code == 1
    assert "did not take effect within 0.1 s" in ran.err


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


def test_replay_sends_all_in_the_order_of_each_contact(
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


def test_replay_tells_of_bad_lines_and_sends_the_others(
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


def test_replay_goes_on_from_a_line(run: Callable[..., Ran], streams: Any, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(lines(10))
    assert run("replay", "log.jsonl", "--from-line", "9").code == 0
    assert {event["id"] for event in events_in(streams)} == {"e-8", "e-9"}


def test_replay_of_a_file_that_is_not_there(run: Callable[..., Ran], streams: Any) -> None:
    ran = run("replay", "none.jsonl")
    assert ran.code == 1
    assert "none.jsonl cannot be read" in ran.err


def test_an_interrupted_replay_says_where_to_go_on(streams: Any, tmp_path: Path) -> None:
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
    assert f"{sent:,} events were sent; go on with --from-line {sent + 1}" in printed


async def test_a_replay_that_loses_redis_says_from_where_nothing_is_lost(
    streams: Any,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(replay, "PATIENCE_S", 0.5)
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
    found = re.search(r"([0-9,]+) events were sent; go on with --from-line ([0-9]+)", printed)
    assert found is not None
    numbers = {event["data"]["number"] for event in events_in(streams)}
    assert numbers >= set(range(int(found[2]) - 1))


def test_tail_prints_what_is_there_from_the_start(run: Callable[..., Ran], streams: Any) -> None:
    streams.xadd("goald:exits", {"event": an_exit("c-1")})
    streams.xadd("goald:exits", {"event": an_exit("c-2", tenant="beta")})
    streams.xadd("goald:exits", {"event": an_exit("c-3")})
    ran = run("tail", "exits", "--from-start", "--count", "2", "--tenant", "acme", "--json")
    assert [line["data"]["contact_id"] for line in ran.lines] == ["c-1", "c-3"]
    shown = run("tail", "exits", "--from-start", "--count", "3").out
    assert shown.count("leaves nurture") == 3


def test_tail_follows_and_ends_well_when_its_reader_does(streams: Any) -> None:
    process = subprocess.Popen(
        [*GOALD, "tail", "notices", "--from-start", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    streams.xadd("goald:notices", {"event": '{"type": "one"}'})
    assert json.loads(process.stdout.readline()) == {"type": "one"}
    process.stdout.close()
    streams.xadd("goald:notices", {"event": '{"type": "two"}'})
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_table_may_be_cut_off_by_its_reader(streams: Any) -> None:
    for number in range(2_000):
        bury(streams, {"id": number}, reason="long " * 100)
    command = f"{' '.join(GOALD)} dead list --count 2000 | head -1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("id")


def test_tail_ends_with_130_on_ctrl_c(streams: Any) -> None:
    process = subprocess.Popen(
        [*GOALD, "tail", "exits", "--from-start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    streams.xadd("goald:exits", {"event": an_exit()})
    assert "leaves nurture" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")


def test_tail_survives_entries_that_are_no_events(run: Callable[..., Ran], streams: Any) -> None:
    streams.xadd("goald:exits", {"event": b"\xff\x00"})
    streams.xadd("goald:exits", {"other": "field"})
    bury(streams, {"tenantid": 3})
    assert run("tail", "exits", "--from-start", "--count", "2").code == 0
    assert run("tail", "exits", "--from-start", "--count", "2", "--json").code == 0
    assert "it has no source" in run("tail", "dead", "--from-start", "--count", "1").out


def test_dead_letters_are_listed_shown_and_sent_again(
    run: Callable[..., Ran], streams: Any
) -> None:
    event = {"tenantid": "acme", "data": {"contact_id": "c-1"}}
    letter = bury(streams, event)
    [listed] = run("dead", "list", "--json").json
    assert (listed["id"], listed["reason"], listed["tries"]) == (letter, "it has no source", 1)
    assert "it has no source" in run("dead", "list").out
    assert json.loads(run("dead", "show", letter, "--json").json["event"]) == event
    assert "goald:events:1" in run("dead", "show", letter).out
    assert run("dead", "replay", letter).code == 0
    assert events_in(streams) == [event]
    assert streams.xlen("goald:dead") == 0


def test_dead_replay_of_all_takes_each_once(run: Callable[..., Ran], streams: Any) -> None:
    for number in range(1_100):
        bury(streams, {"id": number})
    assert run("dead", "replay", "--all", "--json").json == {"replayed": 1_100, "not_found": []}
    assert streams.xlen("goald:events:1") == 1_100


def test_a_dead_letter_that_is_not_there_is_an_error(run: Callable[..., Ran], streams: Any) -> None:
    for command in ("show", "replay"):
        ran = run("dead", command, "1-1")
        assert ran.code == 1
        assert "no dead letter 1-1" in ran.err


def test_dead_purge_throws_away_only_what_is_named(run: Callable[..., Ran], streams: Any) -> None:
    for number in range(5):
        bury(streams, {"id": number})
    assert run("dead", "purge").code == 2
    assert run("dead", "replay").code == 2
    assert run("dead", "purge", "--older-than", "1", "--json").json == {"purged": 0}
    assert run("dead", "purge", "--count", "2", "--json").json == {"purged": 2}
    assert run("dead", "purge", "--all", "--json").json == {"purged": 3}


def test_migrate_twice_changes_nothing_the_second_time(
    run: Callable[..., Ran], clean: None, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_OWNER_DSN", empty_database.dsn)
    first = run("migrate", "--json")
    assert first.code == 0, first.err
    assert first.json["applied"]
    assert run("migrate", "--json").json == {"applied": [], "revision": first.json["revision"]}
    assert "Nothing to do" in run("migrate").out


def test_apply_makes_shows_and_repeats(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE)
    plan = run("apply", "w.yaml", "--dry-run", "--json").json
    assert [(each["action"], each["kind"]) for each in plan["changes"]] == [
        ("create", "workflow"),
        ("create", "goal"),
        ("create", "goal"),
    ]
    made = run("apply", "w.yaml")
    assert made.code == 0, made.err
    assert "nurture / won" in made.out
    assert "3 changes made for acme. No shard is running" in made.out
    assert "Nothing to do: acme is as the file says." in run("apply", "w.yaml").out


def test_apply_shows_what_changes_and_deletes_only_when_told(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE)
    assert run("apply", "w.yaml").code == 0
    fewer = "\n".join(FILE.splitlines()[:-1]).replace("Customer", "Member")
    (tmp_path / "w.yaml").write_text(fewer)
    shown = run("apply", "w.yaml", "--dry-run").out
    assert "criteria: {tag_name: Customer} -> {tag_name: Member}" in shown
    assert "delete" not in shown
    pruned = run("apply", "w.yaml", "--prune", "--json").json
    assert [each["action"] for each in pruned["changes"]].count("delete") == 1
    assert pruned["shards"] == {"ready": 0, "live": 0}


def test_apply_names_the_place_of_a_mistake_in_one_line(
    run: Callable[..., Ran], streams: Any, tmp_path: Path
) -> None:
    (tmp_path / "w.yaml").write_text(FILE.replace("goal_logic: any", "goal_logic: some"))
    ran = run("apply", "w.yaml")
    assert ran.code == 1
    assert ran.err.count("\n") == 1
    assert "w.yaml: workflows[0].goal_logic: " in ran.err


def test_status_without_a_daemon_is_not_ready_and_says_why(
    run: Callable[..., Ran], streams: Any
) -> None:
    streams.xadd("goald:events:2", {"event": "{}"})
    ran = run("status", "--json")
    assert ran.code == 4
    assert ran.json["ready"] is False
    assert ran.json["lag"] == 1
    assert {"name": "goald:events:2", "length": 1, "pending": 0, "lag": 1} in ran.json["streams"]
    assert ran.json["redis_url"] == os.environ["GOALD_REDIS_URL"]
    shown = run("status")
    assert shown.code == 4
    assert "NOT READY: supervisor 0 was never heard of" in shown.out


def test_doctor_finds_the_embedded_services_in_order(run: Callable[..., Ran], streams: Any) -> None:
    ran = run("doctor", "--json")
    found = {line["name"]: line for line in ran.lines}
    assert ran.code == 0, ran.out
    for name in ("Rust core", "Redis version", "Postgres", "schema", "roles", "clock of Redis"):
        assert found[name]["state"] == "ok", found[name]
    assert "ok    Postgres" in run("doctor").out


def test_doctor_fails_where_a_service_is_away(
    run: Callable[..., Ran], streams: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOALD_REDIS_URL", f"unix://{tmp_path}/none.sock")
    ran = run("doctor", "--json")
    found = {line["name"]: line for line in ran.lines}
    assert ran.code == 1
    assert found["Redis"]["state"] == "fail"
    assert found["Postgres"]["state"] == "ok"


def test_doctor_says_that_the_schema_is_missing(
    run: Callable[..., Ran], streams: Any, empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOALD_POSTGRES_DSN", empty_database.dsn)
    found = {line["name"]: line for line in run("doctor", "--json").lines}
    assert found["schema"]["state"] == "fail"
    assert "goald migrate" in found["schema"]["advice"]
