"""Read responses in the shape that all vendors share: a JSON object, or an ``error`` with ``message`` and ``code``.

Documented by OpenAI (https://platform.openai.com/docs/guides/error-codes). Observed at Azure, whose errors have a
``message`` and a ``code`` but no ``type``. Assumed for xAI.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from math import isfinite
from typing import Any, Final, TypeGuard

from service.core.errors import (
    RejectedCredentialsError,
    RejectedSessionError,
    ServiceError,
    UpstreamError,
    UpstreamQuotaExhaustedError,
    UpstreamRateLimitedError,
    UpstreamUnavailableError,
)
from service.core.json import parse_object
from service.core.model import ClientSecret
from service.vendors import wire
from service.vendors.base import Response

RETRYABLE_STATUSES: Final = frozenset({
    HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, *range(520, 531),
})  # fmt: skip
"""The vendor's edge or servers are unavailable for the moment.

520 to 530 are its edge's own (https://developers.cloudflare.com/support/troubleshooting/http-status-codes/).
"""

MAX_RETRY_AFTER: Final = 600
"""Maximum wait in seconds. A longer one is not plausible, and clients would keep to it."""

_QUOTA_CODE: Final = re.compile(
    r"insufficient_quota|credit_balance_\w+|billing_\w+|"
    r"(project|organization)_(?!\w*rate_limit)\w*(limit|quota|credit|budget|spend|balance|billing)\w*"
)
"""The codes, and types, of an account without credit, or with a spend limit that is reached."""

_LOGGED_STATUSES: Final = frozenset({
    HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY,
})  # fmt: skip
"""Refusals whose cause only the vendor's words tell."""

_KEY: Final = re.compile(r"\bsk-[\w*.-]+")
"""A key, whole or as the vendor's messages mask it."""

_SECRET: Final = re.compile(r"[!-+\--~]{1,4096}")
"""What a header or a list of subprotocols can carry: visible ASCII without the comma that separates its members."""


def read_answer(response: Response) -> dict[str, Any]:
    """Read the JSON object of a 200.

    Raises:
        ServiceError: what ``refusal`` makes of another status, or an ``UpstreamError`` for what is no JSON object.
    """
    if response.status != HTTPStatus.OK:
        raise refusal(response)
    try:
        return parse_object(response.body, unique_members=False)
    except ValueError as problem:
        # Without the parser's position, which is no help in a log.
        kind = str(problem).partition(":")[0]
        raise bad_response(f"the answer {kind} (request {_request_id(response)})") from None


def client_secret(
    response: Response, *, holder: Any, session: Any, answer: Mapping[str, Any]
) -> ClientSecret:
    """Make a client secret of an answer; ``holder`` has its ``value`` and ``expires_at``.

    Raises:
        UpstreamError: a member is missing or of another type.
    """
    value = holder.get("value") if isinstance(holder, dict) else None
    expires_at = holder.get("expires_at") if isinstance(holder, dict) else None
    is_secret = isinstance(value, str) and _SECRET.fullmatch(value) is not None
    if not (is_secret and _is_time(expires_at) and isinstance(session, dict)):
        raise bad_response(f"the answer holds no usable client secret (request {_request_id(response)})")
    return ClientSecret(
        value=str(value),
        expires_at=expires_at,
        session=session,
        answer=answer,
        upstream_request_id=_request_id(response),
    )


def _is_time(value: object) -> TypeGuard[float]:
    """Return whether it is a number of seconds; compatible servers give fractions."""
    return type(value) is int or (isinstance(value, float) and isfinite(value))


def refusal(response: Response) -> ServiceError:
    """Turn the vendor's refusal into ours: only words about the caller's own session are passed on."""
    status, said = response.status, read_error(response.body)
    reason = f"the vendor answered {status}, code {said.get('code')!r} (request {_request_id(response)})"
    if status in _LOGGED_STATUSES and isinstance(said.get("message"), str):
        reason += f": {_KEY.sub('***', said['message'])}"
    if any(_QUOTA_CODE.fullmatch(str(said.get(member))) for member in ("code", "type")):
        return UpstreamQuotaExhaustedError(
            "The token service has no quota left at the vendor. Its administrator must fix this; see the log.",
            reason=f"{reason}: add credit, or raise the spend limit, at the vendor",
        )
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return RejectedCredentialsError(
            "The token service cannot authenticate to the vendor. Its administrator must fix this; see the log.",
            reason=reason,
        )
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return UpstreamRateLimitedError(
            "The Realtime API is limiting this service at the moment. Try again later.",
            reason=reason,
            retry_after=retry_after(response.headers),
        )
    if status in RETRYABLE_STATUSES:
        return UpstreamUnavailableError(
            "The Realtime API is unavailable at the moment. Try again later.",
            reason=reason,
            retry_after=retry_after(response.headers),
        )
    if status == HTTPStatus.BAD_REQUEST and isinstance(said.get("message"), str):
        words = {name: said[name] for name in ("param", "code") if isinstance(said.get(name), str)}
        return RejectedSessionError(said["message"], **words, reason=reason)
    return bad_response(reason)


def read_error(body: bytes) -> Mapping[str, Any]:
    """Read the vendor's error object; an empty one where the body is something else."""
    try:
        error = parse_object(body, unique_members=False).get("error")
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read how many seconds the vendor asks to wait: ``retry-after-ms``, or ``retry-after`` in seconds.

    At most ``MAX_RETRY_AFTER``. The date form (RFC 9110 §10.2.3) is not used by the vendor and counts as not given.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if 0 <= seconds < float("inf"):
            return min(seconds, MAX_RETRY_AFTER)
    return None


def bad_response(reason: str) -> UpstreamError:
    """Make the error for an answer that cannot be used; ``reason`` is for the log."""
    return UpstreamError(
        "The Realtime API returned a response that the token service cannot use.", reason=reason
    )


def _request_id(response: Response) -> str | None:
    return response.headers.get(wire.REQUEST_ID_HEADER)
