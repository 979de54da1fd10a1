"""`goald dead` over a real Redis, without a daemon."""

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.services.commands import GOALD, Ran, add_dead_letter, events_in


def an_event(number: int, tenant: str = "acme", type_: str = "form.submitted") -> dict[str, Any]:
    return {"id": f"e-{number}", "type": type_, "tenantid": tenant, "data": {"contact_id": "c"}}


def test_dead_letters_are_listed_shown_and_replayed(run: Callable[..., Ran], streams: Any) -> None:
    event = {"tenantid": "acme", "data": {"contact_id": "c-1"}}
    dead_letter = add_dead_letter(streams, event)
    [listed] = run("dead", "list", "--json").json["dead_letters"]
    assert (listed["id"], listed["reason"], listed["delivery_attempts"]) == (
        dead_letter,
        "it has no source",
        1,
    )
    assert "it has no source" in run("dead", "list").out
    assert json.loads(run("dead", "show", dead_letter, "--json").json["event"]) == event
    assert "goald:events:1" in run("dead", "show", dead_letter).out
    assert run("dead", "replay", dead_letter).code == 0
    assert events_in(streams) == [event]
    assert streams.xlen("goald:dead") == 0


def test_replay_of_all_dead_letters_sends_each_event_once(
    run: Callable[..., Ran], streams: Any
) -> None:
    for number in range(1_100):
        add_dead_letter(streams, {"id": number})
    assert run("dead", "replay", "--all", "--json").json == {"replayed": 1_100, "not_found": []}
    assert streams.xlen("goald:events:1") == 1_100


def test_a_missing_dead_letter_is_an_error(run: Callable[..., Ran], streams: Any) -> None:
    for command in ("show", "replay"):
        ran = run("dead", command, "1-1")
        assert ran.code == 1
        assert "no dead letter 1-1" in ran.err


def test_purge_deletes_only_the_selected_dead_letters(
    run: Callable[..., Ran], streams: Any
) -> None:
    for number in range(5):
        add_dead_letter(streams, {"id": number})
    assert run("dead", "purge").code == 2
    assert run("dead", "replay").code == 2
    assert run("dead", "purge", "--older-than", "1", "--json").json == {"purged": 0}
    assert run("dead", "purge", "--count", "2", "--json").json == {"purged": 2}
    assert run("dead", "purge", "--all", "--json").json == {"purged": 3}


def test_list_shows_tenant_and_type(run: Callable[..., Ran], streams: Any) -> None:
    add_dead_letter(streams, an_event(1, "acme", "payment.completed"))
    streams.xadd("goald:dead", {"event": b"\xff", "reason": "not an event"})
    header, first, second = run("dead", "list").out.splitlines()
    assert header.split() == ["id", "at", "tenant", "type", "stream", "attempts", "reason"]
    assert first.split()[2:4] == ["acme", "payment.completed"]
    assert "not an event" in second
    listed = run("dead", "list", "--json").json["dead_letters"]
    assert [(each["tenant"], each["type"]) for each in listed] == [
        ("acme", "payment.completed"),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tenant", "beta"], ["e-1", "e-3", "e-5"]),
        (["--type", "payment.completed"], ["e-4", "e-5"]),
        (["--tenant", "beta", "--type", "payment.completed"], ["e-5"]),
        (["--tenant", "beta", "--newest", "--limit", "2"], ["e-5", "e-3"]),
        (["--tenant", "other"], []),
    ],
)
def test_list_filters_by_tenant_and_type(
    run: Callable[..., Ran], streams: Any, words: list[str], expected: list[str]
) -> None:
    for number in range(6):
        type_ = "payment.completed" if number >= 4 else "form.submitted"
        add_dead_letter(streams, an_event(number, "beta" if number % 2 else "acme", type_))
    found = run("dead", "list", "--json", *words).json["dead_letters"]
    assert [json.loads(each["event"])["id"] for each in found] == expected


def test_a_page_reports_how_to_get_the_next_page(run: Callable[..., Ran], streams: Any) -> None:
    ids = [add_dead_letter(streams, an_event(number)) for number in range(143)]
    lines = run("dead", "list", "--limit", "20").out.splitlines()
    assert lines[-1] == f"Showing 20 of 143. Use --limit or --after {ids[19]} for more."
    page = run("dead", "list", "--limit", "20", "--after", ids[19], "--json").json
    assert [each["id"] for each in page["dead_letters"]] == ids[20:40]
    assert (page["stored"], page["next_after"]) == (143, ids[39])
    last = run("dead", "list", "--after", ids[99], "--json").json
    assert (len(last["dead_letters"]), last["next_after"]) == (43, None)
    assert "Showing" not in run("dead", "list", "--limit", "143").out


def test_a_filtered_page_reports_how_to_get_the_next_page(
    run: Callable[..., Ran], streams: Any
) -> None:
    ids = [add_dead_letter(streams, an_event(n, "beta" if n % 2 else "acme")) for n in range(1_500)]
    lines = run("dead", "list", "--tenant", "beta", "--limit", "3").out.splitlines()
    assert lines[-1] == f"Showing 3. There are more. Use --limit or --after {ids[5]} for more."


def test_an_empty_list_prints_a_message(run: Callable[..., Ran], streams: Any) -> None:
    assert run("dead", "list").out == "No dead letters.\n"
    add_dead_letter(streams, an_event(1))
    assert run("dead", "list", "--tenant", "beta").out == "No dead letters match.\n"
    assert run("dead", "list", "--after", "soon").code == 1


def test_a_reader_that_closes_the_pipe_early_causes_no_error(streams: Any) -> None:
    for number in range(2_000):
        add_dead_letter(streams, {"id": number}, reason="long " * 100)
    command = f"{' '.join(GOALD)} dead list --limit 2000 | head -1"
    ran = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("id")
