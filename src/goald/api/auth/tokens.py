"""Verification of bearer tokens: JWTs of one algorithm, one issuer and one audience."""

from typing import Any, Protocol

import jwt

from goald.api.ports import Caller
from goald.api.problems import Unauthorized
from goald.domain.ids import NOT_AN_ID, is_id
from goald.settings import TokenSettings

_MAX_LENGTH = 8_192
_LEEWAY_S = 10.0


def is_name(value: object) -> bool:
    """Return whether the value is valid as a tenant id or as the subject of a token."""
    return isinstance(value, str) and is_id(value)


class Keys(Protocol):
    """The source of verification keys."""

    async def key(self, kid: str | None) -> Any:
        """Return a key by its id. Raises Unauthorized for an unknown key, ServiceUnavailable if
        the keys cannot be fetched."""

    async def close(self) -> None: ...


class Secret:
    """The shared secret of HS256, for every key id."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    async def key(self, _: str | None) -> bytes:
        return self._secret

    async def close(self) -> None:
        """Does nothing."""


class JwtVerifier:
    """A `ports.TokenVerifier`. The settings determine the algorithm, never the token, so that a
    public key cannot be used as a shared secret."""

    def __init__(self, settings: TokenSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys

    async def verify(self, token: str) -> Caller:
        """Return the caller. Raises Unauthorized with a reason that quotes nothing from the token,
        ServiceUnavailable if the keys cannot be fetched."""
        if len(token) > _MAX_LENGTH:
            raise Unauthorized("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Unauthorized("the token is not a JWT") from None
        if header.get("alg") != self._settings.algorithm:
            raise Unauthorized(f"the token is not signed by {self._settings.algorithm}")
        key = await self._keys.key(header.get("kid"))
        return _caller(self._claims(token, key))

    def _claims(self, token: str, key: Any) -> dict[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[self._settings.algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub", "tenant_id", "scope"]},
            )
        except jwt.ExpiredSignatureError:
            raise Unauthorized("the token has expired") from None
        except jwt.ImmatureSignatureError:
            raise Unauthorized("the token is not valid yet") from None
        except jwt.InvalidAudienceError:
            raise Unauthorized("the token has another audience") from None
        except jwt.InvalidIssuerError:
            raise Unauthorized("the token has another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise Unauthorized(f"the token has no {error.claim}") from None
        except jwt.InvalidSignatureError:
            raise Unauthorized("the token's signature is wrong") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise Unauthorized("the token cannot be read") from None
        return claims


def _caller(claims: dict[str, Any]) -> Caller:
    for name in ("tenant_id", "sub"):
        if not is_name(claims[name]):
            raise Unauthorized(f"the token's {name} {NOT_AN_ID}")
    if not isinstance(claims["scope"], str):
        raise Unauthorized("the token's scope must be a string of scopes separated by spaces")
    return Caller(claims["tenant_id"], claims["sub"], frozenset(claims["scope"].split()))
