"""The bounds of a connection, and the response to a client that exceeds one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from goald.api.http.error_handlers import problem_response
from goald.api.problems import title_of

HEAD_BYTES: Final = 32 << 10
HEADERS: Final = 100
BODY_BYTES: Final = (1 << 20) + (64 << 10)
"""More than the API reads, so that it can answer a larger body itself."""
FRAMING_BYTES: Final = 64 << 10
"""Bytes after the head that are not content: sizes and extensions of chunks."""
CHUNKS: Final = 512
CHUNK_BYTES: Final = 64
"""Content of each chunk, on average, of a body with more than CHUNKS chunks: each costs a call."""
PIPELINE: Final = 16
"""Requests of one connection that wait for a response."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A bound that a connection exceeded. `detail` is shown to the client."""

    status: int
    detail: str

    def response(self) -> bytes:
        """The complete HTTP/1.1 response: a problem as the routes return it."""
        found = problem_response(self.status, self.detail, {"connection": "close"})
        headers = b"".join(b"%s: %s\r\n" % header for header in found.raw_headers)
        status_line = f"HTTP/1.1 {self.status} {title_of(self.status)}\r\n".encode()
        return status_line + headers + b"\r\n" + bytes(found.body)


NOT_HTTP = Rejection(400, "Invalid HTTP/1.1 request")
HEAD = Rejection(431, f"The request line and headers are larger than {HEAD_BYTES >> 10} KiB")
MANY_HEADERS = Rejection(431, f"The request has more than {HEADERS} headers")
BODY = Rejection(413, "The request is larger than 1 MiB")
FRAMING = Rejection(
    400,
    f"The chunk sizes and chunk extensions of the body are larger than {FRAMING_BYTES >> 10} KiB",
)
SMALL_CHUNKS = Rejection(
    400,
    f"The chunks of the body are too small: a body of more than {CHUNKS} chunks needs at least "
    f"{CHUNK_BYTES} bytes per chunk on average. Send larger chunks, or use Content-Length",
)
HOST = Rejection(400, "The request needs exactly one Host header")
VERSION = Rejection(505, "Only HTTP/1.1 and HTTP/1.0 are supported")
OLD_FRAMING = Rejection(400, "Transfer-Encoding needs HTTP/1.1")
TRANSFER_CODING = Rejection(
    501, "Transfer-Encoding must be chunked, once and without other codings"
)
TRAILER = Rejection(400, "Trailers are not supported")
MANY_REQUESTS = Rejection(400, f"Too many pipelined requests (limit {PIPELINE})")


def head_rejection(version: str, headers: Sequence[tuple[bytes, bytes]]) -> Rejection | None:
    """Return why the head of a request is refused; None if it is accepted. Proxies and servers read
    such requests differently, so that one may see another request than the other (RFC 9112, 3.2
    and 6.1). `headers`: their names in lower case."""
    if version not in ("1.1", "1.0"):
        return VERSION
    hosts = 0
    codings = []
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings.append(value.strip().lower())
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return HOST
    if codings and version == "1.0":
        return OLD_FRAMING
    if codings and codings != [b"chunked"]:
        return TRANSFER_CODING
    return None
