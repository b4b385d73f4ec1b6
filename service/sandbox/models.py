"""The models that the sandbox pretends to have, with what each is for."""

from __future__ import annotations

import re
from typing import Any

CONVERSATION = (
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2",
    "gpt-realtime-1.5",
    "gpt-realtime",
    "gpt-realtime-mini",
    "gpt-audio-1.5",
    "gpt-audio-mini",
)
TRANSCRIPTION = (
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-realtime-whisper",
    "gpt-live-transcribe",
    "gpt-transcribe",
    "whisper-1",
)
TRANSLATION = ("gpt-realtime-translate",)
LIVE = ("gpt-live-1", "gpt-live-1.1")
BETA = ("gpt-4o-realtime-preview", "gpt-4o-mini-realtime-preview")
"""Gone from today's API; a beta server still knows them."""

SHUTDOWN = {"gpt-realtime": "2027-01-20", "gpt-realtime-mini": "2027-01-20"}
"""Announced by the vendor, which lists the date beside the model."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_CREATED = 1756339200


def is_known(model: str, *, beta: bool) -> bool:
    """Whether a conversation may be held with a model; dated snapshots count as their model."""
    family = _SNAPSHOT.sub("", model)
    return family in CONVERSATION or (beta and family in BETA)


OPENING_FAULTS = frozenset({"fault-lost", "fault-no-location", "fault-hangup-500", "fault-hangup-404"})
"""Names that open a call, of which something then fails."""


def is_live(model: str) -> bool:
    """Whether a Live session may be held with a model."""
    return _SNAPSHOT.sub("", model) in LIVE or model in OPENING_FAULTS


def may_open(model: str, *, beta: bool) -> bool:
    """Whether a Realtime call may be opened with a model."""
    return is_known(model, beta=beta) or model in OPENING_FAULTS


def is_translation(model: str) -> bool:
    """Whether a model translates."""
    return _SNAPSHOT.sub("", model) in TRANSLATION


def listing(*, beta: bool) -> list[dict[str, Any]]:
    """The answer of ``GET /v1/models``."""
    names = [*CONVERSATION, *LIVE, *TRANSCRIPTION, *TRANSLATION, *(BETA if beta else ())]
    common = {"object": "model", "created": _CREATED, "owned_by": "system"}
    return [{"id": name, **common, "shutdown_date": SHUTDOWN.get(name)} for name in names]
