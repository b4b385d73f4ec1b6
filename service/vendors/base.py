"""What every vendor has in common: where a session keeps the members that policy looks at. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.core.model import SessionType

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveLayout:
    """What a live session has that others do not: it has no client secrets, so that only a call opens it.

    ``models`` is a pattern of its models' names. ``members`` are those known today, and ``caller_members`` the dotted
    paths of those that are harmless in a caller's hands. ``fixed`` is sent with every session. ``client_events`` are
    the events that a client may send over its data channel, and ``delegate_events`` those besides, where the session
    names its client as the one that tasks are delegated to.
    """

    models: re.Pattern[str]
    members: frozenset[str]
    caller_members: tuple[str, ...]
    delegation: Path
    fixed: Mapping[str, Any]
    reserved: tuple[str, ...]
    data_channel: Path
    client_events: tuple[str, ...]
    delegate_events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionLayout:
    """Where a vendor's session keeps what policy looks at. Paths lead to members below ``session``.

    ``name`` is how the admin chose the vendor, for errors. ``session_types`` are those that the vendor mints
    for. ``members`` are the session's own members that are known today. ``has_expiry`` tells whether a request
    may choose its secret's life, and ``reserved`` names members of a session in which a caller could choose it
    all the same. ``call_types`` are those that the vendor opens for a server that brings a client's offer.
    """

    name: str
    session_types: tuple[SessionType, ...]
    model: Path
    transcription_model: Path
    voice: Path
    output_limit: Path
    tools: Path
    prompt: Path
    tracing: Path
    mcp_destinations: tuple[str, ...]
    members: frozenset[str]
    has_expiry: bool = True
    reserved: tuple[str, ...] = ()
    call_types: tuple[SessionType, ...] = ()
    live: LiveLayout | None = None

    def is_live(self, model: str) -> bool:
        """Tell by its public name whether a model is one that only a call opens."""
        return self.live is not None and self.live.models.match(model) is not None

    def type_of(self, model: str) -> SessionType:
        """Tell by its public name for which type of session a model is."""
        if self.is_live(model):
            return "live"
        if "transcribe" in model or "whisper" in model:
            return "transcription"
        return "translation" if "translate" in model else "realtime"

    def model_path(self, session_type: SessionType) -> Path:
        """Return where a session of this type keeps its own model."""
        return self.transcription_model if session_type == "transcription" else self.model
