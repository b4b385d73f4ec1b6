"""All calls of a sandbox: opening them within bounds, finding them, ending them."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from service.sandbox.calls.call import Call, Opened
from service.sandbox.calls.turns import Machinery
from service.sandbox.errors import ApiError
from service.sandbox.ids import new_id
from service.sandbox.live.config import SESSION_SECONDS as LIVE_SECONDS
from service.sandbox.live.config import resolve
from service.sandbox.live.session import LiveSession
from service.sandbox.newest import MAX_BYTES, Newest
from service.sandbox.sessions import configuration
from service.sandbox.sessions.configuration import Config
from service.sandbox.sessions.media import MediaSession
from service.sandbox.sessions.realtime_media import MEDIA_SESSIONS
from service.sandbox.webrtc.loop import Timer
from service.sandbox.webrtc.offers import InvalidOfferError, answerable
from service.sandbox.webrtc.playout import Playout

_ANSWER_SECONDS = 10.0
_CLOSE_SECONDS = 0.4
_TIDY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much a sandbox takes on.

    ``open`` sessions, of which ``connected`` have a client and ``waiting`` may still get one; ``remembered`` are
    reported, ended ones included; the reports of those that have ended have ``remembered_bytes`` together.
    """

    open: int = 1000
    connected: int = 100
    waiting: int = 200
    remembered: int = 5000
    remembered_bytes: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class Offer:
    """A client's offer; ``channel_id`` is that of a data channel that both sides have agreed on before."""

    sdp: str
    param: str
    channel_id: int | None = None


_BOUNDS = Bounds()


class Calls:
    """The calls, in the order of their creation; those that have ended are remembered until ``reset``, up to bounds.

    A Live session waits ``lost_seconds`` for a client that has disconnected.
    """

    def __init__(self, *, lost_seconds: float, bounds: Bounds = _BOUNDS) -> None:
        self._lost_seconds = lost_seconds
        self._bounds = bounds
        self._lock = threading.Lock()
        self._open: dict[str, Call] = {}
        self._reports: Newest[str, Callable[[], dict[str, Any]]] = Newest(
            bounds.remembered, bounds.remembered_bytes, must_stay=self._open.__contains__
        )
        self._machinery: Machinery | None = None
        self._tidying: Timer | None = None
        self._tidies_soon = False

    def open_realtime(self, opened: Opened, config: Config, offer: Offer) -> str:
        """Open a Realtime call; ``config`` is the session's complete configuration. Returns the SDP answer.

        Raises:
            ApiError: 400 for an offer that cannot be answered, 429 where too many calls are open.
        """
        session = {**config, "expires_at": int(time.time()) + configuration.SESSION_SECONDS}
        session_class = MEDIA_SESSIONS[config["type"]]

        def make(output: Playout) -> MediaSession:
            return session_class(session, new_id=new_id, clock=time.monotonic, output=output)

        return self._opened(opened, make, offer)

    def open_live(self, opened: Opened, offer: Offer) -> str:
        """Open a Live session. Returns the SDP answer.

        Raises:
            ApiError: 400 for an offer that cannot be answered, 429 where too many calls are open.
        """
        given = opened.session
        session = resolve(given, session_id=opened.id, expires_at=int(time.time()) + LIVE_SECONDS)

        def make(output: Playout) -> MediaSession:
            pace: dict[str, Any] = {"clock": time.monotonic, "lost_seconds": self._lost_seconds}
            return LiveSession(session, given, new_id=new_id, output=output, **pace)

        return self._opened(opened, make, offer)

    def find(self, call_id: str) -> Call | None:
        """Return an open call. One that has just ended is none, although it is let go a moment later."""
        call = self._open.get(call_id)
        return call if call and not call.ended else None

    def report(self) -> dict[str, Any]:
        """Describe all calls."""
        with self._lock:
            reports = self._reports.values()
        return {"calls": [report() for report in reports]}

    def reset(self) -> None:
        """End all calls, and forget them."""
        for call in tuple(self._open.values()):
            call.end("reset", wait=False)
        for call in tuple(self._open.values()):
            call.wait()
        with self._lock:
            self._reports.clear()

    def close(self) -> None:
        """Close all peer connections, since the sandbox ends."""
        for call in tuple(self._open.values()):
            call.drop_peer()
        if self._machinery:
            self._machinery.loop.settle(_CLOSE_SECONDS)

    def _opened(self, opened: Opened, make: Callable[[Playout], MediaSession], offer: Offer) -> str:
        self._make_room()
        try:
            sdp = answerable(offer.sdp)
        except InvalidOfferError as error:
            raise _invalid_offer(error, offer) from error
        machinery = self._machinery_once()
        call = Call(opened, make, machinery, self._on_end)
        try:
            answer = machinery.loop.run(call.answer(sdp, offer.channel_id), seconds=_ANSWER_SECONDS)
        except (InvalidOfferError, TimeoutError) as error:
            call.end("peer", wait=False)
            raise _invalid_offer(error, offer) from error
        with self._lock:
            self._open[opened.id] = call
            self._reports.put(opened.id, call.report, 0)
        return answer

    def _make_room(self) -> None:
        """Keep the number of sessions and of peers within bounds."""
        calls = tuple(self._open.values())
        connected = sum(call.connected for call in calls)
        most = self._bounds
        if len(calls) >= most.open or connected >= most.connected:
            message = (
                f"The sandbox holds at most {most.open} open sessions, {most.connected} of them connected. "
                "End some, or POST /sandbox/reset."
            )
            raise ApiError(message, code="rate_limit_exceeded", kind="requests", status=429)
        waiting = [call for call in calls if call.waits]
        if len(waiting) >= most.waiting:
            waiting[0].drop_peer()

    def _machinery_once(self) -> Machinery:
        """Start threads with the first call: a sandbox that only mints needs none."""
        with self._lock:
            if self._machinery is None:
                self._machinery = Machinery()
                self._tidying = self._machinery.loop.timer(self._tidy)
            return self._machinery

    def _on_end(self, call: Call) -> None:
        report = call.report()
        size = len(json.dumps(report))
        with self._lock:
            self._open.pop(call.opened.id, None)
            if call.opened.id in self._reports:
                self._reports.put(call.opened.id, partial(dict, report), size)
            soon, self._tidies_soon = self._tidies_soon, True
        if self._tidying and not soon:
            self._tidying.set(_TIDY_SECONDS)

    def _tidy(self) -> None:
        """Collect what calls have left, a moment after one has ended.

        aiortc's connections are cycles. A collection pauses all threads, so there is none while somebody listens.
        """
        self._tidies_soon = False
        if not any(call.connected for call in tuple(self._open.values())):
            gc.collect()


def _invalid_offer(error: Exception, offer: Offer) -> ApiError:
    return ApiError(f"Invalid SDP offer: {error}.", code="invalid_offer", param=offer.param)
