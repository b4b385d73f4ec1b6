"""A stand-in for the vendor that outruns every candidate: bare HTTP over asyncio, hardly parsed.

It answers any `…/client_secrets` with a secret of realistic size after a chosen latency, and `…/live/sessions` with a
session as realistic, refuses a
request without a standard key (a candidate that forgot it would look fast), and counts what is in
flight. `GET /control` reads the counters; `POST /control` with `{"latency": seconds}` sets the latency
and starts the counters anew. It speaks just the HTTP that the candidates' clients send.
"""

import asyncio
import contextlib
import itertools
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass

HEAD_END = b"\r\n\r\n"

# The vendor echoes the whole resolved session: some 1.5 KB beside the secret.
SESSION = {
    "type": "realtime",
    "object": "realtime.session",
    "id": "sess_C9CiUVUzUzYIssh3ELY1d",
    "model": "gpt-realtime-2.1",
    "output_modalities": ["audio"],
    "instructions": (
        "You are a kind and quick assistant. Speak as a person would; remember that you are none. Keep your "
        "answers short, warm and to the point; where one sentence does, use one. If the person asks in "
        "another language, answer in that one. Call a function wherever it helps, and say what came of it. "
        "When you do not know, say so, and name who might."
    ),
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "expires_at": 0,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": {
                "type": "server_vad",
                "threshold": 0.5,
                "prefix_padding_ms": 300,
                "silence_duration_ms": 200,
                "idle_timeout_ms": None,
                "create_response": True,
                "interrupt_response": True,
            },
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
_BODY_END = b',"session":' + json.dumps(SESSION).encode() + b"}"
_SDP = "v=0\r\n" + "a=candidate:1 1 udp 2130706431 192.0.2.1 3478 typ host\r\n" * 30
_SESSION_BODY = (
    b'{"session":{"id":"live_%032x"},"transport":{"type":"webrtc","sdp":' + json.dumps(_SDP).encode() + b"}}"
)
_REFUSAL = b'{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}'


@dataclass
class Counters:
    """What the stand-in has seen since its latency was last set; `hung_up` counts the calls that were ended."""

    latency: float = 0.0
    served: int = 0
    hung_up: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests on it are answered in order."""

    def __init__(self, counters: Counters, serials: "itertools.count[int]") -> None:
        self._counters = counters
        self._serials = serials
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("the stand-in serves stream sockets only")
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Cut complete requests off the buffer."""
        self._buffer += data
        while True:
            end = self._buffer.find(HEAD_END)
            if end < 0:
                return
            head = self._buffer[:end].lower()
            start = end + len(HEAD_END)
            length = _content_length(head)
            if len(self._buffer) < start + length:
                return
            body = self._buffer[start : start + length]
            self._buffer = self._buffer[start + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        target = head[: head.index(b"\r\n")].split(b" ")[1]
        if target == b"/control":
            self._write(b"200 OK", self._control(body))
        elif target.endswith(b"/hangup"):
            self._counters.hung_up += 1
            self._write(b"200 OK", b"")
        elif not target.endswith((b"/client_secrets", b"/live/sessions")):
            self._write(b"404 Not Found", b'{"error":{"message":"Unknown route"}}')
        elif b"\r\nauthorization: bearer sk-" not in head:
            self._write(b"401 Unauthorized", _REFUSAL)
        else:
            self._mint(_SESSION_BODY if target.endswith(b"/live/sessions") else None)

    def _mint(self, opens: bytes | None) -> None:
        counters = self._counters
        counters.in_flight += 1
        counters.peak_in_flight = max(counters.peak_in_flight, counters.in_flight)
        if counters.latency:
            asyncio.get_running_loop().call_later(counters.latency, self._finish, opens)
        else:
            self._finish(opens)

    def _finish(self, opens: bytes | None) -> None:
        self._counters.in_flight -= 1
        self._counters.served += 1
        if opens is not None:
            self._write(b"201 Created", opens % next(self._serials))
            return
        start = b'{"value":"ek_%032x","expires_at":%d' % (next(self._serials), time.time() + 60)
        self._write(b"200 OK", start + _BODY_END)

    def _control(self, body: bytes) -> bytes:
        counters = self._counters
        if body:
            counters.latency = float(json.loads(body)["latency"])
            counters.served = 0
            counters.peak_in_flight = counters.in_flight
        return json.dumps(asdict(counters)).encode()

    def _write(self, status: bytes, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nx-request-id: req_benchmark\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )


def _content_length(head: bytes) -> int:
    _, name, rest = head.partition(b"\r\ncontent-length:")
    return int(rest.split(b"\r\n", 1)[0]) if name else 0


async def serve(port: int) -> None:
    """Answer on `127.0.0.1:port` until SIGTERM or SIGINT."""
    counters, serials = Counters(), itertools.count(1)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counters, serials), "127.0.0.1", port, backlog=1024)
    ended = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, ended.set)
    async with server:
        await ended.wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1])))
