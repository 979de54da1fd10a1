"""What strangers put into events never commands the terminal of who looks at them (D8)."""

import json

import pytest

from goald.cli.follow import StreamEntry
from goald.cli.output.event_lines import as_json, as_line
from goald.cli.output.printing import print_json, say, table
from goald.redis_keys import DEAD

NASTY = "acme\x1b]0;pwned\x07\x9b31m\nforged \ud800"


def dead_letter() -> StreamEntry:
    """A refused event whose tenant holds all that a terminal obeys."""
    body = json.dumps({"tenantid": NASTY}).encode()
    return StreamEntry(DEAD, "1-1", {"event": body, "reason": b"tenantid: not an id"})


def is_harmless(shown: str) -> bool:
    return shown.isascii() and all(each.isprintable() or each == "\n" for each in shown)


def test_a_line_of_a_dead_letter_is_one_line_and_holds_no_controls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(as_line(dead_letter()))
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert shown.count("\n") == 1
    assert r"acme\x1b]0;pwned\x07\x9b31m\nforged \ud800" in shown


def test_a_table_holds_no_controls(capsys: pytest.CaptureFixture[str]) -> None:
    table(["reason"], [[NASTY]])
    assert is_harmless(capsys.readouterr().out)


def test_json_holds_no_controls_and_stays_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"tenant": NASTY, **as_json(dead_letter())}, lines=True)
    shown = capsys.readouterr().out
    assert is_harmless(shown)
    assert json.loads(shown)["tenant"] == NASTY
