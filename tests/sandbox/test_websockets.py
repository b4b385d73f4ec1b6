"""WebSockets over real connections: admission, refusals, and no lost frames."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
import websocket

from tests.support.processes import (
    PYTHON,
    accepts_connections,
    bare_environ,
    free_port,
    running,
    wait_until,
)
from tests.support.realtime import CREATE, bearing, line, mint, offering
from tests.support.sandbox_session import SILENCE, kinds, speak
from tests.support.service import Sandbox

_REALTIME = {"type": "realtime", "model": "gpt-realtime-2.1"}
_TRANSCRIPTION = {
    "type": "transcription",
    "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
}


@pytest.mark.parametrize("way", [bearing, offering])
def test_a_secret_opens_a_session_both_ways(sandbox: Sandbox, way: Any) -> None:
    """In a header from a server, in a subprotocol from a browser; the session is the one that was minted."""
    secret = mint(sandbox.base_url, session=_REALTIME | {"instructions": "Be brief."})
    with line(sandbox.base_url, **way(secret)) as client:
        assert client.until("session.created")["session"]["instructions"] == "Be brief."
        assert client.ws.subprotocol == ("realtime" if way is offering else None)
        client.send(CREATE)
        assert client.until("response.done")["response"]["status"] == "completed"


def test_a_standard_key_opens_a_session_with_any_model(sandbox: Sandbox) -> None:
    """A server needs no secret."""
    with line(sandbox.base_url, "?model=gpt-realtime-1.5", **bearing("sk-test")) as client:
        session = client.until("session.created")["session"]
        assert (session["model"], session["object"]) == ("gpt-realtime-1.5", "realtime.session")


def test_sdk_subprotocols_are_tolerated(sandbox: Sandbox) -> None:
    """The Agents SDK adds its own, and clients may add organization and project."""
    secret = mint(sandbox.base_url, session=_REALTIME)
    more = ("openai-agents-sdk.0.3.0", "openai-organization.org-1", "openai-project.proj-1")
    with line(sandbox.base_url, **offering(secret, *more)) as client:
        client.send({"type": "session.update", "session": {"type": "realtime", "tracing": "auto"}})
        assert client.until("session.updated")["session"]["tracing"] == "auto"


def _refused(sandbox: Sandbox, query: str, options: dict[str, Any]) -> tuple[list[str], int, str]:
    with line(sandbox.base_url, query, **options) as client:
        client.send(CREATE)
        events = client.listen()
        assert client.closed
        codes = [event["error"]["code"] for event in events]
        return codes, *client.closed


@pytest.mark.parametrize(
    ("query", "options", "close_code", "code"),
    [
        ("?model=gpt-realtime", bearing("sk-invalid"), 3000, "invalid_api_key"),
        ("?model=gpt-realtime", {}, 3000, "invalid_api_key"),
        ("?model=gpt-realtime", bearing("ek_unknown"), 3000, "invalid_api_key"),
        ("?model=gpt-realtime", offering("ek_unknown"), 3000, "invalid_api_key"),
        (
            "?model=gpt-realtime",
            {"header": ["Authorization: Bearer sk-test", "OpenAI-Beta: realtime=v1"]},
            4000,
            "beta_api_shape_disabled",
        ),
        (
            "?model=gpt-realtime",
            offering("sk-test", "openai-beta.realtime-v1"),
            4000,
            "beta_api_shape_disabled",
        ),
        ("", bearing("sk-test"), 4000, "missing_model"),
        ("?model=gpt-4o-realtime-preview", bearing("sk-test"), 4000, "invalid_model"),
        ("/translations?model=gpt-realtime", bearing("sk-test"), 4000, "invalid_model"),
    ],
)
def test_refusals_come_in_band(
    sandbox: Sandbox, query: str, options: dict[str, Any], close_code: int, code: str
) -> None:
    """The upgrade succeeds, one error follows, then the close with its code and reason, whatever was sent meanwhile."""
    assert _refused(sandbox, query, options) == ([code], close_code, f"invalid_request_error.{code}")


def test_a_secret_opens_one_session_and_no_second(sandbox: Sandbox) -> None:
    """The second is refused with a code of its own, so that clients can mint again."""
    secret = mint(sandbox.base_url, session=_REALTIME)
    with line(sandbox.base_url, **offering(secret)) as client:
        client.until("session.created")
    codes, close_code, _ = _refused(sandbox, "?model=gpt-realtime-2.1", offering(secret))
    assert (codes, close_code) == (["ephemeral_token_already_used"], 3000)


def test_of_many_connections_at_once_a_secret_opens_one(sandbox: Sandbox) -> None:
    """The others are refused as used."""
    secret = mint(sandbox.base_url, session=_REALTIME)
    first: list[str] = []

    def request() -> None:
        with line(sandbox.base_url, **offering(secret)) as client:
            first.append(client.listen(lambda _: True)[0]["type"])

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(first) == ["error"] * 7 + ["session.created"]


def test_half_of_an_emoji_ends_no_session(sandbox: Sandbox) -> None:
    """As JavaScript's ``slice`` leaves it; it is sent back as it came."""
    half = {"type": "realtime", "instructions": "\ud83d"}
    with line(sandbox.base_url, **offering(mint(sandbox.base_url, session=_REALTIME | half))) as client:
        assert client.until("session.created")["session"]["instructions"] == "\ud83d"
        client.send({"type": "response.cancel", "event_id": "\ud800"})
        assert client.until("error")["error"]["event_id"] == "\ud800"
        client.send({"type": "session.update", "session": {"type": "realtime"}})
        client.until("session.updated")


