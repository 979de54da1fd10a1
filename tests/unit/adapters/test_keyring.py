"""Encrypted values: only the same place and the same key give the value back."""

import base64
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goald.adapters.keyring import Keyring, key_id, read_keys
from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.errors import EncryptionKeyMissing, SecretDamaged, SettingsError

OLD, NEW = random.Random(1).randbytes(32), random.Random(2).randbytes(32)
VALUE = b"the secret of a provider, 32 byte"


def text(key: bytes) -> str:
    return base64.b64encode(key).decode()


@given(st.binary(max_size=100), st.lists(st.text(max_size=20), max_size=3))
def test_value_is_decrypted_for_its_context(value: bytes, context: list[str]) -> None:
    encrypted = Keyring([OLD]).encrypt(value, *context)

    assert Keyring([NEW, OLD]).decrypt(encrypted, *context) == value
    assert len(value) < 16 or value not in encrypted.data


@given(st.lists(st.text(max_size=5), max_size=3), st.lists(st.text(max_size=5), max_size=3))
def test_value_of_another_context_is_damaged(context: list[str], other: list[str]) -> None:
    encrypted = Keyring([OLD]).encrypt(VALUE, *context)

    if context != other:
        with pytest.raises(SecretDamaged):
            Keyring([OLD]).decrypt(encrypted, *other)


def test_same_value_is_encrypted_differently_each_time() -> None:
    cipher = Keyring([OLD])

    assert len({cipher.encrypt(VALUE, "acme").data for _ in range(100)}) == 100


def test_every_changed_bit_is_detected() -> None:
    cipher = Keyring([OLD])
    encrypted = cipher.encrypt(VALUE, "acme")
    for position in range(len(encrypted.data)):
        data = bytearray(encrypted.data)
        data[position] ^= 1
        with pytest.raises(SecretDamaged):
            cipher.decrypt(EncryptedValue(encrypted.key_id, bytes(data)), "acme")
    for length in range(len(encrypted.data)):
        with pytest.raises(SecretDamaged):
            cipher.decrypt(EncryptedValue(encrypted.key_id, encrypted.data[:length]), "acme")


def test_derived_keys_are_the_same_for_a_context_and_differ_between_contexts_and_keys() -> None:
    both = Keyring([NEW, OLD])

    assert both.derived("webhooks", "acme") == [
        *Keyring([NEW]).derived("webhooks", "acme"),
        *Keyring([OLD]).derived("webhooks", "acme"),
    ]
    contexts = [("webhooks", "acme"), ("webhooks", "other"), ("webhooksacme",), ("webhooks",), ()]
    derived = {key for context in contexts for key in both.derived(*context)}
    assert len(derived) == 2 * len(contexts)
    assert {len(key) for key in derived} == {32}
    assert Keyring([]).derived("webhooks", "acme") == []


def test_first_key_encrypts_and_all_keys_decrypt() -> None:
    old, both = Keyring([OLD]), Keyring([NEW, OLD])

    assert both.encrypt(VALUE).key_id == key_id(NEW) == both.newest_key_id
    assert both.decrypt(old.encrypt(VALUE)) == VALUE


def test_value_under_an_unknown_key_names_the_setting_and_the_key() -> None:
    encrypted = Keyring([OLD]).encrypt(VALUE)

    with pytest.raises(EncryptionKeyMissing, match=rf"GOALD_SECRETS_KEYS.*{key_id(OLD)}"):
        Keyring([NEW]).decrypt(encrypted)


def test_value_under_the_id_of_another_key_is_damaged() -> None:
    encrypted = Keyring([OLD]).encrypt(VALUE)

    with pytest.raises(SecretDamaged):
        Keyring([NEW]).decrypt(EncryptedValue(key_id(NEW), encrypted.data))


def test_without_keys_nothing_is_encrypted() -> None:
    with pytest.raises(EncryptionKeyMissing, match="GOALD_SECRETS_KEYS is not set"):
        Keyring([]).encrypt(VALUE)


def test_keys_are_given_as_base64_or_as_files(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(text(NEW) + "\n")

    assert read_keys([text(OLD), f" {file} "]) == [OLD, NEW]


@pytest.mark.parametrize(
    "entry",
    [text(OLD)[:-4], text(OLD + b"x"), text(OLD).replace("=", ""), "/no/such/file", "a\x00b", ""],
)
def test_invalid_key_is_refused_without_showing_it(entry: str) -> None:
    with pytest.raises(SettingsError, match="GOALD_SECRETS_KEYS: key 2 is neither") as raised:
        read_keys([text(NEW), entry])
    assert not entry or entry not in str(raised.value)


def test_file_without_a_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x" * 5_000)

    with pytest.raises(SettingsError, match="the file of key 1 does not contain 32 bytes"):
        read_keys([str(tmp_path / "key")])


@pytest.mark.parametrize("key", [bytes(32), bytes(range(32)), b"abcd" * 8])
def test_weak_key_is_refused(key: bytes) -> None:
    with pytest.raises(SettingsError, match="GOALD_SECRETS_KEYS: key 1 is not random"):
        read_keys([text(key)])
