"""Whoever issues tokens on a platform: key pairs, and the JWKS document that tells of them,
served by a real HTTP server."""

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
        """The public key, as it is passed around."""
        public = self.private.public_key()
        return bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))

    def jwk(self, **members: Any) -> dict[str, Any]:
        """The public key in a JWKS; `members` are put over the usual ones, and one that is
        None is left out."""
        of = RSAAlgorithm if self.algorithm == "RS256" else ECAlgorithm
        held = json.loads(of.to_jwk(self.private.public_key()))
        held |= {"kid": self.kid, "use": "sig", "alg": self.algorithm} | members
        return {name: value for name, value in held.items() if value is not None}

    def token(self, tenant: str, scope: str = "workflows:read", **claims: Any) -> str:
        now = int(time.time())
        usual = {"iss": "goald", "aud": "goald", "sub": "tester", "exp": now + 3600}
        headers = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            usual | {"tenant_id": tenant, "scope": scope} | claims,
            self.private,
            algorithm=self.algorithm,
            headers=headers,
        )


class Issuer:
    """Serves a JWKS, and counts how often it is asked for."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.body: bytes | None = None
        """Served in place of the keys, where it is set."""
        self.status = 200
        self.asked = 0
        self.answering = threading.Event()
        """While it is not set, whoever asks waits."""
        self.answering.set()
        self.url = ""

    def document(self) -> bytes:
        return self.body if self.body is not None else json.dumps({"keys": self.keys}).encode()


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer that listens until the end of the body."""
    issuer = Issuer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            issuer.answering.wait(30)
            body = issuer.document()
            self.send_response(issuer.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing: tests read what goald says."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.answering.set()
        server.shutdown()
        server.server_close()
        thread.join()
