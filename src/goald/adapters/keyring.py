"""AES-256-GCM under the keys of GOALD_SECRETS_KEYS (docs/decisions/0030)."""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from goald.domain.credentials.encrypted import EncryptedValue
from goald.domain.credentials.weakness import weakness_of
from goald.domain.errors import EncryptionKeyMissing, SecretDamaged, SettingsError

SETTING: Final = "GOALD_SECRETS_KEYS"
KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
_ID_HEX_DIGITS: Final = 16
_MAX_FILE_BYTES: Final = 1_024
_DERIVED: Final = b"goald derived key\x00"


class Keyring:
    """`ports.SecretCipher`: the first key encrypts, every key decrypts."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """`keys`: 32 bytes each. Without keys, every call raises EncryptionKeyMissing."""
        self._keys = tuple(keys)
        self._ciphers = {key_id(key): AESGCM(key) for key in keys}
        self._newest = key_id(keys[0]) if keys else None

    @property
    def newest_key_id(self) -> str:
        if self._newest is None:
            raise EncryptionKeyMissing(
                f"{SETTING} is not set, so secrets cannot be encrypted. Set it to a key of 32 "
                "random bytes in base64, such as the output of `openssl rand -base64 32`, or to "
                "the path of a file that contains one."
            )
        return self._newest

    def has(self, key_id: str) -> bool:
        """Whether the key with this id is among the keys."""
        return key_id in self._ciphers

    def derived(self, *context: str) -> list[bytes]:
        """A key of 32 bytes for this purpose from each key, the newest first: the same at each
        call, and neither the key nor the derived key of another context can be computed from
        it."""
        return [
            hmac.digest(key, _DERIVED + _bound(key_id(key), context), "sha256")
            for key in self._keys
        ]

    def encrypt(self, value: bytes, *context: str) -> EncryptedValue:
        newest = self.newest_key_id
        nonce = os.urandom(_NONCE_BYTES)
        encrypted = self._ciphers[newest].encrypt(nonce, value, _bound(newest, context))
        return EncryptedValue(newest, _VERSION + nonce + encrypted)

    def decrypt(self, value: EncryptedValue, *context: str) -> bytes:
        cipher = self._ciphers.get(value.key_id)
        if cipher is None:
            raise EncryptionKeyMissing(
                f"{SETTING} does not contain the key {value.key_id}, with which a stored secret "
                "is encrypted. Add that key at the end of the list."
            )
        if not value.data.startswith(_VERSION):
            raise SecretDamaged("a stored secret has an unknown format")
        nonce, encrypted = value.data[1 : 1 + _NONCE_BYTES], value.data[1 + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, encrypted, _bound(value.key_id, context))
        except (InvalidTag, ValueError):
            raise SecretDamaged(
                "a stored secret cannot be decrypted: it was changed, or moved from another row"
            ) from None


def key_id(key: bytes) -> str:
    """Return the id of a key, from which the key cannot be computed."""
    digest = hashlib.sha256(b"goald encryption key id\x00" + key)
    return digest.hexdigest()[:_ID_HEX_DIGITS]


def read_keys(entries: Sequence[str]) -> list[bytes]:
    """Return the keys of a setting: each entry is a key in base64, or the path of a file with
    one. Blocks while files are read. Raises SettingsError, which never contains an entry that may
    be a key."""
    return [_read_key(number, entry.strip()) for number, entry in enumerate(entries, 1)]


def _read_key(number: int, entry: str) -> bytes:
    key = _decoded(entry)
    if key is None:
        key = _decoded(_text_of_file(number, entry))
    if key is None:
        raise SettingsError(
            f"{SETTING}: the file of key {number} does not contain 32 bytes in base64, such as "
            "the output of `openssl rand -base64 32`."
        )
    weakness = weakness_of(key)
    if weakness is not None:
        raise SettingsError(
            f"{SETTING}: key {number} is not random: {weakness}. Use the output of `openssl rand "
            "-base64 32`."
        )
    return key


def _text_of_file(number: int, path: str) -> str:
    try:
        with Path(path).expanduser().open("rb") as file:
            return file.read(_MAX_FILE_BYTES).decode("ascii", "replace").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise SettingsError(
            f"{SETTING}: key {number} is neither 32 bytes in base64 nor a file that can be read"
            f"{f' ({reason})' if reason else ''}."
        ) from None


def _decoded(text: str) -> bytes | None:
    """The 32 bytes of a text in base64; None if it is anything else."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _bound(key: str, context: Sequence[str]) -> bytes:
    """The associated data. Lengths precede the parts, so that no two contexts are equal."""
    parts = [part.encode() for part in (key, *context)]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
