"""What the routes and sockets of one sandbox share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Flask, current_app

from service.sandbox.recorder import Recorder
from service.sandbox.vault import Vault

_NAME = "sandbox"


@dataclass(frozen=True, slots=True)
class State:
    """The memory of a sandbox: it ends with the process.

    ``beta`` says whether the retired beta is spoken beside today's API; WebSockets are pinged every
    ``ping_seconds``, and ``sockets`` are those that are open.
    """

    vault: Vault
    beta: bool
    ping_seconds: float
    recorder: Recorder = field(default_factory=Recorder)
    sockets: set[Any] = field(default_factory=set)


def attach(app: Flask, state: State) -> None:
    """Give an application its memory."""
    app.extensions[_NAME] = state


def of(app: Flask) -> State:
    """Find the memory of an application."""
    state: State = app.extensions[_NAME]
    return state


def current() -> State:
    """Find the memory of the application at work."""
    return of(current_app)
