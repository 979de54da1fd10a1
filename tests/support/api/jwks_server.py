"""Key pairs that sign tokens, and an HTTP server that serves their JWKS document."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


class Key:
    """A key pair with an id, for RS256 or ES256."""

    def __init__(self, kid: str | None, algorithm: str = "RS256", bits: int = 2_048) -> None:
        self.kid = kid
        self.algorithm = algorithm
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(public_exponent=65_537, key_size=bits)
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def pem(self) -> bytes:
        """The public key in PEM."""
        public = self.private.public_key()
        return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key as a JWK. `members` replace the default members; None removes one."""
        algorithm = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        jwk = json.loads(algorithm.to_jwk(self.private.public_key()))
        jwk |= {"kid": self.kid, "use": "sig", "alg": self.algorithm} | members
        return {name: value for name, value in jwk.items() if value is not None}

    def token(self, tenant: str, scope: str = "workflows:read", **claims: Any) -> str:
        now = int(time.time())
        defaults = {"iss": "goald", "aud": "goald", "sub": "tester", "exp": now + 3600}
        headers = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            defaults | {"tenant_id": tenant, "scope": scope} | claims,
            self.private,
            algorithm=self.algorithm,
            headers=headers,
        )


class JwksServer:
    """Serves a JWKS document, and counts the requests for it."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        """If set, served instead of the keys."""
        self.status = 200
        self.asked = 0
        self.answering = threading.Event()
        """Requests wait until it is set."""
        self.answering.set()
        self.url = ""

    def document(self) -> bytes:
        return self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()


@contextmanager
def serve_jwks() -> Iterator[JwksServer]:
    """Yields a server that listens until the end of the `with` block."""
    jwks = JwksServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            jwks.asked += 1
            jwks.answering.wait(30)
            body = jwks.document()
            self.send_response(jwks.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Logs nothing, because tests read the output of goald."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    jwks.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield jwks
    finally:
        jwks.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
