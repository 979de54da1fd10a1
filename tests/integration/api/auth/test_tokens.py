"""Bearer tokens, as a caller meets them."""

import base64
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from tests.support.api.client import Api

PATH = "/api/v1/webhooks"


def ask(api: Api, token: str | None) -> httpx.Response:
    headers = {} if token is None else {"authorization": token}
    return api.anonymous().get(PATH, headers=headers)


def assert_refused(answer: httpx.Response, why: str) -> None:
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith('Bearer realm="goald", error="invalid_token"')
    assert why in answer.json()["detail"]


def test_valid_token_is_accepted(api: Api) -> None:
    assert ask(api, f"Bearer {api.token('acme')}").status_code == 200
    assert ask(api, f"bearer {api.token('acme')}").status_code == 200


def test_token_may_have_several_audiences(api: Api) -> None:
    assert ask(api, f"Bearer {api.token('acme', aud=['other', 'goald'])}").status_code == 200


def test_missing_token_gets_a_challenge_without_an_error(api: Api) -> None:
    for header in (None, "", "Bearer", "Basic YTpi", api.token("acme")):
        answer = ask(api, header)

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="goald"'
        assert answer.json() == {
            "type": "about:blank",
            "title": "Unauthorized",
            "status": 401,
            "detail": "This needs a bearer token",
        }


def test_two_tokens_are_refused(api: Api) -> None:
    header = (b"authorization", f"Bearer {api.token('acme')}".encode())

    assert api.anonymous().get(PATH, headers=[header, header]).status_code == 401


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "no exp"),
        ({"exp": "never"}, "cannot be read"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"iat": int(time.time()) + 3600}, "not valid yet"),
        ({"aud": "other"}, "another audience"),
        ({"aud": None}, "no aud"),
        ({"iss": "other"}, "another issuer"),
        ({"iss": None}, "no iss"),
        ({"sub": None}, "no sub"),
        ({"sub": 7}, "cannot be read"),
        ({"sub": ""}, "sub must have"),
        ({"sub": "a\nb"}, "sub must have"),
        ({"tenant_id": None}, "no tenant_id"),
        ({"tenant_id": ""}, "tenant_id must have"),
        ({"tenant_id": 7}, "tenant_id must have"),
        ({"tenant_id": ["acme"]}, "tenant_id must have"),
        ({"tenant_id": "x" * 257}, "tenant_id must have"),
        ({"tenant_id": "a\x00b"}, "tenant_id must have"),
        ({"tenant_id": "a\x85b"}, "tenant_id must have"),
        ({"tenant_id": "\ud800"}, "tenant_id must have"),
        ({"scope": None}, "no scope"),
        ({"scope": ["workflows:edit"]}, "scope must be"),
    ],
)
def test_invalid_claim_is_refused(api: Api, claims: dict[str, Any], why: str) -> None:
    assert_refused(ask(api, f"Bearer {api.token('acme', **claims)}"), why)


def test_clock_difference_is_tolerated(api: Api) -> None:
    a_moment_ago = int(time.time()) - 3

    assert ask(api, f"Bearer {api.token('acme', exp=a_moment_ago)}").status_code == 200


def test_a_token_signed_with_another_secret_is_refused(api: Api) -> None:
    forged = jwt.encode(
        jwt.decode(api.token("acme"), options={"verify_signature": False}), "x" * 32
    )

    assert_refused(ask(api, f"Bearer {forged}"), "signature is wrong")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS512", "RS256"])
def test_other_algorithms_are_refused(api: Api, algorithm: str) -> None:
    _, claims, signature = api.token("acme").split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).decode().rstrip("=")
    for token in (f"{header}.{claims}.{signature}", f"{header}.{claims}."):
        assert_refused(ask(api, f"Bearer {token}"), "not signed by HS256")


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "....", "e30.e30.e30", "é.é.é"])
def test_invalid_token_is_refused(api: Api, token: str) -> None:
    answer = api.anonymous().get(PATH, headers=[(b"authorization", f"Bearer {token}".encode())])

    assert answer.status_code == 401


def test_too_long_token_is_refused(api: Api) -> None:
    assert_refused(ask(api, f"Bearer {api.token('acme', padding='x' * 9_000)}"), "too long")


def test_error_quotes_nothing_of_the_token(api: Api) -> None:
    answer = ask(api, f"Bearer {api.token('secret-tenant', iss='evil-issuer')}")

    assert "secret-tenant" not in answer.text
    assert "evil-issuer" not in answer.text + answer.headers["www-authenticate"]


def test_a_missing_scope_is_named(api: Api) -> None:
    answer = api.client("acme", "workflows:read", "events:write").get(PATH)

    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="goald", error="insufficient_scope", scope="workflows:edit"'
    )
    assert answer.json()["scope"] == "workflows:edit"


def test_prefix_of_a_scope_is_not_the_scope(api: Api) -> None:
    for scope in ("workflows:editor", "workflows", "WORKFLOWS:EDIT", "workflows:edit,audit:read"):
        assert api.client("acme", scope).get(PATH).status_code == 403


def test_authorization_precedes_the_body(api: Api) -> None:
    def endless() -> Any:
        yield b"not JSON"

    for client, status in ((api.anonymous(), 401), (api.client("acme", "audit:read"), 403)):
        answer = client.put(f"{PATH}/stripe", content=endless())

        assert answer.status_code == status
