"""One call: a session, the peer that its sound comes from, and the sidebands that watch it.

Everything that happens to a session happens in its turn, on a small pool of threads: the peers' loop, whose packets
must leave on time, waits for nobody, and neither does a sideband that reads slowly.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from av import AudioFrame

from service.sandbox.sessions.events import Event
from service.sandbox.sessions.media import CloseReason, EndedBy, MediaSession, Source
from service.sandbox.webrtc.loop import PeerLoop
from service.sandbox.webrtc.peer import Ear, Peer, PeerEvents
from service.sandbox.webrtc.playout import FRAME_MS, Playout

_log = logging.getLogger(__name__)

_REPLAY_SECONDS = 3.0
_MAX_BACKLOG = 500
_MAX_LISTENERS = 20
_REFLECTED_FRAMES = 5
_WAIT_SECONDS = 5.0
_THREADS = 1
_REFUSED_ENDINGS = 3
_TIMER_PRECISION = 0.001
_MAX_TASKS = 1000
"""What a client sends beyond these is dropped, until the session has caught up: 20 s of sound."""

Api = Literal["realtime", "live"]
Listener = Callable[[str | None], None]
"""Takes an event in JSON, or None once the call has ended; must not wait."""


@dataclass(frozen=True, slots=True)
class Machinery:
    """What all calls share: the peers' loop, and the threads on which things happen to sessions."""

    loop: PeerLoop = field(default_factory=PeerLoop)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "calls"))


@dataclass(frozen=True, slots=True)
class Opened:
    """How a call was opened.

    ``session`` is the configuration as it was posted, ``project`` the one that the key named, and ``headers`` are
    those of the request that are worth a look. ``by_secret`` tells a client's secret from a standard key.
    """

    id: str
    api: Api
    model: str
    session: dict[str, Any]
    project: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    by_secret: bool = False
    at: float = field(default_factory=time.time)


