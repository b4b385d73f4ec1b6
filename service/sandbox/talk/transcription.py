"""Transcription sessions: everything that listens, and nothing that answers."""

from __future__ import annotations

from service.sandbox.talk.listening import Listening


class Transcription(Listening):
    """Speech in, text out; turns are found, written down and not replied to."""