def test_a_refused_attempt_does_not_use_up_the_secret(sandbox: Sandbox) -> None:
    """Asking for another model is refused, and the right one still opens."""
    secret = mint(sandbox.base_url, session=_REALTIME)
    assert _refused(sandbox, "?model=gpt-realtime", offering(secret))[0] == ["invalid_model"]
    assert _refused(sandbox, "?intent=transcription", offering(secret))[0] == ["invalid_model"]
    with line(sandbox.base_url, **offering(secret)) as client:
        client.until("session.created")


def test_an_expired_secret_is_refused(sandbox: Sandbox) -> None:
    """A route of the sandbox lets all of them expire."""
    secret = mint(sandbox.base_url, session=_REALTIME)
    requests.post(f"{sandbox.base_url.removesuffix('/v1')}/sandbox/expire", timeout=10).raise_for_status()
    assert _refused(sandbox, "?model=gpt-realtime-2.1", offering(secret))[1] == 3000


def test_a_transcription_is_opened_by_intent(sandbox: Sandbox) -> None:
    """With a secret minted for it, and with a key."""
    secret = mint(sandbox.base_url, session=_TRANSCRIPTION)
    with line(sandbox.base_url, "?intent=transcription", **offering(secret)) as client:
        session = client.until("session.created")["session"]
        assert session["audio"]["input"]["transcription"] == {"model": "gpt-4o-transcribe"}
        client.send(
            {"type": "input_audio_buffer.append", "audio": base64.b64encode(speak(1) + SILENCE).decode()}
        )
        assert client.until("conversation.item.input_audio_transcription.completed")["transcript"]
    with line(sandbox.base_url, "?intent=transcription", **bearing("sk-test")) as client:
        assert client.until("session.created")["session"]["type"] == "transcription"


def test_a_translation_runs_and_ends(sandbox: Sandbox) -> None:
    """On its own path, with its own events, until it is closed."""
    session = {"model": "gpt-realtime-translate", "audio": {"output": {"language": "es"}}}
    secret = mint(sandbox.base_url, "/realtime/translations/client_secrets", session=session)
    with line(sandbox.base_url, "/translations?model=gpt-realtime-translate", **offering(secret)) as client:
        audio = base64.b64encode(speak(2)).decode()
        client.send({"type": "session.input_audio_buffer.append", "audio": audio})
        client.until("session.output_audio.delta")
        client.send({"type": "session.close"})
        client.listen()
        assert client.events[-1]["type"] == "session.closed"
        assert client.closed == (1000, "")


def test_the_beta_sends_its_old_event_names(beta_sandbox: Sandbox) -> None:
    """Asked for by its header; flat sessions in, old events out."""
    header = ["Authorization: Bearer sk-test", "OpenAI-Beta: realtime=v1"]
    with line(beta_sandbox.base_url, "?model=gpt-4o-realtime-preview-2024-12-17", header=header) as client:
        assert client.until("session.created")["session"]["modalities"] == ["audio", "text"]
        client.send({"type": "session.update", "session": {"voice": "verse"}})
        assert client.until("session.updated")["session"]["voice"] == "verse"
        client.send(
            {
                "type": "response.create",
                "response": {"modalities": ["text"], "instructions": "A haiku, please."},
            }
        )
        assert client.until("response.done")["response"]["modalities"] == ["text"]
        assert "response.text.delta" in kinds(client.events)
        assert "conversation.item.created" in kinds(client.events)
        client.send({"type": "session.update", "session": {"type": "realtime"}})
        assert client.until("error")["error"]["param"] == "session.type"


