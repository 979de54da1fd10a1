"""Public keys by a URL: read when needed, kept while it is unavailable, and never requested by a
flood of made-up ids."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import jwt
import pytest
from tests.support.api.jwks_server import JwksServer, Key, serve_jwks

from goald.adapters.memory.clock import ManualClock
from goald.api.auth.jwks import COOL_DOWN_S, FRESH_S, JwksKeys
from goald.api.auth.tokens import JwtVerifier
from goald.api.ports import Caller
from goald.api.problems import Unauthorized
from goald.domain.errors import ServiceUnavailable
from goald.settings import TokenSettings

FIRST, SECOND = Key("one"), Key("two")


@pytest.fixture
def issuer() -> Iterator[JwksServer]:
    with serve_jwks() as issuer:
        issuer.keys = [FIRST.jwk()]
        yield issuer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def verifier(issuer: JwksServer, clock: ManualClock) -> AsyncIterator[JwtVerifier]:
    keys = JwksKeys(issuer.url, "RS256", clock)
    yield _verifier(issuer, keys)
    await keys.close()


def _verifier(issuer: JwksServer, keys: JwksKeys, algorithm: str = "RS256") -> JwtVerifier:
    settings = TokenSettings(
        algorithm=algorithm, issuer="goald", audience="goald", jwks_url=issuer.url
    )
    return JwtVerifier(settings, keys)


async def test_token_of_the_issuer_is_accepted(verifier: JwtVerifier) -> None:
    caller = await verifier.verify(FIRST.token("acme", "workflows:read audit:read"))

    assert caller == Caller("acme", "tester", frozenset({"workflows:read", "audit:read"}))


async def test_concurrent_tokens_share_one_fetch(issuer: JwksServer, verifier: JwtVerifier) -> None:
    await asyncio.gather(*(verifier.verify(FIRST.token("acme")) for _ in range(20)))

    assert issuer.asked == 1


async def test_new_key_is_fetched_before_the_cached_keys_expire(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    await verifier.verify(FIRST.token("acme"))
    issuer.keys = [SECOND.jwk()]
    await clock.advance(COOL_DOWN_S)

    assert (await verifier.verify(SECOND.token("acme"))).tenant_id == "acme"
    with pytest.raises(Unauthorized):
        await verifier.verify(FIRST.token("acme"))


async def test_withdrawn_key_is_refused_after_the_cache_expires(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    await verifier.verify(FIRST.token("acme"))
    issuer.keys = [SECOND.jwk()]
    await clock.advance(FRESH_S + 1)

    with pytest.raises(Unauthorized):
        await verifier.verify(FIRST.token("acme"))


async def test_invented_key_ids_cause_one_fetch_per_cooldown(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    await verifier.verify(FIRST.token("acme"))
    await clock.advance(COOL_DOWN_S)
    for number in range(50):
        made_up = jwt.encode({}, FIRST.private, "RS256", headers={"kid": f"made-up-{number}"})
        with pytest.raises(Unauthorized):
            await verifier.verify(made_up)

    assert issuer.asked == 2


async def test_known_keys_stay_in_use_while_the_url_is_unavailable(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    await verifier.verify(FIRST.token("acme"))
    issuer.status = 500
    for _ in range(3):
        await clock.advance(FRESH_S + 1)
        assert await verifier.verify(FIRST.token("acme"))
    issuer.status = 200
    issuer.keys = [SECOND.jwk()]
    await clock.advance(COOL_DOWN_S)
    await _until_taken(verifier, SECOND)


async def test_later_callers_do_not_wait_for_a_hanging_url(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    await verifier.verify(FIRST.token("acme"))
    issuer.status = 500
    await clock.advance(FRESH_S + 1)
    await verifier.verify(FIRST.token("acme"))
    issuer.answering.clear()
    await clock.advance(COOL_DOWN_S)

    assert await verifier.verify(FIRST.token("acme"))
    assert not issuer.answering.is_set()


async def test_without_keys_tokens_get_503_and_the_fetch_is_retried(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    issuer.status = 503
    with pytest.raises(ServiceUnavailable):
        await verifier.verify(FIRST.token("acme"))
    issuer.status = 200
    with pytest.raises(ServiceUnavailable):
        await verifier.verify(FIRST.token("acme"))
    await clock.advance(1)

    assert await verifier.verify(FIRST.token("acme"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"keys": 1}',
        b'{"keys": []}',
        b'{"keys": [1, {"kty": "RSA"}]}',
        b"[" * 100_000,
        b'{"keys": [], "x": "' + b"x" * 300_000 + b'"}',
    ],
)
async def test_invalid_jwks_is_treated_as_unavailable(
    issuer: JwksServer, verifier: JwtVerifier, body: bytes
) -> None:
    issuer.body = body

    with pytest.raises(ServiceUnavailable):
        await verifier.verify(FIRST.token("acme"))


async def test_redirects_are_not_followed(issuer: JwksServer, verifier: JwtVerifier) -> None:
    issuer.status = 302

    with pytest.raises(ServiceUnavailable):
        await verifier.verify(FIRST.token("acme"))


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"key_ops": ["encrypt"]},
        {"key_ops": "verify"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {"d": "AQAB"},
        {"n": "!"},
        {"kid": 1},
    ],
)
async def test_key_for_another_use_is_ignored(
    issuer: JwksServer, verifier: JwtVerifier, members: dict[str, Any]
) -> None:
    issuer.keys = [FIRST.jwk(**members), SECOND.jwk()]

    with pytest.raises(Unauthorized):
        await verifier.verify(FIRST.token("acme"))
    assert await verifier.verify(SECOND.token("acme"))


async def test_key_without_a_declared_use_is_accepted(
    issuer: JwksServer, verifier: JwtVerifier
) -> None:
    issuer.keys = [FIRST.jwk(use=None, alg=None)]

    assert await verifier.verify(FIRST.token("acme"))


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_short_rsa_key_is_ignored(issuer: JwksServer, verifier: JwtVerifier) -> None:
    short = Key("short", bits=1_024)
    issuer.keys = [short.jwk(), FIRST.jwk()]

    with pytest.raises(Unauthorized):
        await verifier.verify(short.token("acme"))


async def test_token_without_a_key_id_uses_the_only_key(
    issuer: JwksServer, verifier: JwtVerifier, clock: ManualClock
) -> None:
    nameless = Key(None)
    issuer.keys = [nameless.jwk()]
    assert await verifier.verify(nameless.token("acme"))
    issuer.keys = [nameless.jwk(), FIRST.jwk()]
    await clock.advance(FRESH_S + 1)

    with pytest.raises(Unauthorized):
        await verifier.verify(nameless.token("acme"))


async def test_es256_requires_its_curve(issuer: JwksServer, clock: ManualClock) -> None:
    elliptic = Key("ec", "ES256")
    issuer.keys = [FIRST.jwk(), elliptic.jwk()]
    keys = JwksKeys(issuer.url, "ES256", clock)
    verifier = _verifier(issuer, keys, "ES256")

    assert await verifier.verify(elliptic.token("acme"))
    with pytest.raises(Unauthorized):
        await verifier.verify(FIRST.token("acme"))
    await keys.close()


@pytest.mark.parametrize("secret", ["pem", "jwk", "n"])
async def test_public_key_is_never_used_as_a_secret(
    issuer: JwksServer, verifier: JwtVerifier, secret: str
) -> None:
    public = {
        "pem": FIRST.pem,
        "jwk": json.dumps(FIRST.jwk()).encode(),
        "n": FIRST.jwk()["n"].encode(),
    }[secret]
    forged = _signed_by_hand(public, {"alg": "HS256", "kid": "one"}, FIRST.token("acme"))

    with pytest.raises(Unauthorized):
        await verifier.verify(forged)


async def _until_taken(verifier: JwtVerifier, key: Key) -> None:
    """Wait until the keys have been read in the background."""
    async with asyncio.timeout(10):
        while True:
            try:
                await verifier.verify(key.token("acme"))
            except Unauthorized:
                await asyncio.sleep(0.01)
            else:
                return


def _signed_by_hand(secret: bytes, header: dict[str, Any], token: str) -> str:
    """The claims of a token under another header, signed by HMAC: PyJWT itself would not."""

    def encoded(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    signed = f"{encoded(json.dumps(header).encode())}.{token.split('.')[1]}"
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"
