"""Every place that reads ids accepts the same ones: Rust, the API, files, the client, the model,
and the schema of the streams."""

import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from pydantic import TypeAdapter, ValidationError
from tests.support.reference.reading import RejectedError, required_id

from goald.api.auth.tokens import is_name
from goald.client.envelope import _checked_id
from goald.domain.configuration.criteria import Id
from goald.domain.ids import ID_PATTERN
from goald.pipeline.intake import intake

NOW_US = 1_770_000_000_000_000
DISGUISES = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200c\u200d\u200e\u200f\u2028\u2029"
    "\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\u206f\u3164\ufe00\ufe0f\ufeff"
    "\uffa0\ufff0\ufff9\ufffb\U0001bca0\U0001d173\U000e0001\U000e0041\U000e0fff"
)
FILE_ID = TypeAdapter(Id)
ASYNCAPI = yaml.safe_load((Path(__file__).parents[2] / "docs/asyncapi.yaml").read_text("utf-8"))
STREAM_ID = Draft7Validator(ASYNCAPI["components"]["schemas"]["Id"])
characters = st.characters(exclude_categories=["Cs"]) | st.sampled_from(DISGUISES)


def in_rust(text: str) -> bool:
    event = {
        "id": "e", "source": "s", "type": "form.submitted", "time": "2026-01-31T09:00:00Z",
        "data": {"contact_id": text},
    }  # fmt: skip
    return bool(intake(json.dumps(event).encode(), "acme", NOW_US).accepted)


def in_model(text: str) -> bool:
    try:
        required_id({"contact_id": text}, "contact_id")
    except RejectedError:
        return False
    return True


def in_file(text: str) -> bool:
    try:
        FILE_ID.validate_python(text)
    except ValidationError:
        return False
    return True


def in_client(text: str) -> bool:
    try:
        _checked_id("contact_id", text)
    except ValueError:
        return False
    return True


def answers(text: str) -> set[bool]:
    in_path = 1 <= len(text) <= 128 and re.fullmatch(ID_PATTERN, text) is not None
    return {
        in_rust(text), in_model(text), in_file(text), in_client(text), is_name(text), in_path,
        STREAM_ID.is_valid(text),
    }  # fmt: skip


@given(st.text(characters, max_size=8) | st.text(characters, min_size=126, max_size=130))
@example("caf\u00e9 \U0001f3af")
def test_every_reader_of_ids_agrees(text: str) -> None:
    assert len(answers(text)) == 1


@pytest.mark.parametrize("character", DISGUISES, ids=lambda each: f"U+{ord(each):04X}")
def test_no_reader_accepts_a_character_that_can_disguise_an_id(character: str) -> None:
    for text in (character, f"a{character}", f"{character}a", f"a{character}b"):
        assert answers(text) == {False}
