"""What the routes and sockets of one sandbox share."""

from __future__ import annotations

from dataclasses import dataclass, field

from flask import Flask, current_app

from service.sandbox.recorder import Recorder
from service.sandbox.vault import Vault

_NAME = "sandbox"


@dataclass(frozen=True, slots=True)
class State:
    """The memory of a sandbox: it ends with the process.

    Attributes:
        beta: whether the retired beta is spoken beside today's API.
    """

    vault: Vault
    beta: bool
    recorder: Recorder = field(default_factory=Recorder)


def attach(app: Flask, state: State) -> None:
    """Give an application its memory."""
    app.extensions[_NAME] = state


def current() -> State:
    """Find the memory of the application at work."""
    state: State = current_app.extensions[_NAME]
    return state
