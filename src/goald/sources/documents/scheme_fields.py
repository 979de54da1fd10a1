"""The `scheme` of a source document."""

from typing import Annotated, Final, Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from goald.sources.schemes.body_hmac import BodyHmac, KeyForm, Signed
from goald.sources.schemes.comparison import Algorithm, Encoding
from goald.sources.schemes.contract import Scheme
from goald.sources.schemes.hubspot import HubSpotSignature
from goald.sources.schemes.paypal import PayPalSignature
from goald.sources.schemes.public_keys import BodyEd25519, public_key
from goald.sources.schemes.standard_webhooks import StandardWebhooks
from goald.sources.schemes.timestamped import TimestampedHmac
from goald.sources.schemes.tokens import HeaderToken, PathKey

Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
Tolerance = Annotated[int, Field(ge=30, le=7 * 86_400)]
_DEFAULT_TOLERANCE: Final = 300


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HmacFields(_Fields):
    """HMAC over the raw body."""

    type: Literal["hmac"]
    header: Header
    encoding: Encoding
    prefix: Annotated[str, Field(max_length=32)] = ""
    algorithm: Algorithm = "sha256"
    key_form: KeyForm = "text"
    signed: Signed = "body"
    optional: bool = False


class TimestampedFields(_Fields):
    """`t=…,v1=…`: HMAC over the time and the body."""

    type: Literal["timestamped"]
    header: Header
    secret_prefix: Annotated[str, Field(max_length=32)] = ""
    tolerance_seconds: Tolerance = _DEFAULT_TOLERANCE
    optional: bool = False


class StandardWebhooksFields(_Fields):
    type: Literal["standard_webhooks"]
    header_prefixes: Annotated[tuple[Header, ...], Field(min_length=1, max_length=4)] = (
        "webhook",
        "svix",
    )
    tolerance_seconds: Tolerance = _DEFAULT_TOLERANCE


class HubSpotFields(_Fields):
    type: Literal["hubspot"]
    allow_legacy: bool = False
    tolerance_seconds: Tolerance = _DEFAULT_TOLERANCE


class Ed25519Fields(_Fields):
    """Ed25519 over the raw body, with the provider's public keys."""

    type: Literal["ed25519"]
    header: Header
    public_keys: Annotated[tuple[str, ...], Field(max_length=4)] = ()


class TokenFields(_Fields):
    """The provider sends a secret itself."""

    type: Literal["basic", "bearer", "token"]
    header: Header = "Authorization"
    optional: bool = False


class PayPalFields(_Fields):
    """The default tolerance is the time in which PayPal delivers again: 3 days."""

    type: Literal["paypal"]
    environment: Literal["live", "sandbox"] = "live"
    tolerance_seconds: Tolerance = 3 * 86_400 + 600


class NoneFields(_Fields):
    """The key in the path authenticates."""

    type: Literal["none"]


SchemeFields = Annotated[
    HmacFields
    | TimestampedFields
    | StandardWebhooksFields
    | HubSpotFields
    | Ed25519Fields
    | TokenFields
    | PayPalFields
    | NoneFields,
    Field(discriminator="type"),
]


def scheme_of(fields: SchemeFields) -> Scheme:  # noqa: PLR0911 -- a case for each scheme
    """Return the verifier. Raises InvalidConfiguration for a public key that is not one."""
    match fields:
        case HmacFields():
            return BodyHmac(
                fields.header,
                fields.encoding,
                fields.prefix,
                fields.algorithm,
                fields.key_form,
                fields.signed,
                fields.optional,
            )
        case TimestampedFields():
            return TimestampedHmac(
                fields.header, fields.tolerance_seconds, fields.secret_prefix, fields.optional
            )
        case StandardWebhooksFields():
            return StandardWebhooks(fields.tolerance_seconds, fields.header_prefixes)
        case HubSpotFields():
            return HubSpotSignature(fields.tolerance_seconds, fields.allow_legacy)
        case Ed25519Fields():
            return BodyEd25519(fields.header, tuple(map(public_key, fields.public_keys)))
        case TokenFields():
            form = "plain" if fields.type == "token" else fields.type
            return HeaderToken(form, fields.header, fields.optional)
        case PayPalFields():
            return PayPalSignature(fields.environment, fields.tolerance_seconds)
        case NoneFields():
            return PathKey()
        case _:
            assert_never(fields)
