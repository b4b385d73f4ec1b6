"""One WebRTC connection to a client: audio both ways, and a data channel for events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler

from service.sandbox.webrtc.offers import InvalidOfferError
from service.sandbox.webrtc.playout import Playout, VoiceTrack

CHANNEL_LABEL = "oai-events"
_OPUS = [
    codec
    for codec in getattr(RTCRtpReceiver.getCapabilities("audio"), "codecs", [])
    if codec.mimeType.lower() == "audio/opus"
]
_RATE = 24_000
PAUSE_SECONDS = 0.2
"""A client that sends nothing for so long is silent: turns of speech end then, too."""

_MAX_CHANNELS = 4
_MAX_MESSAGE_BYTES = 256 * 1024
_CLOSE_SECONDS = 5.0
_FLUSH_TURNS, _FLUSH_SECONDS = 50, 0.01


@dataclass(frozen=True, slots=True)
class PeerEvents:
    """What a peer tells, on the peers' loop, so that nothing here may wait.

    ``connected`` once media can flow, ``gone`` when it no longer can, ``channel_open`` when events can be sent,
    ``message`` for each one received, ``audio`` for each frame of sound as it arrives, and None for each
    ``PAUSE_SECONDS`` without any.
    """

    connected: Callable[[], None]
    gone: Callable[[], None]
    channel_open: Callable[[], None]
    message: Callable[[str | bytes], None]
    audio: Callable[[AudioFrame | None], None]


class Peer:
    """A connection; all methods belong to the peers' loop."""

    def __init__(self, playout: Playout, events: PeerEvents) -> None:
        self._events = events
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._voice = VoiceTrack(playout)
        self._channel: RTCDataChannel | None = None
        self._channels = 0
        self._listening: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._connection.on("track", self._on_track)
        self._connection.on("datachannel", self._on_channel)
        self._connection.on("connectionstatechange", self._on_state)

    @property
    def connected(self) -> bool:
        """Whether media can flow."""
        return bool(self._connection.connectionState == "connected")

    async def answer(self, offer: str, *, channel_id: int | None = None) -> str:
        """Answer an offer; ``channel_id`` is that of a data channel that both sides have agreed on before.

        Raises:
            InvalidOfferError: where it cannot be answered.
        """
        try:
            self._connection.addTrack(self._voice)
            self._connection.getTransceivers()[0].setCodecPreferences(_OPUS)
            await self._connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            for transceiver in self._connection.getTransceivers():
                if transceiver.kind != "audio":
                    transceiver.direction = "inactive"
            if channel_id is not None:
                agreed = self._connection.createDataChannel(CHANNEL_LABEL, negotiated=True, id=channel_id)
                self._on_channel(agreed)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:
            await self.close()
            raise InvalidOfferError(f"it cannot be negotiated ({type(error).__name__})") from error
        return str(self._connection.localDescription.sdp)

    def send(self, message: str) -> None:
        """Send an event to the client, if its data channel is open."""
        if self._channel and self._channel.readyState == "open":
            self._channel.send(message)

    async def close(self) -> None:
        """End the connection, and let everything of it go."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        """Let the last events reach the client, and end."""
        if self._listening:
            self._listening.cancel()
        self._voice.stop()
        for _ in range(_FLUSH_TURNS):
            if not (self._channel and self._channel.readyState == "open" and self._channel.bufferedAmount):
                break
            await asyncio.sleep(_FLUSH_SECONDS)
        await asyncio.wait({asyncio.ensure_future(self._connection.close())}, timeout=_CLOSE_SECONDS)

    def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._events.connected()
        elif state in {"failed", "closed"}:
            self._events.gone()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            self._listening = asyncio.ensure_future(self._listen(track))

    def _on_channel(self, channel: RTCDataChannel) -> None:
        """Take the first data channel for events; a client needs no other."""
        self._channels += 1
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        if channel.readyState == "open":
            self._events.channel_open()
        else:
            channel.on("open", self._events.channel_open)

    def _on_message(self, message: str | bytes) -> None:
        if len(message) <= _MAX_MESSAGE_BYTES:
            self._events.message(message)

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                async with asyncio.timeout(PAUSE_SECONDS):
                    frame: Any = await track.recv()
            except TimeoutError:
                if self.connected:
                    self._events.audio(None)
                continue
            except MediaStreamError:
                return
            self._events.audio(frame)


class Ear:
    """Brings a client's sound into the format that sessions hear: PCM of 16 bits, 24 kHz, mono.

    Apart from the peer, since it is work for another thread than that of the peers' loop.
    """

    def __init__(self) -> None:
        self._resampler = AudioResampler(format="s16", layout="mono", rate=_RATE)

    def hear(self, frame: AudioFrame | None) -> bytes:
        """Convert a frame; None is the silence of a client that sends nothing."""
        if frame is None:
            return bytes(int(_RATE * PAUSE_SECONDS) * 2)
        heard = self._resampler.resample(frame)
        return b"".join(bytes(part.planes[0])[: part.samples * 2] for part in heard)
