"""What was asked of the minting routes: how often, with which headers and bodies.

The sandbox's own, for tests: the vendor has nothing like it. Keys are kept as SHA-256, never as they came.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from werkzeug.datastructures import Headers

from service.vendors import wire

_MOST = 10_000
_WORTH_KEEPING = (
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

    ``path`` is below the host; ``key_sha256`` is of the Authorization header's credential, ``headers`` are those of
    the vendor's that were sent, ``body`` is the JSON. ``status`` is ``None`` while, or because, nothing was
    answered; ``minted`` says whether the answer held a secret.
    """

    path: str
    key_sha256: str | None
    headers: dict[str, str]
    body: Any
    status: int | None = None
    minted: bool = False


class Recorder:
    """The last requests, oldest first."""

    def __init__(self) -> None:
        self._mints: deque[Mint] = deque(maxlen=_MOST)

    def begin(self, path: str, headers: Headers, body: bytes) -> Mint:
        """Note a request as it arrives; its status follows."""
        credential = headers.get(wire.AUTHORIZATION_HEADER, "").removeprefix("Bearer ")
        mint = Mint(
            path=path,
            key_sha256=hashlib.sha256(credential.encode()).hexdigest() if credential else None,
            headers={name: headers[name] for name in _WORTH_KEEPING if name in headers},
            body=_json_or_none(body),
        )
        self._mints.append(mint)
        return mint

    def clear(self) -> None:
        """Forget all of it."""
        self._mints.clear()

    def report(self) -> dict[str, Any]:
        """Everything noted, and how much of it ended with a secret."""
        mints = [asdict(mint) for mint in self._mints]
        return {
            "attempts": len(mints),
            "minted": sum(mint["minted"] for mint in mints),
            "mints": mints,
        }


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
