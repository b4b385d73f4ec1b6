"""What the routes and WebSockets of one sandbox share: apart from ``app``, which imports them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Flask, current_app

from service.sandbox.azure import Azure
from service.sandbox.calls.registry import Calls
from service.sandbox.credentials import SecretStore
from service.sandbox.recorder import Recorder

NOTICE = "No model is behind this session: its answers are canned and its voices synthetic."
"""What the log says of each session."""

_NAME = "sandbox"


@dataclass(frozen=True, slots=True)
class State:
    """The memory of a sandbox, which ends with its process.

    With ``beta`` the retired beta is spoken beside today's API, with ``azure`` Azure's way of it. WebSockets are pinged
    every ``ping_seconds``; ``sockets`` are the open ones, at most ``max_websockets``.
    """

    secrets: SecretStore
    calls: Calls
    beta: bool
    ping_seconds: float
    max_websockets: int
    azure: Azure | None = None
    recorder: Recorder = field(default_factory=Recorder)
    sockets: set[Any] = field(default_factory=set)


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
