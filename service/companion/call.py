"""A call from the command line: WebRTC by ``aiortc``, which the sandbox's requirements bring.

The offer goes to ``POST /calls`` of the token service, sound and events straight to the vendor.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import av
import requests
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from service.companion.client import CompanionError, encode, request_bounded, text_turn, token_refusal

CONNECT_SECONDS: Final = 10.0
"""How long a call may take to connect; one that does not is ended again, since it costs all the same."""
CLOSE_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 2.0

_RATE: Final = 48_000
_FRAME: Final = _RATE // 50
_SAMPLE_BYTES: Final = 2


class Microphone(MediaStreamTrack):
    """Silence, after what a sound file holds; ``path`` may name any that FFmpeg reads."""

    kind = "audio"

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self._sound = _decode(path) if path else bytearray()
        self._began = 0.0
        self._samples = 0

    async def recv(self) -> av.AudioFrame:
        """Give the next 20 ms when they are due.

        Raises:
            MediaStreamError: the track has been stopped.
        """
        if self.readyState != "live":
            raise MediaStreamError
        self._began = self._began or time.monotonic()
        await asyncio.sleep(self._began + self._samples / _RATE - time.monotonic())
        frame = av.AudioFrame(format="s16", layout="mono", samples=_FRAME)
        frame.planes[0].update(
            bytes(self._sound[: _FRAME * _SAMPLE_BYTES]).ljust(_FRAME * _SAMPLE_BYTES, b"\0")
        )
        del self._sound[: _FRAME * _SAMPLE_BYTES]
        frame.sample_rate, frame.pts, frame.time_base = _RATE, self._samples, fractions.Fraction(1, _RATE)
        self._samples += _FRAME
        return frame


def _decode(path: Path) -> bytearray:
    sound = bytearray()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    with av.open(str(path)) as file:
        for frame in (*file.decode(audio=0), None):
            for part in resampler.resample(frame):
                sound += bytes(part.planes[0])[: part.samples * _SAMPLE_BYTES]
    return sound


@dataclass(frozen=True, slots=True)
class CallService:
    """The token service's routes of calls: ``url`` is its base, ``jwt`` the user's; ``ca_certs`` are to be trusted."""

    url: str
    jwt: str = field(repr=False)
    ca_certs: str | None = None

    def open(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Open a call.

        Raises:
            TokenRefusedError: the service refused.
            requests.RequestException: it could not be reached.
        """
        answer, content = self._ask("POST", "/calls", encode(body))
        if answer.status_code != HTTPStatus.CREATED:
            raise token_refusal(answer, content)
        opened: dict[str, Any] = json.loads(content)
        return opened

    def end(self, call_id: str) -> None:
        """End a call."""
        self._ask("DELETE", f"/calls/{call_id}")

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[requests.Response, bytes]:
        return request_bounded(method, self.url + path, self.jwt, body, seconds=30, ca_certs=self.ca_certs)


class CallSession:
    """An open call: ``send`` client events, ``receive`` server events."""

    def __init__(self, call: Mapping[str, Any], channel: RTCDataChannel) -> None:
        self.call = call
        self._channel = channel
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        channel.on("message", lambda message: self._events.put_nowait(json.loads(message)))
        self._closed = asyncio.Event()
        channel.on("close", self._close)

    def _close(self) -> None:
        self._closed.set()
        self._events.put_nowait(None)

    def send(self, event: Mapping[str, Any]) -> None:
        """Send one client event."""
        self._channel.send(json.dumps(event))

    async def receive(self, seconds: float) -> dict[str, Any] | None:
        """Return the next server event; ``None`` where the call has ended, or there was none for ``seconds``."""
        try:
            return await asyncio.wait_for(self._events.get(), seconds)
        except TimeoutError:
            return None

    async def await_close(self) -> None:
        """Wait for the vendor to close the session, 3 s at most.

        About a session that its client left first, the vendor answers the service with 404, which in a call's first
        two minutes may also mean that it is not connected yet.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), CLOSE_SECONDS)


@asynccontextmanager
async def opened_call(
    service: CallService, body: Mapping[str, Any], sound: Path | None = None
) -> AsyncIterator[CallSession]:
    """Open a call and connect it; at the end of the block it is ended. ``sound`` is said, then silence.

    Raises:
        TokenRefusedError: the service refused.
        CompanionError: no connection could be made.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTrack(Microphone(sound))
    channel = peer.createDataChannel("oai-events")
    connected = asyncio.Event()
    channel.on("open", connected.set)
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp
    if "a=candidate" not in sdp:
        raise CompanionError("WebRTC needs a network address, and this machine has none.")
    answer = await asyncio.to_thread(service.open, {**body, "sdp": sdp})
    session = CallSession(answer["call"], channel)
    try:
        await peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        try:
            await asyncio.wait_for(connected.wait(), CONNECT_SECONDS)
        except TimeoutError:
            raise CompanionError(f"The call did not connect within {CONNECT_SECONDS:g} s.") from None
        yield session
    finally:
        await asyncio.to_thread(service.end, answer["call"]["id"])
        if connected.is_set():
            await session.await_close()
        await peer.close()


async def converse(
    service: CallService, body: Mapping[str, Any], text: str, sound: Path | None
) -> AsyncGenerator[dict[str, Any], None]:
    """Say a text, or what a sound file holds, in a call, and yield the events until it is answered.

    A GPT-Live session accepts only audio, and does not say when its answer is complete: a pause of two seconds does.

    Raises:
        CompanionError: what ``opened_call`` says, or the call ended before the answer.
    """
    async with opened_call(service, body, sound) as session:
        is_live, answered = session.call["type"] == "live", False
        if is_live and sound is None:
            raise CompanionError("GPT-Live accepts only audio: give an audio file with --sound.")
        for said in text_turn(text) if sound is None else ():
            session.send(said)
        while event := await session.receive(PAUSE_SECONDS if answered else ANSWER_SECONDS):
            yield event
            answered = is_live and (answered or event.get("type") == "session.output_transcript.delta")
            if event.get("type") == "response.done":
                return
        if not answered:
            raise CompanionError("The call ended, or was silent, before there was an answer.")
