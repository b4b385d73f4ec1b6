"""A record of all requests for secrets, for tests; the vendor has nothing like it.

Keys are kept as SHA-256 only.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from werkzeug.datastructures import Headers

from service.sandbox import json_text
from service.sandbox.newest import MAX_BYTES, Newest
from service.vendors import wire

MAX_REQUESTS = 10_000
"""How many requests are recorded, as far as their bodies and headers are within ``MAX_BYTES``."""

_RECORDED_HEADERS = (
    wire.SAFETY_IDENTIFIER_HEADER,
    wire.ORGANIZATION_HEADER,
    wire.PROJECT_HEADER,
    wire.BETA_HEADER,
    "Content-Type",
    "User-Agent",
)


@dataclass(slots=True)
class Mint:
    """One request for a secret.

    ``key_sha256`` is the hash of the key or bearer credential, ``body`` the JSON or None. ``status`` is None until, and
    unless, the request was answered; ``minted`` says whether the answer held a secret.
    """

    path: str
    key_sha256: str | None
    headers: dict[str, str]
    body: Any
    status: int | None = None
    minted: bool = False


class Recorder:
    """The last 10,000 requests, oldest first; fewer where they are long: anybody may send some."""

    def __init__(self) -> None:
        self._mints: Newest[int, Mint] = Newest(MAX_REQUESTS, MAX_BYTES)
        self._numbers = itertools.count()
        self._lock = Lock()

    def begin(self, path: str, headers: Headers, body: bytes) -> Mint:
        """Record a request on arrival; the caller sets its status later."""
        key = headers.get(wire.AZURE_KEY_HEADER)
        credential = key or headers.get(wire.AUTHORIZATION_HEADER, "").removeprefix("Bearer ")
        mint = Mint(
            path=path,
            key_sha256=hashlib.sha256(credential.encode()).hexdigest() if credential else None,
            headers=worth_keeping(headers),
            body=_json_or_none(body),
        )
        size = len(body) + sum(map(len, mint.headers.values()))
        with self._lock:
            self._mints.put(next(self._numbers), mint, size)
        return mint

    def clear(self) -> None:
        """Forget all requests."""
        with self._lock:
            self._mints.clear()

    def report(self) -> dict[str, Any]:
        """Return all requests, and how many of them were given a secret."""
        with self._lock:
            kept = self._mints.values()
        mints = [asdict(mint) for mint in kept]
        return {
            "attempts": len(mints),
            "minted": sum(mint["minted"] for mint in mints),
            "mints": mints,
        }


def worth_keeping(headers: Headers) -> dict[str, str]:
    """Return those headers of a request that tests look at, and that hold no credential."""
    return {name: headers[name] for name in _RECORDED_HEADERS if name in headers}


def _json_or_none(body: bytes) -> Any:
    try:
        return json_text.parse(body)
    except ValueError:
        return None
