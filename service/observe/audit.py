"""What happened: one event for each mint and each refusal, fit to be kept.

Users appear as pseudonyms (an HMAC: a plain hash of an email address can be guessed) and secrets as their
SHA-256, by which a leaked secret can be traced to its mint. Neither can be turned back.
"""

from __future__ import annotations

import hashlib
from typing import Any

import structlog

from service.core.errors import InvalidTokenError, RateLimitedError, RejectedCredentialsError, ServiceError
from service.core.model import Caller, ClientSecret, Grant

_LONGEST = 300
"""Characters of any text that came from outside: enough to understand it, too little to flood a log with."""

_SERVER_FAULT = 500
"""The lowest status that says the fault is not the caller's."""


class Audit:
    """Writes the events, to the log that ``logs.configure`` set up."""

    def __init__(self) -> None:
        # Bound once: binding it anew for every event costs a sixth of the line.
        self._log = structlog.get_logger().bind()

    def minted(self, caller: Caller, grant: Grant, secret: ClientSecret, *, request_id: str) -> None:
        """Record that ``caller`` was given ``secret``."""
        self._log.info(
            "mint",
            request_id=request_id,
            decision="granted",
            user=caller.pseudonym,
            **_what(grant),
            expires_at=secret.expires_at,
            secret_sha256=hashlib.sha256(secret.value.encode()).hexdigest(),
            session_id=_text(secret.session.get("id")),
            upstream_request_id=_text(secret.upstream_request_id),
        )

    def refused(
        self, error: ServiceError, *, caller: Caller | None, grant: Grant | None, request_id: str
    ) -> None:
        """Record that a mint was refused, by whom it was asked and for what, as far as that was known.

        A refusal that the caller can mend is INFO, one that the admin should look at WARNING; that the
        vendor refuses our own key is an ERROR, since nobody gets a secret until it is mended.
        """
        write = self._log.warning if error.status >= _SERVER_FAULT else self._log.info
        if isinstance(error, RejectedCredentialsError):
            write = self._log.error
        write(
            "mint",
            request_id=request_id,
            decision="refused",
            **({"user": caller.pseudonym} if caller else {}),
            **(_what(grant) if grant else {}),
            **_why(error),
        )


def _what(grant: Grant) -> dict[str, Any]:
    what: dict[str, Any] = {
        "session_type": grant.session_type,
        "model": _text(grant.model),
        "expires_in": grant.expires_in,
    }
    if grant.profile is not None:
        what["profile"] = grant.profile
    if grant.findings:
        what["would_refuse"] = [_text(finding) for finding in grant.findings]
    return what


def _why(error: ServiceError) -> dict[str, Any]:
    why: dict[str, Any] = {"code": _text(error.code), "reason": _text(error.reason or error.message)}
    if error.param is not None:
        why["param"] = _text(error.param)
    if isinstance(error, RateLimitedError):
        why["limit"] = error.limit
    if isinstance(error, InvalidTokenError):
        why |= {f"token_{name}": _text(value) for name, value in error.seen.items()}
    return why


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:_LONGEST]
