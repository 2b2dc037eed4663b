"""A token endpoint as OpenID providers have one, in a thread: it gives signed tokens to whoever has the secret."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

SECRET: Final = "client secret"
ISSUER, AUDIENCE = "https://login.example", "kafka"


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Tokens:
    """What it gives, and what it was asked."""

    key: ec.EllipticCurvePrivateKey
    url: str = ""
    seconds: float = 300
    """For how long a token is valid."""
    audience: str = AUDIENCE
    answer: tuple[int, bytes] | None = None
    """What it answers instead of a token."""
    location: str | None = None
    """Where it sends whoever asks."""
    delay: threading.Event | None = None
    """What it waits for before it answers."""
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    def make(self, client: str) -> str:
        """A token of RFC 9068 for a client."""
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": self.audience, "sub": client, "iat": now, "exp": now + self.seconds}
        signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "1"}, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(SHA256())))
        return f"{signed}.{encode(r.to_bytes(32) + s.to_bytes(32))}"


def make_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def write_keys(key: ec.EllipticCurvePrivateKey) -> str:
    """The public key, as a JWK set."""
    numbers = key.public_key().public_numbers()
    x, y = (encode(number.to_bytes(32)) for number in (numbers.x, numbers.y))
    return json.dumps({"keys": [{"kid": "1", "kty": "EC", "crv": "P-256", "use": "sig", "x": x, "y": y}]})


@contextmanager
def run_token_endpoint(key: ec.EllipticCurvePrivateKey) -> Iterator[Tokens]:
    tokens = Tokens(key)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            tokens.asked.append(parse_qs(body))
            if tokens.delay:
                tokens.delay.wait(30)
            code, answer = tokens.answer or self._give()
            self.send_response(code)
            if tokens.location:
                self.send_header("Location", tokens.location)
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            tokens.asked.append({name: [value] for name, value in self.headers.items()})
            self.send_error(404)

        def _give(self) -> tuple[int, bytes]:
            login = base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode()
            client, _, secret = login.partition(":")
            if secret != SECRET.replace(" ", "%20"):
                return 401, b'{"error": "invalid_client"}'
            given = {"access_token": tokens.make(client), "token_type": "Bearer", "expires_in": tokens.seconds}
            return 200, json.dumps(given).encode()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Whoever asked has gone."""

    with Server(("127.0.0.1", 0), Handler) as server:
        tokens.url = f"http://127.0.0.1:{server.server_address[1]}/token"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield tokens
        server.shutdown()
