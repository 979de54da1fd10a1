"""Control characters in events never reach the terminal (D8)."""

import json

import pytest

from goald.cli.output.event_lines import entry_as_json, entry_as_line
from goald.cli.output.printing import print_json, say, table
from goald.client import TailedEntry
from goald.redis_keys import DEAD

NASTY = "acme\x1b]0;pwned\x07\x9b31m\nforged \ud800"


def dead_letter() -> TailedEntry:
    """A dead letter whose tenant contains control sequences."""
    body = json.dumps({"tenantid": NASTY}).encode()
    return TailedEntry(DEAD, "1-1", {"event": body, "reason": b"tenantid: not an id"})


def is_harmless(output: str) -> bool:
    return output.isascii() and all(each.isprintable() or each == "\n" for each in output)


def test_a_dead_letter_prints_as_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say(entry_as_line(dead_letter()))
    output = capsys.readouterr().out
    assert is_harmless(output)
    assert output.count("\n") == 1
    assert r"acme\x1b]0;pwned\x07\x9b31m\nforged \ud800" in output


def test_a_table_prints_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    table(["reason"], [[NASTY]])
    assert is_harmless(capsys.readouterr().out)


def test_json_escapes_control_characters_without_changing_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"tenant": NASTY, **entry_as_json(dead_letter())}, lines=True)
    output = capsys.readouterr().out
    assert is_harmless(output)
    assert json.loads(output)["tenant"] == NASTY


def test_invisible_characters_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    text = "acme\u202egro\u200b\U000e0041 caf\u00e9"
    say(text)
    assert capsys.readouterr().out == "acme\\u202egro\\u200b\\U000e0041 caf\u00e9\n"
    print_json({"name": text}, lines=True)
    output = capsys.readouterr().out
    assert output == '{"name": "acme\\u202egro\\u200b\\udb40\\udc41 caf\u00e9"}\n'
    assert json.loads(output)["name"] == text
