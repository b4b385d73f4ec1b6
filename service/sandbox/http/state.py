"""What the routes and WebSockets of one sandbox share: apart from ``app``, which imports them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, current_app

from service.sandbox.azure import Azure
from service.sandbox.calls.registry import Calls
from service.sandbox.credentials import SecretStore
from service.sandbox.errors import ApiError
from service.sandbox.recorder import Recorder

NOTICE = "No model is behind this session: its answers are canned and its voices synthetic."
"""What the log says of each session."""

_NAME = "sandbox"


class OpenSockets:
    """The open WebSockets, sidebands included: each has one of the server's threads, so they are bounded in number."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._sockets: set[Any] = set()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Any]:
        with self._lock:
            return iter(tuple(self._sockets))

    def check_room(self) -> None:
        """Check that one more may be opened.

        Raises:
            ApiError: 429, there are as many as there may be.
        """
        if len(self._sockets) >= self._most:
            message = f"The sandbox holds at most {self._most} WebSockets. Close some."
            raise ApiError(message, code="rate_limit_exceeded", kind="requests", status=429)

    def add(self, ws: Any) -> None:
        """Count one.

        Raises:
            ApiError: 429, there are as many as there may be.
        """
        with self._lock:
            self.check_room()
            self._sockets.add(ws)

    def discard(self, ws: Any) -> None:
        """Count one no more, if it was counted."""
        with self._lock:
            self._sockets.discard(ws)


@dataclass(frozen=True, slots=True)
class State:
    """The memory of a sandbox, which ends with its process.

    With ``beta`` the retired beta is spoken beside today's API, with ``azure`` Azure's way of it. WebSockets are pinged
    every ``ping_seconds``.
    """

    secrets: SecretStore
    calls: Calls
    beta: bool
    ping_seconds: float
    sockets: OpenSockets
    azure: Azure | None = None
    recorder: Recorder = field(default_factory=Recorder)


def attach(app: Flask, state: State) -> None:
    """Give an application its state."""
    app.extensions[_NAME] = state


def state_of(app: Flask) -> State:
    """Return the state of an application."""
    state: State = app.extensions[_NAME]
    return state


def current() -> State:
    """Return the state of the application that handles the current request."""
    return state_of(current_app)
