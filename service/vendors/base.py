"""What every vendor has in common: where a session keeps the members that policy looks at. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from service.core.model import SessionType

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SessionLayout:
    """Where a vendor's session keeps what policy looks at. Paths lead to members below ``session``.

    ``name`` is how the admin chose the vendor, for errors. ``session_types`` are those that the vendor mints
    for. ``members`` are the session's own members that are known today. ``has_expiry`` tells whether a request
    may choose its secret's life, and ``reserved`` names members of a session in which a caller could choose it
    all the same.
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

    def model_path(self, session_type: SessionType) -> Path:
        """Return where a session of this type keeps its own model."""
        return self.transcription_model if session_type == "transcription" else self.model
