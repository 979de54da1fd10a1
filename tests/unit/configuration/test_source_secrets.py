"""The secrets that a configuration file refers to."""

from pathlib import Path

import pytest

from goald.configuration.file import parse_configuration
from goald.configuration.secrets import SourceDefinition, read_secrets
from goald.domain.errors import InvalidFile

SECRET = "whsec_very_secret"


def read(text: str, folder: Path, **environment: str) -> list[SourceDefinition]:
    desired = parse_configuration("tenant: acme\nsources:\n" + text)
    return read_secrets(desired.sources or (), folder, environment)


def test_secrets_come_from_variables_and_files_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("s p a c e\r\n")
    text = "- {name: pay, preset: stripe, secrets: [{env: NEW}, {file: old}]}"

    (source,) = read(text, tmp_path, NEW=SECRET)

    assert source.secrets == (SECRET, "s p a c e")
    assert SECRET not in repr(source)


def test_a_source_without_secrets_keeps_those_that_it_has(tmp_path: Path) -> None:
    none, removed = read(
        "- {name: a, preset: tally}\n- {name: b, preset: tally, secrets: []}", tmp_path
    )
    assert (none.secrets, removed.secrets) == (None, ())


def test_contact_is_short_for_the_contact_of_the_overrides(tmp_path: Path) -> None:
    text = """
- name: a
  preset: stripe
  contact: {id: body.crm}
  overrides: {contact: {region: DE}, accept_tests: true}
"""
    (source,) = read(text, tmp_path)
    assert source.overrides == {
        "contact": {"region": "DE", "id": "body.crm"},
        "accept_tests": True,
    }


@pytest.mark.parametrize(
    ("reference", "fault"),
    [
        ("{env: ABSENT}", "the variable ABSENT is not set or empty"),
        ("{env: EMPTY}", "the variable EMPTY is not set or empty"),
        ("{env: LONG}", "the variable LONG has more than 1,024 characters"),
        ("{file: absent}", "No such file"),
        ("{file: .}", "Is a directory"),
        ("{file: empty}", "is empty"),
        ("{file: long}", "more than 1,024 characters"),
        ("{file: binary}", "it is not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_read_is_named_with_its_place(
    tmp_path: Path, reference: str, fault: str
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "long").write_text("x" * 100_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00x")
    text = f"- {{name: a, preset: tally}}\n- {{name: b, preset: tally, secrets: [{reference}]}}"

    with pytest.raises(InvalidFile) as refused:
        read(text, tmp_path, EMPTY="", LONG="x" * 1_025)

    assert str(refused.value).startswith("sources[1].secrets[0]: ")
    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("secrets", "fault"),
    [
        (f"[{SECRET}]", "sources[0].secrets[0]: a secret does not belong in this file"),
        (f"[{{env: A, file: {SECRET}}}]", "sources[0].secrets[0]: must have either"),
        ("[{}]", "sources[0].secrets[0]: must have either"),
        (f"[{{envs: {SECRET}}}]", "sources[0].secrets[0].envs: unknown field"),
        (SECRET, "sources[0].secrets: must be a list"),
        ("[" + ", ".join(["{env: A}"] * 9) + "]", "a source has at most 8 secrets"),
    ],
)
def test_a_faulty_reference_is_refused_without_showing_the_secret(
    tmp_path: Path, secrets: str, fault: str
) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(f"- {{name: a, preset: stripe, secrets: {secrets}}}", tmp_path)
    assert fault in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("{preset: stripe}", "sources[0].name: required but missing"),
        ("{name: a}", "sources[0].preset: required but missing"),
        ("{name: a, preset: stripe, override: {}}", "Did you mean overrides?"),
        ("{name: a, preset: stripe}\n- {name: a, preset: tally}", "has the source a twice"),
    ],
)
def test_a_faulty_source_is_refused_with_its_place(tmp_path: Path, source: str, fault: str) -> None:
    with pytest.raises(InvalidFile) as refused:
        read(f"- {source}", tmp_path)
    assert fault in str(refused.value)
