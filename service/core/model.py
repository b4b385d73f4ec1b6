"""The frozen values that packages pass to each other."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from service.core.errors import ServiceError

SessionType = Literal["realtime", "transcription", "translation", "live"]
SecretType = Literal["realtime", "transcription", "translation"]
"""The types of session that client secrets are minted for."""

CallType = Literal["realtime", "live"]
"""The types of session that this service opens itself, as calls."""

Action = Literal["secret", "call"]
Event = Literal["mint", "call"]
"""The audit events of requests."""

"""What a caller wants to have: a client secret, or a call that this service opens and ends."""


StorageState = Literal["ok", "degraded", "unavailable"]
"""How the limit storage is: counting, unavailable while each process counts for itself, or unavailable."""


def pseudonym(key: bytes, issuer: str, subject: str) -> str:
    """Name a user without saying who it is: 64 hexadecimal digits, stable as long as ``key`` is.

    An HMAC and no plain hash, since subjects are often email addresses and those can be guessed. The
    JSON list keeps issuer and subject apart: no two pairs share an encoding.
    """
    return hmac.digest(key, json.dumps([issuer, subject]).encode(), "sha256").hex()


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated user, as a verified JWT names them.

    ``pseudonym`` stands for the user wherever a name is needed: limit keys, logs, the vendor's safety
    identifier. ``claims`` are the verified claims, for policy and tiers. Only ``auth`` makes one, so
    holding a ``Caller`` is the proof.
    """

    issuer: str = field(repr=False)
    subject: str = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    pseudonym: str


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a caller asks for, nothing filled in: ``session`` in the vendor's shape without its ``type``.

    ``session_type`` is ``None`` where the caller names none (a profile may then say it), ``model`` is the
    top-level one, and ``expires_in`` is in seconds, ``None`` for the admin's default. ``max_seconds`` is how long
    a call may last at most, ``None`` where the caller does not say; ``offer`` is the client's, for a call.
    ``route_types`` are the types that the route is for, ``None`` for all.
    """

    session_type: SessionType | None
    session: Mapping[str, Any]
    model: str | None = None
    expires_in: int | None = None
    profile: str | None = None
    action: Action = "secret"
    max_seconds: int | None = None
    offer: Offer | None = None
    route_types: tuple[SessionType, ...] | None = None

    def may_be(self, session_type: SessionType) -> bool:
        """Whether the route is for sessions of this type."""
        return self.route_types is None or session_type in self.route_types


@dataclass(frozen=True, slots=True)
class Offer:
    """A client's WebRTC offer: its SDP, which is relayed byte for byte and is in no log and no error.

    ``data_channel_id`` is that of a data channel on which both sides agreed beforehand (``?dcid=``).
    """

    sdp: bytes = field(repr=False)
    data_channel_id: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What policy gives: the session exactly as it will be sent, and how long its secret may live (seconds).

    ``findings`` is what a policy in audit mode would have refused, one sentence each with its rule.
    ``max_call_seconds`` is the least of what the caller and the policy say of a call's length, ``None`` where
    neither does; what the environment and the caller's tier say comes on top.
    """

    session_type: SessionType
    model: str
    session: Mapping[str, Any]
    expires_in: int
    profile: str | None = None
    findings: tuple[str, ...] = ()
    action: Action = "secret"
    max_call_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A minted secret. ``answer`` is the vendor's JSON, untouched; ``expires_at`` in seconds since the epoch."""

    value: str = field(repr=False)
    expires_at: float
    session: Mapping[str, Any] = field(repr=False)
    answer: Mapping[str, Any] = field(repr=False)
    upstream_request_id: str | None = None


_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


def choose_request_id(given: str) -> str:
    """Return the ``X-Request-Id`` that a client or a router gave where it is a plain word, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else token_hex(16)


class Record(NamedTuple):
    """What happened to one request: made as facts become known, each step a new value, and sent once.

    The audit event, the request's log line, its metrics and the quota headers are pure functions of it.
    ``event`` names the action (``mint``) on routes that have one; ``route`` is the rule that matched, never the path
    or the query; durations are in seconds. ``error`` is what the caller was answered, ``fault`` the exception
    behind it, where that was unforeseen; ``http_error`` is the code of one that no error of ours stands for, such
    as ``not_found``. It is a tuple since each request makes several: a frozen dataclass takes three times as long.
    """

    request_id: str = ""
    method: str = ""
    route: str = "unmatched"
    status: int = 0
    seconds: float = 0.0
    event: Event | None = None
    caller: Caller | None = None
    grant: Grant | None = None
    result: object = None
    quota_headers: Mapping[str, str] = MappingProxyType({})
    upstream_seconds: float | None = None
    limit_storage: StorageState | None = None
    error: ServiceError | None = None
    fault: Exception | None = None
    http_error: str | None = None

    @property
    def code(self) -> str | None:
        """The code of the error that was answered."""
        return self.error.code if self.error else self.http_error
