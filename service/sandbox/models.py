"""The models: what each is for, which settings it takes, and when the vendor shuts it down.

The one table that the whole sandbox reads. Sources, November 2026: the vendor's model pages, its list of deprecations
(https://developers.openai.com/api/docs/deprecations), the guides to transcription and turn detection, and the
docstrings of its Python SDK 3.57 (``AudioTranscription``, ``RealtimeSessionCreateRequest``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

Use = Literal["realtime", "live", "transcription", "translation"]
"""The type of session that a model is for."""

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_CREATED = 1756339200
_JANUARY, _FEBRUARY = "2027-01-20", "2027-02-26"


@dataclass(frozen=True, slots=True)
class Model:
    """One model.

    ``takes`` names the optional settings that a transcription model accepts. ``shutdown_date`` is announced by the
    vendor. ``bills_seconds`` says that its usage is told in seconds, not in tokens. With ``beta``, only the retired
    beta knew it.
    """

    name: str
    use: Use
    takes: frozenset[str] = frozenset()
    shutdown_date: str | None = None
    bills_seconds: bool = False
    beta: bool = False


OPENING_FAULTS = frozenset({"fault-lost", "fault-no-location", "fault-hangup-500", "fault-hangup-404"})
"""Names that open calls, of which something then fails (``faults``)."""

_WITH_PROMPT = frozenset({"turn_detection", "prompt", "language"})
_WITH_CONTEXT = frozenset({"prompt", "keywords", "languages", "language"})

MODELS = (
    Model("gpt-realtime-2.1", "realtime"),
    Model("gpt-realtime-2.1-mini", "realtime"),
    Model("gpt-realtime-2", "realtime"),
    Model("gpt-realtime-1.5", "realtime"),
    Model("gpt-realtime", "realtime", shutdown_date=_JANUARY),
    Model("gpt-realtime-mini", "realtime", shutdown_date=_JANUARY),
    Model("gpt-audio-1.5", "realtime"),
    Model("gpt-audio-mini", "realtime", shutdown_date=_JANUARY),
    Model("gpt-live-1.1", "live", bills_seconds=True),
    Model("gpt-live-1", "live", bills_seconds=True),
    Model("gpt-live-transcribe", "transcription", _WITH_CONTEXT | {"delay"}, bills_seconds=True),
    Model("gpt-transcribe", "transcription", _WITH_CONTEXT | {"turn_detection"}),
    Model("gpt-realtime-whisper", "transcription", frozenset({"language", "delay"}), bills_seconds=True),
    Model("gpt-4o-transcribe", "transcription", _WITH_PROMPT, _FEBRUARY),
    Model("gpt-4o-mini-transcribe", "transcription", _WITH_PROMPT, _FEBRUARY),
    Model("gpt-4o-transcribe-diarize", "transcription", _WITH_PROMPT - {"prompt"}, _FEBRUARY),
    Model("whisper-1", "transcription", _WITH_PROMPT, _FEBRUARY, bills_seconds=True),
    Model("gpt-realtime-translate", "translation", bills_seconds=True),
    Model("gpt-4o-realtime-preview", "realtime", beta=True),
    Model("gpt-4o-mini-realtime-preview", "realtime", beta=True),
)


def find(name: str, use: Use, *, beta: bool = False) -> Model | None:
    """Return the model for a type of session, or None; a dated snapshot counts as its model."""
    if name in OPENING_FAULTS:
        return Model(name, use)
    family = _SNAPSHOT.sub("", name)
    return next((m for m in MODELS if m.name == family and m.use == use and (beta or not m.beta)), None)


def names(use: Use) -> list[str]:
    """List the models for a type of session."""
    return [model.name for model in MODELS if model.use == use and not model.beta]


def listing(*, beta: bool) -> list[dict[str, Any]]:
    """Build the ``data`` of ``GET /v1/models``."""
    common = {"object": "model", "created": _CREATED, "owned_by": "system"}
    return [
        {"id": model.name, **common, "shutdown_date": model.shutdown_date}
        for model in MODELS
        if beta or not model.beta
    ]
