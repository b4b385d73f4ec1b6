"""One call: a session, the peer that its sound comes from, and the sidebands that watch it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from av import AudioFrame

from service.sandbox import json_text
from service.sandbox.calls.listeners import Listener, Listeners, Reflection
from service.sandbox.calls.turns import Machinery, Turns
from service.sandbox.newest import Newest, size_of
from service.sandbox.sessions.events import Event
from service.sandbox.sessions.media import CloseReason, EndedBy, MediaSession, Source
from service.sandbox.webrtc.peer import Ear, Peer, PeerEvents
from service.sandbox.webrtc.playout import Playout

_MAX_BACKLOG = 500
_WAIT_SECONDS = 5.0
_REFUSED_ENDINGS = 3
_GREETINGS = frozenset({"session.created", "session.started"})

Api = Literal["realtime", "live"]


@dataclass(frozen=True, slots=True)
class Opened:
    """How a call was opened.

    ``session`` is the configuration as it was posted, ``project`` the one that the key named, and ``headers`` are
    those of the request that are worth a look. ``by_secret`` tells a client's secret from a standard key.
    ``client_events`` are the types of events that the client is sent, ``None`` for all; sidebands are sent all.
    """

    id: str
    api: Api
    model: str
    session: dict[str, Any]
    project: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    by_secret: bool = False
    client_events: frozenset[str] | None = None
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
        self._counting = threading.Lock()
        self._refusals_left = _REFUSED_ENDINGS if opened.model.startswith("fault-hangup-") else 0
        self._loop = machinery.loop
        self._turns = Turns(machinery, opened.id)
        self._on_end = on_end
        self._peer: Peer | None = None
        self._channel_open = False
        self._backlog: Newest[int, str] = Newest(_MAX_BACKLOG)
        self._told = itertools.count()
        self.sidebands = Listeners(replays=opened.api == "live")
        self._over = threading.Event()
        self._ear = Ear()
        self._reflection = Reflection(self.sidebands, wanted=opened.api == "live")
        self.playout = Playout(self._on_playback, self._reflection.said)
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
            connected=self._on_connected,
            gone=partial(self._do, self._on_gone),
            channel_open=partial(self._do, self._on_channel_open),
            message=lambda message: self._do(
                partial(self._session.receive, message, "data_channel"), "data_channel", size_of(message)
            ),
            audio=lambda frame: self._do(partial(self._on_audio, frame), "data_channel"),
        )
        self._peer = Peer(self.playout, events)
        return await self._peer.answer(offer, channel_id=channel_id)

    def take_refusal(self) -> bool:
        """Return whether this attempt to end or watch the call shall fail, because its model asks for that."""
        with self._counting:
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

    def receive(self, message: str | bytes, listener: Listener) -> None:
        """Take a message of a sideband; what is wrong with it is told to that one alone."""
        self._do(partial(self._session.receive, message, "sideband"), listener, size_of(message))

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

    def _on_connected(self) -> None:
        """Know it at once, not in the session's turn: the client may ask for a sideband before that one comes."""
        self.was_connected, self.connected = True, not self.ended
        self._do(self._session.connected)

    def _on_gone(self) -> list[Event]:
        if self._peer:
            self._loop.start(self._peer.close())
        was_connected, self.connected = self.connected, False
        return self._session.disconnected() if was_connected else []

    def _on_channel_open(self) -> list[Event]:
        """Send what the client has missed, and then what only it is told."""
        self._channel_open = True
        for message in self._backlog.values():
            self._send(message)
        self._backlog.clear()
        for event in self._session.channel_opened():
            if self._reaches_client(event["type"]):
                self._send(json_text.encode(event))
        return []

    def _on_audio(self, frame: AudioFrame | None) -> list[Event]:
        audio = self._ear.hear(frame)
        self._reflection.heard(audio)
        return self._session.hear(audio)

    def _on_playback(self, change: Literal["started", "stopped"]) -> None:
        self._do(partial(self._session.playback, change))

    # What happens to the session.

    def _do(
        self, work: Callable[[], list[Event]], origin: Source | Listener | None = None, size: int = 0
    ) -> None:
        """Let something happen in its turn; errors that it is answered with go to their origin alone."""
        self._turns.take(partial(self._step, work, origin), droppable=origin is not None, size=size)

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
            self._turns.take_later(self._session.due_in(), partial(self._step, list, None))

    def _deliver(self, event: Event, origin: Source | Listener | None) -> None:
        """Tell an event to the client and to the sidebands, or, with an origin, to that one alone."""
        message, kind = json_text.encode(event), event["type"]
        if callable(origin):
            origin(message)
            return
        if self._reaches_client(kind):
            if self._channel_open:
                self._send(message)
            else:
                self._backlog.put(next(self._told), message, size_of(message))
        if kind in _GREETINGS:
            self.sidebands.greet(message)
        elif origin is None:
            self.sidebands.tell(message)

    def _reaches_client(self, kind: str) -> bool:
        sent = self.opened.client_events
        return (sent is None or kind in sent) and self._session.on_data_channel(kind)

    def _send(self, message: str) -> None:
        peer = self._peer
        if peer:
            self._loop.soon(partial(peer.send, message))

    def _finish(self) -> None:
        """Let everything of the call go but its record."""
        self.ended_by = self._session.ended_by or "expired"
        self.ended_at, self.connected = time.time(), False
        self._backlog.clear()
        self._turns.cancel()
        self.sidebands.close()
        self.playout.clear()
        if self._peer:
            self._loop.start(self._peer.close())
        self._over.set()
        self._on_end(self)
