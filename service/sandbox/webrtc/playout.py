"""The sandbox's voice on a track: speech in real time while there is some, silence all the rest of the time."""

from __future__ import annotations

import asyncio
import fractions
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, CodecContext
from av.packet import Packet

FRAME_MS = 20
_INPUT_RATE = 24_000
_FRAME_SAMPLES = _INPUT_RATE * FRAME_MS // 1000
_FRAME_BYTES = _FRAME_SAMPLES * 2
_RTP_RATE = 48_000
_RTP_SAMPLES = _RTP_RATE * FRAME_MS // 1000
_BIT_RATE = 32_000
_SILENCE = b"\xf8\xff\xfe"
"""20 ms of silence in Opus: a table of contents for CELT at full band, and nothing in the frame (RFC 6716)."""

_LATEST_SECONDS = 0.2
"""A track that is later than this, on a machine that was suspended, starts anew in place of catching up."""

Change = Literal["started", "stopped"]


class Playout:
    """Speech that waits to be heard.

    ``changed`` is told, from the track's thread, when sound begins to be sent and when all of it was; ``sent`` is
    given each 20 ms of PCM (16 bits, 24 kHz, mono) as it is sent, silence included. Its methods may be called from any
    thread.
    """

    def __init__(
        self, changed: Callable[[Change], None] = lambda _: None, sent: Callable[[bytes], None] | None = None
    ) -> None:
        self._changed = changed
        self._sent = sent
        self._lock = threading.Lock()
        self._encoder = _encoder()
        self._pending = bytearray()
        # Each in Opus and in PCM, and whether another sound begins with it.
        self._frames: deque[tuple[bytes, bytes, bool]] = deque()
        self._begins = False
        self._sounding = False
        self._finished = True
        self._played_frames = 0

    @property
    def sounding(self) -> bool:
        """Whether sound is being sent, or about to be."""
        with self._lock:
            return self._sounding or bool(self._frames)

    @property
    def played_ms(self) -> int:
        """How much was sent since the sound last began."""
        with self._lock:
            return self._played_frames * FRAME_MS

    def play(self, pcm: bytes) -> None:
        """Add PCM (16 bits, 24 kHz, mono) behind what is there."""
        with self._lock:
            self._finished = False
            self._pending += pcm
            while len(self._pending) >= _FRAME_BYTES:
                self._encode(bytes(self._pending[:_FRAME_BYTES]))
                del self._pending[:_FRAME_BYTES]

    def begin(self) -> None:
        """Say that what follows is another sound, which begins when the one before has been sent."""
        self.finish()
        with self._lock:
            self._begins = True

    def finish(self) -> None:
        """Say that nothing follows what was added so far: once it is sent, the sound has stopped."""
        with self._lock:
            if self._pending:
                self._encode(bytes(self._pending).ljust(_FRAME_BYTES, b"\0"))
                self._pending.clear()
            self._finished = True

    def clear(self) -> bool:
        """Drop everything that was not sent; tell whether there was sound to stop."""
        with self._lock:
            was_sounding = self._sounding or bool(self._frames) or bool(self._pending)
            self._frames.clear()
            self._pending.clear()
            self._sounding, self._finished, self._begins = False, True, False
        return was_sounding

    def take(self) -> bytes:
        """Give the next 20 ms in Opus, to be sent now."""
        changes: list[Change] = []
        with self._lock:
            was_sounding = self._sounding
            if self._frames:
                packet, pcm, begins = self._frames.popleft()
                if begins or not was_sounding:
                    self._sounding, self._played_frames = True, 0
                    changes = ["stopped", "started"] if was_sounding else ["started"]
                self._played_frames += 1
            else:
                packet, pcm = _SILENCE, bytes(_FRAME_BYTES)
                if was_sounding and self._finished:
                    self._sounding, changes = False, ["stopped"]
        for change in changes:
            self._changed(change)
        if self._sent:
            self._sent(pcm)
        return packet

    def _encode(self, pcm: bytes) -> None:
        frame = AudioFrame(format="s16", layout="mono", samples=_FRAME_SAMPLES)
        frame.planes[0].update(pcm)
        frame.sample_rate = _INPUT_RATE
        for packet in self._encoder.encode(frame):
            self._frames.append((bytes(packet), pcm, self._begins))
            self._begins = False


class VoiceTrack(MediaStreamTrack):
    """What a playout holds, a packet each 20 ms, for as long as the track lives."""

    kind = "audio"

    def __init__(self, playout: Playout) -> None:
        super().__init__()
        self._playout = playout
        self._next = 0.0
        self._timestamp = 0

    async def recv(self) -> Packet[Any]:
        """Wait until the next packet is due, and give it."""
        if self.readyState != "live":
            raise MediaStreamError
        now = asyncio.get_running_loop().time()
        if now - self._next > _LATEST_SECONDS:
            self._next = now
        await asyncio.sleep(max(0.0, self._next - now))
        self._next += FRAME_MS / 1000
        packet: Packet[Any] = Packet(self._playout.take())
        packet.pts = self._timestamp
        packet.time_base = fractions.Fraction(1, _RTP_RATE)
        self._timestamp += _RTP_SAMPLES
        return packet


def _encoder() -> Any:
    encoder: Any = CodecContext.create("libopus", "w")
    encoder.format, encoder.layout = "s16", "mono"
    encoder.sample_rate, encoder.bit_rate = _INPUT_RATE, _BIT_RATE
    encoder.thread_count = 1  # FFmpeg would start a thread for each processor, for 20 ms of sound
    encoder.options = {"application": "voip", "frame_duration": str(FRAME_MS)}
    return encoder
