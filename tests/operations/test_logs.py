"""Every line that leaves the process has one format, says enough, and holds no secret."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.observe.logs import REDACTED, redactor

PREAMBLE = """
import logging, structlog, warnings
from service.observe import logs
from service.observe.audit import Audit
from service.core.errors import *
from service.core.model import Caller, ClientSecret, Grant, Record
caller = Caller("https://idp.example", "ada@example.com", {"email": "ada@example.com"}, "f" * 64)
grant = Grant("realtime", "gpt-realtime-2.1", {"instructions": "be kind"}, 60)
"""


def written(code: str, *, check: bool = True) -> str:
    """Run ``code`` in a process of its own, and return what it wrote to standard error."""
    program = PREAMBLE + dedent(code)
    return subprocess.run([sys.executable, "-c", program], check=check, capture_output=True, text=True).stderr


def events(code: str, *, check: bool = True) -> list[dict[str, object]]:
    """Run ``code``, and return the events it logged."""
    return [json.loads(line) for line in written(code, check=check).splitlines()]


def test_a_request_gets_one_json_line() -> None:
    """With its id, its rule, its status and both durations in milliseconds."""
    (event,) = events("""
        logs.configure()
        logs.RequestLog().write(
            Record("r-1", "POST", "/token", 200, 0.01234, upstream_seconds=0.01, caller=caller)
        )
    """)
    assert event.pop("timestamp")
    assert event == {
        "level": "info",
        "event": "request",
        "request_id": "r-1",
        "method": "POST",
        "route": "/token",
        "status": 200,
        "ms": 12.3,
        "upstream_ms": 10.0,
        "user": "f" * 64,
    }


@pytest.mark.parametrize("value", ["'\\ud800'", "b'\\xff'", "object", "'é'"])
def test_an_event_is_one_line_of_ascii_whatever_it_holds(value: str) -> None:
    line = written(f"logs.configure(); structlog.get_logger().info('it holds', value={value})")
    assert line.isascii()
    assert json.loads(line)["event"] == "it holds"


@pytest.mark.parametrize("route", ["/healthz", "/readyz", "/metrics"])
def test_probes_are_logged_at_debug_only(route: str) -> None:
    """What a balancer asks every few seconds must not bury the rest."""
    code = (
        'logs.configure(level="{level}"); logs.RequestLog().write(Record("r", "GET", "{route}", 200, 0.001))'
    )
    assert events(code.format(level="INFO", route=route)) == []
    assert [event["level"] for event in events(code.format(level="DEBUG", route=route))] == ["debug"]


def test_libraries_keep_their_debug_lines_to_themselves() -> None:
    """At DEBUG they would print headers, subprotocols and limit keys; their warnings are heard."""
    seen = events("""
        logs.configure(level="DEBUG")
        for name in ("urllib3.connectionpool", "websocket", "flask-limiter", "limits", "asyncio"):
            logging.getLogger(name).debug("header: %s", "value")
            logging.getLogger(name).info("key: %s", "value")
            logging.getLogger(name).warning("worth knowing")
    """)
    assert {event["event"] for event in seen} == {"worth knowing"}
    assert {event["level"] for event in seen} == {"warning"}
    assert len(seen) == 5


def test_standard_library_and_structlog_lines_look_alike() -> None:
    """Whichever way a part logs, the reader sees time, level and event first, then its fields."""
    ours, stdlib, warning = events("""
        logs.configure()
        logs.REQUEST_ID.set("r-7")
        structlog.get_logger().warning("low on luck", part="x")
        logging.getLogger("service.part").warning("low on %s", "luck", extra={"part": "x"})
        warnings.warn("old ways")
    """)
    assert ours["event"] == stdlib["event"] == "low on luck"
    assert ours["part"] == stdlib["part"] == "x"
    assert ours["request_id"] == stdlib["request_id"] == "r-7"
    assert list(ours)[:3] == list(stdlib)[:3] == ["timestamp", "level", "event"]
    assert "old ways" in str(warning["event"])


def test_an_uncaught_exception_is_one_event_without_locals() -> None:
    """A traceback names files and lines; what variables held stays where it was."""
    (event,) = events(
        """
        logs.configure()
        def fail():
            treasure = "local" + "-treasure"
            raise RuntimeError("it broke")
        fail()
        """,
        check=False,
    )
    assert event["level"] == "critical"
    assert "RuntimeError: it broke" in str(event["exception"])
    assert "local-treasure" not in str(event["exception"])


def test_a_thread_that_dies_is_one_event_too() -> None:
    """Such as a refresh in the background; its traceback would leave as bare text otherwise."""
    (event,) = events("""
        import threading
        logs.configure(secrets=["threadbare-secret"])
        def fail():
            raise RuntimeError("threadbare-secret")
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    """)
    assert event["level"] == "critical"
    assert "RuntimeError: [redacted]" in str(event["exception"])


def test_the_console_has_colours_unless_they_are_unwanted() -> None:
    """https://no-color.org says how to say so."""
    code = (
        'logs.configure(format="console"); logs.RequestLog().write(Record("r", "POST", "/token", 200, 0.1))'
    )
    assert "\x1b[" in written(code)
    plain = written("import os; os.environ['NO_COLOR'] = '1'\n" + code)
    assert "\x1b[" not in plain
    assert "route=/token" in plain


