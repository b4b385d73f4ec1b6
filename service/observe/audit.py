"""Write the audit log: one event for each mint and each refusal, fit to be kept.

Users appear as pseudonyms (an HMAC: a plain hash of an email address can be guessed) and secrets as their
SHA-256, by which a leaked secret can be traced to its mint. Neither can be turned back.
"""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import Any

import structlog

from service.calls.errors import CallLimitError
from service.calls.model import Call
from service.calls.opening import OpenedCall, OpeningFailedError
from service.core.errors import InvalidTokenError, RateLimitedError, ServiceError
from service.core.model import ClientSecret, Grant, Record

_LONGEST = 300
"""Characters of any text that came from outside: enough to understand it, too little to flood a log with."""


class Audit:
    """Writes the events, to the log that ``logs.configure`` set up."""

    def __init__(self) -> None:
        # Bound once: binding it anew for every event costs a sixth of the line.
        self._log = structlog.get_logger().bind()

    def write(self, record: Record) -> None:
        """Write what was granted or refused, which caller and which session, as far as that is known.

        A refusal that the caller can fix is INFO, one that the admin should look at WARNING. That the vendor
        refuses our own key, or that our account has no credit, is an ERROR: no secret is minted until that is
        fixed.
        """
        if record.event is None:
            return
        error = record.error
        write = self._log.info
        if error and error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            write = self._log.error if error.alarm else self._log.warning
        event: dict[str, Any] = {
            "request_id": record.request_id,
            "decision": "refused" if error else "granted",
        }
        if record.caller:
            event["user"] = record.caller.pseudonym
        if record.grant:
            event |= _describe_grant(record.grant)
        event |= _describe_result(record.result)
        if error:
            event |= _describe_error(error)
        write(record.event, **event)


def _describe_grant(grant: Grant) -> dict[str, Any]:
    what: dict[str, Any] = {"session_type": grant.session_type, "model": _cut(grant.model)}
    if grant.action == "secret":
        what["expires_in"] = grant.expires_in
    if grant.profile is not None:
        what["profile"] = grant.profile
    if grant.findings:
        what["would_refuse"] = [_cut(finding) for finding in grant.findings]
    return what


def _describe_result(result: object) -> dict[str, Any]:
    match result:
        case ClientSecret():
            return {
                "expires_at": result.expires_at,
                "secret_sha256": hashlib.sha256(result.value.encode()).hexdigest(),
                "session_id": _cut(result.session.get("id")),
                "upstream_request_id": _cut(result.upstream_request_id),
            }
        case OpenedCall(call=call):
            return describe_call(call)
    return {}


def describe_call(call: Call) -> dict[str, Any]:
    """Say which call it is, here and at the vendor, and how long it may last."""
    return {
        "call": call.id,
        "upstream_id": _cut(call.upstream_id),
        "max_seconds": call.max_seconds,
        "expires_at": int(call.expires_at),
    }


def _describe_error(error: ServiceError) -> dict[str, Any]:
    why: dict[str, Any] = {"code": _cut(error.code), "reason": _cut(error.reason or error.message)}
    if error.param is not None:
        why["param"] = _cut(error.param)
    if isinstance(error, RateLimitedError | CallLimitError):
        why["limit"] = error.limit
    if isinstance(error.__cause__, OpeningFailedError) and (call := error.__cause__.call):
        why |= {"call": call.id, "outcome": "refused" if error.__cause__.definite else "unknown"}
    if isinstance(error, InvalidTokenError):
        why |= {f"token_{name}": _cut(value) for name, value in error.seen.items()}
    return why


def _cut(value: object) -> str | None:
    return None if value is None else str(value)[:_LONGEST]