class Call:
    """A call, open until its session ends.

    ``make_session`` is given the call's output; ``on_end`` is told when the call is over.
    """

    def __init__(
        self,
        opened: Opened,
        make_session: Callable[[Playout], MediaSession],
        machinery: Machinery,
        on_end: Callable[[Call], None],
    ) -> None:
        self.opened = opened
        self.ended_at: float | None = None
        self.ended_by: EndedBy | None = None
        self.connected = False
        self.was_connected = False
        self._refusals_left = _REFUSED_ENDINGS if opened.model.startswith("fault-hangup-") else 0
        self._loop = loop = machinery.loop
        self._pool = machinery.pool
        self._on_end = on_end
        self._peer: Peer | None = None
        self._channel_open = False
        self._backlog: deque[str] = deque(maxlen=_MAX_BACKLOG)
        self._recent: deque[tuple[float, str]] = deque()
        self._greeting: list[str] = []
        self._listeners: list[Listener] = []
        self._lock = threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()
        self._running = False
        self._timer = loop.timer(partial(self._do, list))
        self._due_at = float("inf")
        self._over = threading.Event()
        self._ear = Ear()
        self._spoken_frames: list[bytes] = []
        self._began = time.monotonic()
        self.playout = Playout(self._on_playback, self._on_sound_sent)
        self._session = make_session(self.playout)
        self._do(self._session.open)

    @property
    def ended(self) -> bool:
        """Whether the call is over."""
        return self.ended_at is not None

    async def answer(self, offer: str, channel_id: int | None) -> str:
        """Answer the client's offer, on the peers' loop.

        Raises:
            InvalidOfferError: where it cannot be answered.
        """
        events = PeerEvents(
            connected=partial(self._do, self._on_connected),
            gone=partial(self._do, self._on_gone),
            channel_open=partial(self._do, self._on_channel_open),
            message=lambda message: self._do(
                partial(self._session.receive, message, "data_channel"), "data_channel"
            ),
            audio=lambda frame: self._do(partial(self._on_audio, frame), "data_channel"),
        )
        self._peer = Peer(self.playout, events)
        return await self._peer.answer(offer, channel_id=channel_id)

    def take_refusal(self) -> bool:
        """Return whether this attempt to end or watch the call shall fail, because its model asks for that."""
        with self._lock:
            refused = self._refusals_left > 0
            self._refusals_left -= refused
            return refused

    @property
    def waits(self) -> bool:
        """Whether a client may still connect."""
        return self._peer is not None and not self.was_connected and not self.ended

    def end(self, by: EndedBy, reason: CloseReason = "close_requested", *, wait: bool = True) -> None:
        """End the call; with ``wait`` return only when it is over, which for GPT-Live takes a moment."""
        self._do(lambda: self._session.end(by, reason))
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until the call is over."""
        self._over.wait(_WAIT_SECONDS)

    def drop_peer(self) -> None:
        """Give up waiting for a client; the session stays open."""
        peer, self._peer = self._peer, None
        if peer:
            self._loop.start(peer.close())

    @property
    def crowded(self) -> bool:
        """Whether no more sidebands may attach."""
        return len(self._listeners) >= _MAX_LISTENERS

    def listen(self, listener: Listener) -> bool:
        """Attach a sideband, which hears the last seconds again where the vendor repeats them.

        Returns False where the call has ended, or has too many.
        """
        with self._lock:
            if self.ended or self.crowded:
                return False
            if self.opened.api == "live":
                since = time.monotonic() - _REPLAY_SECONDS
                for message in [*self._greeting, *(text for at, text in self._recent if at >= since)]:
                    listener(message)
            self._listeners.append(listener)
        return True

    def forget(self, listener: Listener) -> None:
        """Detach a sideband, which ends nothing."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.remove(listener)

    def receive(self, message: str | bytes, listener: Listener) -> None:
        """Take a message of a sideband; what is wrong with it is told to that one alone."""
        self._do(partial(self._session.receive, message, "sideband"), listener)

    def report(self) -> dict[str, Any]:
        """Describe the call as ``GET /sandbox/calls`` does; times are seconds since the epoch."""
        return {
            "id": self.opened.id,
            "api": self.opened.api,
            "model": self.opened.model,
            "state": "ended" if self.ended else "open",
            "ended_by": self.ended_by,
            "opened_at": self.opened.at,
            "ended_at": self.ended_at,
            "connected": self.connected,
            "session": self.opened.session,
            "headers": self.opened.headers,
        }

    # What the peer tells, on its loop.

    def _on_connected(self) -> list[Event]:
        self.connected = self.was_connected = True
        return self._session.connected()

    def _on_gone(self) -> list[Event]:
        if self._peer:
            self._loop.start(self._peer.close())
        was_connected, self.connected = self.connected, False
        return self._session.disconnected() if was_connected else []

    def _on_channel_open(self) -> list[Event]:
        """Send what the client has missed, and then what only it is told."""
        self._channel_open = True
        for message in self._backlog:
            self._send(message)
        self._backlog.clear()
        for event in self._session.channel_opened():
            if self._session.on_data_channel(event["type"]):
                self._send(_encode(event))
        return []

    def _on_audio(self, frame: AudioFrame | None) -> list[Event]:
        audio = self._ear.hear(frame)
        if self._listeners and self.opened.api == "live":
            self._reflect({"type": "session.input_audio.append", "audio": base64.b64encode(audio).decode()})
        return self._session.hear(audio)

    def _on_playback(self, change: Literal["started", "stopped"]) -> None:
        self._do(partial(self._session.playback, change))

    def _on_sound_sent(self, pcm: bytes) -> None:
        """Reflect the voice to sidebands as it is sent, in pieces of a tenth of a second."""
        if not self._listeners or self.opened.api != "live":
            self._spoken_frames.clear()
            return
        self._spoken_frames.append(pcm)
        if len(self._spoken_frames) < _REFLECTED_FRAMES:
            return
        piece = base64.b64encode(b"".join(self._spoken_frames)).decode()
        self._spoken_frames.clear()
        end_ms = round((time.monotonic() - self._began) * 1000)
        start_ms = max(0, end_ms - _REFLECTED_FRAMES * FRAME_MS)
        self._reflect(
            {"type": "session.output_audio.delta", "delta": piece, "start_ms": start_ms, "end_ms": end_ms}
        )

    # One thing after another.

    def _do(self, work: Callable[[], list[Event]], origin: Source | Listener | None = None) -> None:
        """Let something happen to the session in its turn; errors it answers with go to their origin alone."""
        with self._lock:
            if origin is not None and len(self._tasks) >= _MAX_TASKS:
                return
            self._tasks.append(partial(self._step, work, origin))
            if self._running:
                return
            self._running = True
        try:
            self._pool.submit(self._run)
        except RuntimeError:  # the sandbox ends
            self._running = False

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._tasks:
                    self._running = False
                    return
                task = self._tasks.popleft()
            try:
                task()
            except Exception:  # noqa: BLE001 - what is wrong with one call must not end its thread
                _log.exception("call %s", self.opened.id)

    def _step(self, work: Callable[[], list[Event]], origin: Source | Listener | None) -> None:
        if self.ended:
            return
        for event in work():
            self._deliver(event, origin if event["type"] == "error" else None)
        for event in self._session.advance():
            self._deliver(event, None)
        if self._session.ended:
            self._finish()
        else:
            self._set_timer()

    def _set_timer(self) -> None:
        due_in = self._session.due_in()
        due_at = float("inf") if due_in is None else time.monotonic() + due_in
        if due_in is not None and abs(due_at - self._due_at) > _TIMER_PRECISION:
            self._timer.set(due_in)
        self._due_at = due_at

    def _deliver(self, event: Event, origin: Source | Listener | None) -> None:
        message, kind = _encode(event), event["type"]
        if callable(origin):
            origin(message)
            return
        if kind in {"session.started", "session.created"}:
            self._greeting = [message]
        if self._session.on_data_channel(kind):
            if self._channel_open:
                self._send(message)
            else:
                self._backlog.append(message)
        if origin == "data_channel" or kind == "session.created":
            return
        now = time.monotonic()
        with self._lock:
            if message not in self._greeting:
                self._recent.append((now, message))
            while self._recent and self._recent[0][0] < now - _REPLAY_SECONDS:
                self._recent.popleft()
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener(message)

    def _reflect(self, event: Event) -> None:
        message = _encode(event)
        for listener in tuple(self._listeners):
            listener(message)

    def _send(self, message: str) -> None:
        peer = self._peer
        if peer:
            self._loop.soon(partial(peer.send, message))

    def _finish(self) -> None:
        """Let everything of the call go but its record."""
        self.ended_by = self._session.ended_by or "expired"
        with self._lock:
            self.ended_at, self.connected = time.time(), False
            listeners, self._listeners = self._listeners, []
            self._recent.clear()
            self._backlog.clear()
        for listener in listeners:
            listener(None)
        self._timer.cancel()
        self.playout.clear()
        if self._peer:
            self._loop.start(self._peer.close())
        self._over.set()
        self._on_end(self)


def _encode(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)