@pytest.mark.parametrize("path", ["/realtime/client_secrets", "/realtime/sessions"])
@pytest.mark.parametrize("more", [(), ("openai-beta.realtime-v1",)])
def test_secrets_of_the_beta_sandbox_open_either_shape(
    beta_sandbox: Sandbox, path: str, more: tuple[str, ...]
) -> None:
    """Whichever route minted them: the subprotocol decides."""
    body = {"model": "gpt-realtime-2.1"} if path.endswith("sessions") else {"session": _REALTIME}
    headers = {"Authorization": "Bearer sk-test"}
    minted = requests.post(beta_sandbox.base_url + path, json=body, headers=headers, timeout=10).json()
    secret = minted.get("value") or minted["client_secret"]["value"]
    with line(beta_sandbox.base_url, **offering(secret, *more)) as client:
        session = client.until("session.created")["session"]
        assert ("modalities" in session) is bool(more)


def test_the_beta_is_for_conversations(beta_sandbox: Sandbox) -> None:
    """Its transcriptions were an API of their own."""
    header = ["Authorization: Bearer sk-test", "OpenAI-Beta: realtime=v1"]
    assert _refused(beta_sandbox, "?intent=transcription", {"header": header})[1:] == (
        4000,
        "invalid_request_error.invalid_value",
    )


def test_bad_messages_leave_the_socket_open(sandbox: Sandbox) -> None:
    """Text that is not JSON, bytes, and an unknown type."""
    with line(sandbox.base_url, **bearing("sk-test")) as client:
        client.ws.send("{")
        client.ws.send_binary(b"\xff\x00")
        client.send({"type": "nonsense"})
        client.send(CREATE)
        client.until("response.done")
        assert [event["type"] for event in client.events].count("error") == 3


def test_a_very_large_event_is_accepted(sandbox: Sandbox) -> None:
    """The vendor accepts 15 MiB of audio in one event."""
    turns_off = {"type": "realtime", "audio": {"input": {"turn_detection": None}}}
    with line(sandbox.base_url, **bearing("sk-test")) as client:
        client.send({"type": "session.update", "session": turns_off})
        client.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(SILENCE * 300).decode()})
        client.send({"type": "input_audio_buffer.commit"})
        client.until("input_audio_buffer.committed")


def test_a_slow_reader_loses_nothing(sandbox: Sandbox) -> None:
    """More than any buffer holds is sent before the client reads; every frame still arrives whole."""
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)]
    answers = 12
    said = {"type": "input_text", "text": f"Say: “{'banana ' * 30}”"}
    item = {"type": "message", "role": "user", "content": [said]}
    with line(sandbox.base_url, sockopt=small, **bearing("sk-test")) as client:
        client.send({"type": "conversation.item.create", "item": item})
        client.until("conversation.item.done")
        for _ in range(answers):
            client.send({"type": "response.create", "response": {"conversation": "none"}})
            client.ws.ping()
        threading.Event().wait(2.0)  # an unread connection gives no sign to wait for
        for _ in range(answers):
            assert client.until("response.done")["response"]["status"] == "completed"
        audio = [event["delta"] for event in client.events if event["type"] == "response.output_audio.delta"]
        assert len(audio) == 30 * answers
        assert sum(map(len, audio)) > 8_000_000


@pytest.fixture(scope="module")
def pinging_sandbox() -> Iterator[str]:
    """A sandbox that pings five times a second instead of every 20 seconds, and holds three WebSockets."""
    port = free_port()
    app = "service.sandbox.app:create_sandbox(ping_seconds=0.2, max_websockets=3)"
    options = ("--bind", f"127.0.0.1:{port}", "--no-control-socket")
    command = (PYTHON, "-m", "gunicorn", "-k", "gevent", *options, app)
    with running(command, environ=bare_environ(), ready=lambda _: accepts_connections(port)):
        yield f"http://127.0.0.1:{port}/v1"


def test_the_server_pings(pinging_sandbox: str) -> None:
    """Also while nothing else is sent."""
    with line(pinging_sandbox, **bearing("sk-test")) as client:
        client.until("session.created")
        pings = 0
        while pings < 3:
            opcode, _ = client.ws.recv_data(control_frame=True)
            pings += opcode == websocket.ABNF.OPCODE_PING
        client.ws.send(json.dumps(CREATE))
        client.until("response.done")


def test_websockets_are_bounded_in_number(pinging_sandbox: str) -> None:
    """Each has a thread, and without any left nothing else would be answered."""
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(line(pinging_sandbox, **bearing("sk-test")))
            client.until("session.created")
        with line(pinging_sandbox, **bearing("sk-test")) as refused:
            assert refused.until("error")["error"]["code"] == "rate_limit_exceeded"

    def is_admitted() -> bool:
        with line(pinging_sandbox, **bearing("sk-test")) as client:
            return client.listen(lambda _: True)[0]["type"] == "session.created"

    wait_until(is_admitted, seconds=5, what="a place")
