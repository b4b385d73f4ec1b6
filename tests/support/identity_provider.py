"""An identity provider on loopback: it signs tokens, publishes its keys, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from service.auth.keys import VerificationKey, supported_algorithms
from tests.support.http_server import Quiet, serving


def base64url(data: bytes) -> str:
    """Encode as RFC 7515 §2 does, without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def as_bytes(part: Mapping[str, Any] | bytes) -> bytes:
    """Serialize a header or payload; bytes stay as they are, for JSON that ``json`` would not write."""
    return part if isinstance(part, bytes) else json.dumps(part).encode()


def private_key(kind: str, name: str = "first") -> Any:
    """Give a key of this kind: ``RSA``, ``RSA-1024``, ``Ed25519``, ``secp256k1`` or a curve such as ``P-256``.

    The same for the same name, since generating one takes its time.
    """
    return _generated(kind, name)


@cache
def _generated(kind: str, _name: str) -> Any:
    curves = {
        "P-256": ec.SECP256R1(),
        "P-384": ec.SECP384R1(),
        "P-521": ec.SECP521R1(),
        "secp256k1": ec.SECP256K1(),
    }
    if kind in curves:
        return ec.generate_private_key(curves[kind])
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    _, _, bits = kind.partition("-")
    return rsa.generate_private_key(public_exponent=65537, key_size=int(bits or 2048))


ALGORITHMS = {**get_default_algorithms(), "Ed25519": get_default_algorithms()["EdDSA"]}
"""PyJWT's, and the fully specified name of RFC 9864, which it does not know by itself."""

KINDS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    **dict.fromkeys(("EdDSA", "Ed25519"), "Ed25519"),
}
"""The algorithms we verify with public keys, and the kind of key that each needs."""


@dataclass(frozen=True)
class Signer:
    """A provider's signing key."""

    algorithm: str = "RS256"
    key_id: str | None = "key-1"
    name: str = "first"

    @property
    def private(self) -> Any:
        return private_key(KINDS[self.algorithm], self.name)

    @property
    def verification_key(self) -> VerificationKey:
        public = self.private.public_key()
        return VerificationKey(public, supported_algorithms(public))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Publish the key as providers do; ``None`` takes a member out."""
        algorithm = ALGORITHMS[self.algorithm]
        published = {
            **json.loads(algorithm.to_jwk(self.private.public_key())),
            "kid": self.key_id,
            "use": "sig",
            "alg": self.algorithm,
            **changes,
        }
        published.pop("key_ops", None)
        published |= {"key_ops": changes["key_ops"]} if "key_ops" in changes else {}
        return {name: value for name, value in published.items() if value is not None}

    def sign(self, claims: Mapping[str, Any] | bytes, **header: Any) -> str:
        """Sign claims under this key; ``header`` changes or, with ``None``, takes out header members."""
        full = {"alg": self.algorithm, "typ": "JWT", "kid": self.key_id, **header}
        return self.sign_parts({name: value for name, value in full.items() if value is not None}, claims)

    def sign_parts(self, header: Mapping[str, Any] | bytes, claims: Mapping[str, Any] | bytes) -> str:
        """Sign exactly this header and payload, whatever they say."""
        signed = f"{base64url(as_bytes(header))}.{base64url(as_bytes(claims))}"
        signature = ALGORITHMS[self.algorithm].sign(signed.encode(), self.private)
        return f"{signed}.{base64url(signature)}"


def sign_hs256(claims: Mapping[str, Any] | bytes, secret: str | bytes, **header: Any) -> str:
    """Sign with a shared secret, by hand: PyJWT refuses the keys that some attacks need."""
    full = {"alg": "HS256", "typ": "JWT", **header}
    signed = f"{base64url(as_bytes({k: v for k, v in full.items() if v is not None}))}.{base64url(as_bytes(claims))}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{base64url(jwt.get_algorithm_by_name('HS256').sign(signed.encode(), key))}"


Answer = Callable[[BaseHTTPRequestHandler], None]


def page(document: Any, *, status: int = 200, **headers: str) -> Answer:
    """Answer with this document, as JSON unless it is bytes."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@dataclass
class IdentityProvider:
    """A running provider. ``answer`` is how it treats the next request for its keys, at any path but ``pages``."""

    url: str = ""
    issuer: str = ""
    pages: dict[str, Answer] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    answer: Answer = field(default=lambda _: None)
    requests: list[dict[str, str]] = field(default_factory=list)

    @property
    def fetches(self) -> int:
        """How often its keys were asked for."""
        return len(self.requests)

    def publish(self, *keys: Signer | Mapping[str, Any]) -> None:
        """Serve these keys from now on."""
        self.serve({"keys": [key.jwk() if isinstance(key, Signer) else key for key in keys]})

    def describe(self, path: str = "/.well-known/openid-configuration", **changes: Any) -> None:
        """Serve the metadata of OpenID discovery; ``None`` takes a member out."""
        metadata = {
            "issuer": self.issuer,
            "jwks_uri": self.url,
            "response_types_supported": ["code"],
            **changes,
        }
        document = {name: value for name, value in metadata.items() if value is not None}
        self.pages[path] = page(document)

    def serve(self, document: Any, *, status: int = 200, **headers: str) -> None:
        """Serve this document from now on."""
        self.answer = page(document, status=status, **headers)

    def drip(self, seconds: float, *, headers_too: bool = False) -> None:
        """Send a byte every 50 ms for so many seconds, each well within any timeout per read."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            if not headers_too:
                request.send_response(200)
                request.end_headers()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                request.wfile.write(b"H" if headers_too else b" ")
                time.sleep(0.05)  # the behaviour itself, not a wait for something

        self.answer = answer

    def hang(self, until: threading.Event) -> None:
        """Answer nothing before the event; then publish nothing."""
        self.answer = lambda _: bool(until.wait(20)) and None


@contextmanager
def identity_provider(*keys: Signer | Mapping[str, Any]) -> Iterator[IdentityProvider]:
    """Run a provider on loopback until the block ends."""
    provider = IdentityProvider()

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            provider.requests.append(dict(self.headers))
            provider.paths.append(self.path)
            provider.pages.get(self.path, provider.answer)(self)

    provider.publish(*keys)
    with serving(Handler) as address:
        provider.issuer = address
        provider.url = f"{address}/.well-known/jwks.json"
        yield provider
