"""Sessions whose audio is on media tracks, as a call sees them: events and sound, in and out."""

from __future__ import annotations

from typing import Literal, Protocol

from service.sandbox.sessions.events import Event

Source = Literal["data_channel", "sideband"]
EndedBy = Literal["hangup", "sideband", "data_channel", "peer", "expired", "reset"]

CloseReason = Literal["close_requested", "expired", "content", "remote_hangup", "connection_lost"]
"""Why a Live session closed."""


class Output(Protocol):
    """Where a session's voice goes; ``played_ms`` is what of its latest sound was heard."""

    @property
    def sounding(self) -> bool:
        """Whether there is sound that was not heard completely."""

    @property
    def played_ms(self) -> int:
        """Return how many milliseconds of the latest sound were heard."""

    def play(self, pcm: bytes) -> None:
        """Add sound (16 bits, 24 kHz, mono)."""

    def begin(self) -> None:
        """Say that what follows is another sound: the one before is over when it is heard."""

    def finish(self) -> None:
        """Say that the sound is complete."""

    def clear(self) -> bool:
        """Stop the sound at once; return whether there was any."""


class MediaSession(Protocol):
    """A session as a call sees it: events and sound, in and out.

    ``ended_by`` is None as long as nothing has ended the session, or where its time was up.
    """

    ended_by: EndedBy | None

    @property
    def ended(self) -> bool:
        """Whether the session is over."""

    def open(self) -> list[Event]:
        """Return the events that begin the session."""

    def connected(self) -> list[Event]:
        """Handle that media flows."""

    def channel_opened(self) -> list[Event]:
        """Return what the data channel alone is told when it opens."""

    def disconnected(self) -> list[Event]:
        """Handle that the client is gone."""

    def receive(self, message: str | bytes, source: Source) -> list[Event]:
        """Handle a message."""

    def hear(self, audio: bytes) -> list[Event]:
        """Handle sound (16 bits, 24 kHz, mono)."""

    def playback(self, change: Literal["started", "stopped"]) -> list[Event]:
        """Handle that the voice began, or stopped, to be heard."""

    def end(self, by: EndedBy, reason: CloseReason = "close_requested") -> list[Event]:
        """Begin to end the session; ``reason`` is told where the vendor tells one."""

    def due_in(self) -> float | None:
        """Return the seconds until there is something to send, or None if nothing is scheduled."""

    def advance(self) -> list[Event]:
        """Return all events that are due."""

    def on_data_channel(self, kind: str) -> bool:
        """Return whether events of a type go to the client."""
