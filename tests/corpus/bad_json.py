"""Invalid JSON, and JSON that is not allowed in an event."""

import gzip
import json
from collections.abc import Iterator

from tests.corpus.envelope import (
    CONTACT,
    TENANT,
    Envelope,
    as_json,
    base,
    json_at_top,
    json_in_data,
)

_NOT_AMOUNTS = {
    "1e400": "1e400",
    "minus-1e400": "-1e400",
    "1e309": "1e309",
    "of-400-digits": "9" * 400,
    "1e1000000": "1e1000000",
    "exponent-of-20-digits": "1e99999999999999999999",
}


def bad_json(now_us: int) -> Iterator[Envelope]:
    event = base("json", now_us, note="n", tag_id="t-1")
    text = as_json(event)
    yield from (_dead(name, raw, word) for name, raw, word in _texts(text))
    for name, member, word in _members():
        yield _dead(name, json_in_data(base(f"json-{name}", now_us), member), word)
    for name, literal in _NOT_AMOUNTS.items():
        paid = base(f"json-amount-number-{name}", now_us, "payment.completed")
        yield _dead(f"amount-number-{name}", json_in_data(paid, f'"amount": {literal}'), "number")
    for name, note, word in _bytes_in_a_string():
        yield _dead(name, _with_note(text, note), word)
    for name, member in {
        "duplicate-id": '"id": "another"',
        "duplicate-id-by-escape": r'"\u0069d": "another"',
        "duplicate-data": '"data": {"contact_id": "c-2"}',
        "duplicate-tenant": '"tenantid": "globex"',
    }.items():
        yield _dead(name, json_at_top(event, member), "duplicate key")


def _dead(name: str, raw: bytes, word: str) -> Envelope:
    return Envelope(f"json-{name}", raw, "dead", word)


def _with_note(text: str, note: bytes) -> bytes:
    return text.encode().replace(b'"note": "n"', b'"note": "' + note + b'"')


def _texts(text: str) -> Iterator[tuple[str, bytes, str]]:
    raw = text.encode()
    for name, cut in {
        "after-brace": 1,
        "in-a-key": 5,
        "after-a-key": text.index(":"),
        "after-a-colon": text.index(":") + 1,
        "in-a-string": text.index("corpus-json") + 4,
        "after-a-value": text.index(","),
        "after-a-comma": text.index(",") + 1,
        "in-data": text.index("contact_id") + 3,
        "before-data-ends": len(text) - 2,
        "before-the-end": len(text) - 1,
    }.items():
        yield f"cut-{name}", raw[:cut], "unexpected end"
    # Also in the ids that determine the slot of an event.
    for name, id_ in {"contact": CONTACT, "tenant": TENANT}.items():
        quoted = f'"{id_}"'.encode()
        yield f"{name}-with-lone-surrogate", raw.replace(quoted, rb'"\udfff"'), "surrogate"
        yield f"{name}-with-unknown-escape", raw.replace(quoted, rb'"\x41"'), "escape"
        yield f"{name}-not-utf8", raw.replace(quoted, b'"\xff"'), "UTF-8"
    yield "empty", b"", ""
    yield "only-white-space", b" \n\t ", ""
    yield "byte-order-mark", b"\xef\xbb\xbf" + raw, "JSON"
    yield "utf-16", text.encode("utf-16"), "JSON"
    yield "gzip", gzip.compress(raw, mtime=0), "JSON"
    yield "two-events", raw + b"\n" + raw, "trailing bytes"
    yield "brace-behind", raw + b"}", "trailing bytes"
    yield "nul-behind", raw + b"\0", "trailing bytes"
    yield "a-list-of-events", b"[" + raw + b"]", "JSON"
    yield "a-string-of-an-event", json.dumps(text).encode(), "JSON"
    yield "a-number", b"17", "JSON"
    yield "null", b"null", "JSON"
    yield "plain-text", b"hello", "JSON"
    yield "xml", b"<event/>", "JSON"
    yield "empty-map", b"{}", ""
    yield "single-quotes", text.replace('"', "'").encode(), "JSON"
    yield "unquoted-key", text.replace('"id"', "id").encode(), "JSON"
    yield "comment-of-a-line", raw.replace(b', "id"', b', // who\n "id"'), "JSON"
    yield "comment-within", raw.replace(b', "id"', b', /* who */ "id"'), "JSON"
    yield "comma-missing", raw.replace(b', "id"', b' "id"'), "JSON"
    yield "comma-doubled", raw.replace(b', "id"', b',, "id"'), "JSON"
    yield "colon-missing", raw.replace(b'"id":', b'"id"'), "JSON"
    yield "comma-trailing", raw[:-1] + b",}", "JSON"
    yield "comma-leading", b"{," + raw[1:], "JSON"
    yield "bracket-for-brace", raw[:-1] + b"]", "JSON"


def _members() -> Iterator[tuple[str, str, str]]:
    """Members at the end of `data`."""
    for name, literal in {
        "nan": "NaN",
        "infinity": "Infinity",
        "minus-infinity": "-Infinity",
        "true-in-capitals": "True",
        "none": "None",
        "undefined": "undefined",
        "leading-zero": "012",
        "minus-leading-zero": "-01",
        "plus": "+1",
        "no-units": ".5",
        "no-decimals": "5.",
        "no-exponent": "1e",
        "hexadecimal": "0x1F",
        "underscore": "1_000",
        "minus-alone": "-",
        "nothing": "",
        "full-width-digits": "１２",
    }.items():
        yield f"amount-literal-{name}", f'"amount": {literal}', "JSON"
        yield f"other-{name}", f'"other": [{literal}, 1]', "JSON"
    for name, member in {
        "in-data": '"tag_name": "a", "tag_name": "a"',
        "contact": '"contact_id": "c-2"',
        "by-escape": r'"contact_\u0069d": "c-2"',
        "null-first": '"tag_id": null, "tag_id": "t"',
    }.items():
        yield f"duplicate-{name}", member, "duplicate key"
    yield "key-a-number", "1: 2", "key"
    yield "key-null", "null: 2", "key"
    yield "list-unclosed", '"n": [1, 2', "JSON"
    yield "list-comma-trailing", '"n": [1, 2,]', "JSON"
    yield "tag-name-with-lone-surrogate", r'"tag_name": "\ud800"', "surrogate"
    yield "tag-name-with-nul-escape", r'"tag_name": "a\u0000b"', "NUL"


def _bytes_in_a_string() -> Iterator[tuple[str, bytes, str]]:
    yield "utf8-continuation-alone", b"\x80", "UTF-8"
    yield "utf8-cut", b"\xc3", "UTF-8"
    yield "utf8-overlong", b"\xc0\xaf", "UTF-8"
    yield "utf8-surrogate", b"\xed\xa0\x80", "UTF-8"
    yield "utf8-beyond-unicode", b"\xf4\x90\x80\x80", "UTF-8"
    yield "latin-1", "é".encode("latin-1"), "UTF-8"
    yield "newline-raw", b"a\nb", "control"
    yield "tab-raw", b"a\tb", "control"
    yield "nul-raw", b"a\0b", "control"
    yield "escape-x", rb"\x41", "escape"
    yield "escape-braces", rb"\u{41}", "escape"
    yield "escape-short", rb"\u12", "escape"
    yield "escape-of-a-quote", rb"\'", "escape"