def test_a_mint_is_audited_without_its_secret() -> None:
    """The SHA-256 of a leaked secret leads back to who was given it, when and for what."""
    (event,) = events("""
        logs.configure()
        secret = ClientSecret("ek_treasure", 1756310470, {"id": "sess_1"}, {}, "req_1")
        Audit().write(Record("r-1", event="mint", caller=caller, grant=grant, result=secret))
    """)
    assert event["decision"] == "granted"
    assert event["user"] == "f" * 64
    assert (event["model"], event["session_type"], event["expires_in"]) == (
        "gpt-realtime-2.1",
        "realtime",
        60,
    )
    assert (event["session_id"], event["upstream_request_id"]) == ("sess_1", "req_1")
    assert event["secret_sha256"] == "2dc3880636cf9dd0f5fb6e5b3279b75c04faf46253cd270ac4d9624197ddce75"
    assert "ada@" not in str(event)
    assert "be kind" not in str(event)


def test_a_refusal_is_audited_with_its_reason() -> None:
    """The caller is told little; the log is told which check failed and what was seen."""
    unknown, limited, alarm = events("""
        logs.configure()
        audit = Audit()
        audit.write(Record("r-1", event="mint", error=InvalidTokenError("expired", kid="k1")))
        limit = RateLimitedError("no", limit="user", retry_after=3)
        audit.write(Record("r-2", event="mint", caller=caller, grant=grant, error=limit))
        audit.write(Record("r-3", event="mint", caller=caller, error=RejectedCredentialsError("no")))
    """)
    assert (unknown["code"], unknown["reason"], unknown["token_kid"]) == ("invalid_token", "expired", "k1")
    assert "user" not in unknown
    assert (limited["limit"], limited["user"], limited["level"]) == ("user", "f" * 64, "info")
    assert (alarm["code"], alarm["level"]) == ("upstream_rejected_credentials", "error")


def test_a_request_without_an_action_is_not_audited() -> None:
    """A probe or an unknown route grants nothing and refuses nothing."""
    assert events("logs.configure(); Audit().write(Record('r', 'GET', '/healthz', 200))") == []


def test_what_came_from_outside_is_bounded() -> None:
    """A megabyte of a token's header must not become a megabyte of log."""
    (event,) = events("""
        logs.configure()
        Audit().write(Record("r", event="mint", error=InvalidTokenError("bad", kid="k" * 10**6)))
    """)
    assert len(str(event)) < 1000


@pytest.mark.parametrize(
    "text",
    [
        "key sk-proj-abcDEF123_456",
        "secret ek_68af296e8e408191a1120ab6383263c2",
        "Authorization: Bearer opaque.token-0123456789==",
        "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
        "cut token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0",
        "redis://default:hunter2hunter2@cache.example:6379/0",
        '["openai-insecure-api-key.ek_68af296e8e40"]',
    ],
)
def test_anything_shaped_like_a_secret_is_blotted_out(text: str) -> None:
    """Even one that nobody configured, such as a caller's own token in a library's error."""
    blotted = redactor()(text)
    assert REDACTED in blotted
    assert not any(word in blotted for word in ("abcDEF", "68af", "opaque", "eyJ", "hunter2"))


@given(secret=st.text(min_size=6, max_size=60))
def test_a_known_secret_is_blotted_out_however_it_is_spelled(secret: str) -> None:
    """JSON escapes, URLs quote and ``repr`` does either: each spelling is looked for."""
    assume(secret not in REDACTED)
    redact = redactor([secret])
    for spelled in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")):
        assert spelled not in redact(f"| {spelled} |")


def test_ordinary_lines_are_left_alone() -> None:
    """The fence blots out secrets, not the words an admin searches for."""
    line = '{"event":"request","route":"/token","model":"gpt-realtime-2.1","url":"https://api.openai.com/v1"}'
    assert redactor(["abc", "x" * 40])(line) == line
