"""The contract of a signature scheme."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from goald.sources.delivery import Delivery

SecretKind = Literal["hmac", "ed25519", "password", "webhook_id"]


@dataclass(frozen=True, slots=True)
class SourceSecret:
    """A secret of a source, decoded from the form in which the provider shows it."""

    key: bytes = field(repr=False)
    kind: SecretKind = "hmac"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a delivery is authentic."""

    verified: bool
    reason: str
    """For the operator, never for the sender: why the delivery is or is not trusted."""
    secret: int | None = None
    """The position of the secret that matched, so that an operator sees when an old one is no
    longer used. None if no secret took part, or none matched."""


class Scheme(Protocol):
    """How one provider authenticates its deliveries."""

    @property
    def is_optional(self) -> bool:
        """Whether a source may have no secret. Its deliveries are then trusted without a
        signature: the key in the path authenticates them."""
        ...

    def parse_secret(self, text: str) -> SourceSecret:
        """Return the secret in the form that `verify` takes. Raises InvalidConfiguration, whose
        message says what the provider's secrets look like, for a secret that this scheme cannot
        check. The message never repeats the secret."""
        ...

    def certificate_url(self, delivery: Delivery) -> str | None:
        """Return the URL of a certificate that `verify` needs in `Delivery.certificates`; None if
        it needs none. The URL is checked: it is the provider's. Never raises."""
        ...

    def verify(
        self, delivery: Delivery, secrets: Sequence[SourceSecret], now_us: int
    ) -> Verification:
        """Check a delivery against each of the secrets; one match is enough, so that a rotation
        can overlap.

        Never raises for anything that a sender may send. The work depends on the sizes of the
        delivery and on the number of secrets and signatures, not on whether or which one matches:
        a delivery without a signature costs as much as a forged one.
        """
        ...
