"""Configure one log format for the whole process: the service's lines, gunicorn's and the libraries'.

JSON by default (one object a line, for machines), or coloured text (``console``). Lines go to the standard
error stream, so that a command's own output stays clean.

Secrets are redacted from every line before it is written. The first protection is not to log one: the service's own
events hold none. This one is for what we do not write ourselves, such as the text of a library's exception.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO
from urllib.parse import quote, unquote, urlsplit

import structlog
from pydantic_core import PydanticSerializationError, to_json
from structlog.typing import EventDict, Processor, WrappedLogger

from service.core.model import Record
from service.observe import METRICS_PATH
from service.observe.settings import LogLevel, ObserveSettings

REQUEST_ID: ContextVar[str | None] = ContextVar("REQUEST_ID", default=None)
"""The request that is being answered: every line written meanwhile names it, the libraries' too."""

_ENCODER = json.JSONEncoder(default=repr, separators=(",", ":"))

QUIET_ROUTES = frozenset({"/healthz", "/readyz", METRICS_PATH})
"""What machines ask every few seconds: logged at DEBUG only, unless it was refused."""


REDACTED = "[redacted]"

_SHORTEST = 6
"""Anything shorter would redact ordinary words."""

_SHAPES = re.compile(
    r"\b[es]k[-_][\w-]{6,}"  # the vendor's client secrets and API keys
    r"|\beyJ[\w-]+(?:\.[\w-]*){1,4}"  # a JWS or JWE (RFC 7515 §7.1), cut off or whole: eyJ is {"
    r"|(?<=[Bb]earer )[\w.~+/-]{12,}=*"  # RFC 6750 §2.1
    r"|(?<=://)[^\s/@\"'\\]+(?=@)"  # the user information of a URL (RFC 3986 §3.2.1)
)
_MARKS = ("ek_", "sk-", "eyJ", "earer ", "://")
"""One of these is in every match: looking for them first keeps the expression off the hot path."""


def configure(
    *,
    level: LogLevel = "INFO",
    format: Literal["json", "console"] = "json",  # noqa: A002 - the variable is called LOG_FORMAT
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send structlog's and the standard library's events to ``stream`` (standard error), in one format.

    ``level`` is that of the service alone. Libraries stay at WARNING, since at DEBUG they print headers,
    subprotocols and limit keys; gunicorn stays at INFO, which tells of starts and ends.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [_head]
    last = _last_processors(format, redactor(secrets))
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=False,  # a logger bound early would keep an earlier configuration
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)
    logging.getLogger("service").setLevel(level)
    logging.getLogger("gunicorn.error").setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or ``flask run`` logs query strings
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def configure_once(settings: ObserveSettings, secrets: Iterable[str]) -> None:
    """Configure the process by its settings, unless that was done already."""
    if not structlog.is_configured():
        configure(level=settings.log_level, format=settings.log_format, secrets=secrets)


def _last_processors(format: str, redact: Callable[[str], str]) -> list[Processor]:  # noqa: A002
    if format == "console":
        return [
            structlog.dev.ConsoleRenderer(
                colors="NO_COLOR" not in os.environ,  # https://no-color.org
                exception_formatter=structlog.dev.plain_traceback,  # the default one prints locals
            ),
            lambda _logger, _name, line: redact(str(line)),
        ]
    return [
        structlog.processors.format_exc_info,  # frames and messages, never locals
        lambda _logger, _name, event: redact(_encode(event)),
    ]


def _encode(event: EventDict) -> str:
    """Write an event as one line of ASCII, whatever is in it."""
    try:
        return to_json(event, ensure_ascii=True, fallback=repr).decode()
    except PydanticSerializationError:
        # Bytes, or half a surrogate pair: the slower encoder can write both.
        return _ENCODER.encode(event)


def _head(_logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """Put time (UTC), level and event first, where the eye looks for them."""
    record = event.get("_record")  # a standard library event: its method name is no level
    level = record.levelname.lower() if record else name.replace("exception", "error")
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    head = {"timestamp": time, "level": level, "event": event.pop("event", None)}
    if request_id := REQUEST_ID.get():
        head["request_id"] = request_id
    return {**head, **event}


def _log_uncaught(*exc_info: Any) -> None:
    if issubclass(exc_info[0], KeyboardInterrupt):
        return
    structlog.get_logger().critical("uncaught exception", exc_info=exc_info)


class RequestLog:
    """Writes the one line a request gets, to the log that ``configure`` set up."""

    def __init__(self) -> None:
        # Bound once: binding it anew for every line costs a sixth of the line.
        self._log = structlog.get_logger().bind()

    def write(self, record: Record) -> None:
        """Write it; what machines ask every few seconds at DEBUG only, unless it was refused.

        An audit event gives an error's reason; where there is none, this line does.
        """
        is_quiet = record.route in QUIET_ROUTES and record.error is None
        write = self._log.debug if is_quiet else self._log.info
        optional = {
            "upstream_ms": _ms(record.upstream_seconds),
            "user": record.caller.pseudonym if record.caller else None,
            "code": record.code,
            "reason": record.error.reason if record.error and record.event is None else None,
        }
        write(
            "request",
            request_id=record.request_id,
            method=record.method,
            route=record.route,
            status=record.status,
            ms=_ms(record.seconds),
            **{name: value for name, value in optional.items() if value is not None},
        )
        if record.fault:
            self._log.error("unexpected error", request_id=record.request_id, exc_info=record.fault)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def redactor(secrets: Iterable[str] = ()) -> Callable[[str], str]:
    """Make a function that redacts ``secrets``, also when escaped or encoded, and anything shaped like one."""
    known = {part for secret in secrets for part in (secret, _password(secret)) if len(part) >= _SHORTEST}
    spellings = {spelling for secret in known for spelling in _spellings(secret)}
    longest_first = sorted(spellings, key=len, reverse=True)

    def redact(text: str) -> str:
        for spelling in longest_first:
            text = text.replace(spelling, REDACTED)
        for mark in _MARKS:
            if mark in text:
                return _SHAPES.sub(REDACTED, text)
        return text

    return redact


def _password(secret: str) -> str:
    """Return the password within a URL, such as a storage's; libraries show it alone, too."""
    try:
        return unquote(urlsplit(secret).password or "")
    except ValueError:  # no URL at all
        return ""


def _spellings(secret: str) -> tuple[str, ...]:
    return secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")
