"""Driving WebRTC clients from a test: aiortc in a process of its own, and spoken files to say."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.processes import ROOT, Running, bare_environ
from tests.support.realtime import KEY

SECONDS = 20.0

Message = dict[str, Any]


class Clients:
    """One or several peer connections in another process; ``call`` numbers them."""

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self._process = process
        self._messages: queue.Queue[Message] = queue.Queue()
        self._waiting: list[Message] = []
        self.heard: list[Message] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._count = count
        self.offers: list[str] = []

    def take_offers(self) -> None:
        """Wait for everybody's offer."""
        self.offers = [self.wait("offer", call=number)["sdp"] for number in range(self._count)]

    def stop_reading(self) -> None:
        """Read to the end of what the process, which has ended, has written."""
        self._reader.join(SECONDS)
        assert self._process.stdout
        self._process.stdout.close()

    def answer(self, sdp: str, *, call: int = 0) -> None:
        """Take the answer to an offer."""
        self._command(call, answer=sdp)

    def send(self, event: Message | str, *, call: int = 0) -> None:
        """Send an event over the data channel."""
        self._command(call, send=event)

    def say(self, path: Path, *, call: int = 0) -> None:
        """Say a WAV file into the microphone."""
        self._command(call, say=str(path))

    def close(self, *, call: int = 0) -> None:
        """Close the peer connection."""
        self._command(call, close=True)

    def stats(self, *, call: int = 0, since: float = 0.0) -> Message:
        """Count the frames that were heard."""
        self._command(call, stats=since)
        return self.wait("stats", call=call)

    def until_open(self, *, call: int = 0) -> None:
        """Wait until the data channel is open."""
        self.wait("channel", call=call, state="open")

    def until(self, kind: str, *, call: int = 0, seconds: float = SECONDS) -> Message:
        """Wait for a server event of a type."""
        event: Message = self.wait(
            "event", call=call, seconds=seconds, where=lambda message: message["event"]["type"] == kind
        )["event"]
        return event

    def events(self, *, call: int = 0) -> list[Message]:
        """List the server events so far."""
        return [m["event"] for m in self.heard if m["kind"] == "event" and m["call"] == call]

    def wait(
        self,
        kind: str,
        *,
        call: int = 0,
        seconds: float = SECONDS,
        where: Callable[[Message], bool] = lambda _: True,
        **members: Any,
    ) -> Message:
        """Wait for a line of the client's; each is given out once."""
        end = time.monotonic() + seconds

        def fits(message: Message) -> bool:
            same = all(message.get(name) == value for name, value in members.items())
            return message["kind"] == kind and message["call"] == call and same and where(message)

        while True:
            for message in self._waiting:
                if fits(message):
                    self._waiting.remove(message)
                    return message
            try:
                message = self._messages.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                seen = [m.get("event", {}).get("type") or m["kind"] for m in self.heard]
                raise AssertionError(f"no {kind} {members} within {seconds:g} s; there were {seen}") from None
            self.heard.append(message)
            self._waiting.append(message)

    def _command(self, call: int, **command: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps({"call": call, **command}) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._messages.put(json.loads(line))


@contextmanager
def webrtc_clients(count: int = 1, *, dcid: int | None = None) -> Iterator[Clients]:
    """Run peer connections in a process of their own, until the block ends."""
    command = [sys.executable, "-m", "tests.support.webrtc_client", "--calls", str(count)]
    process = subprocess.Popen(
        command if dcid is None else [*command, "--dcid", str(dcid)],
        cwd=ROOT,
        env=bare_environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    clients = Clients(process, count)
    try:
        clients.take_offers()
        yield clients
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
            process.wait()
            clients.stop_reading()


def open_call(
    base_url: str, offer: str, model: str = "gpt-realtime-2.1", **session: Any
) -> requests.Response:
    """Open a Realtime call as a server does."""
    config = {"type": "realtime", "model": model, **session}
    form = {
        "sdp": (None, offer, "application/sdp"),
        "session": (None, json.dumps(config), "application/json"),
    }
    return requests.post(f"{base_url}/realtime/calls", files=form, headers=KEY, timeout=20)


def open_live(base_url: str, offer: str, model: str = "gpt-live-1.1", **session: Any) -> requests.Response:
    """Open a Live session as a server does."""
    body = {"session": {"model": model, **session}, "transport": {"type": "webrtc", "sdp": offer}}
    return requests.post(f"{base_url}/live/sessions", json=body, headers=KEY, timeout=20)


def listed(base_url: str, call_id: str) -> Message:
    """Find a call in the sandbox's own list."""
    calls = requests.get(base_url.replace("/v1", "/sandbox/calls"), timeout=20).json()["calls"]
    found: Message = next(call for call in calls if call["id"] == call_id)
    return found


def write_sentence(path: Path, text: str) -> float:
    """Have espeak-ng say something into a WAV file; give its length in seconds."""
    subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "-w", str(path), text], check=True)
    import wave  # noqa: PLC0415 - here alone

    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def worker_pid(run: Running) -> int:
    """Find gunicorn's only worker."""
    (worker,) = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return int(worker)
