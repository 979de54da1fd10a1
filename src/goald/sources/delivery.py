"""One request of a provider, as it arrived."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request of a provider, before anything in it is trusted."""

    method: str
    """In capitals, such as `POST`."""
    url: str
    """The public URL as the provider calls it, with scheme, host, path and query. It comes from
    the configuration and the request line, never from `Host` or `X-Forwarded-*`."""
    headers: Mapping[str, str]
    """By lower-case name; see `headers_by_name`."""
    body: bytes
    """Exactly the bytes that were received: signatures cover them."""
    received_at_us: int
    certificates: bytes = b""
    """PEM that the receiver fetched from the scheme's `certificate_url`; empty if it has none, or
    could not be fetched."""
    trusted_roots: bytes = b""
    """PEM of the root certificates that the receiver trusts, for `certificates`."""

    def header(self, name: str) -> str | None:
        """Return the value of a header, whose name is compared without regard to case; None if
        it is absent."""
        return self.headers.get(name.lower())


def headers_by_name(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers of an ASGI request by lower-case name. The values of a header that was
    sent more than once are joined with `, `, so that no reader sees only one of them."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in pairs:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
