"""A WebRTC client on aiortc, as a program: ``python -m tests.support.webrtc_client [--dcid N] [--calls N]``.

It reads JSON lines (``answer``, ``send``, ``say``, ``stats``, ``close``) and writes them (``offer``, ``state``,
``event``, ``channel``, ``sound``, ``stats``), so that a test drives it, and its event loop is nobody's but its own.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import fractions
import json
import sys
import time
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame, AudioResampler

RATE = 48_000
FRAME = RATE // 50
LOUD = 500


def tell(kind: str, call: int, **members: Any) -> None:
    """Write one line."""
    sys.stdout.write(json.dumps({"kind": kind, "call": call, "at": time.monotonic(), **members}) + "\n")
    sys.stdout.flush()


class Microphone(MediaStreamTrack):
    """Silence, but for what it is given to say: a WAV file, once."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._speech = bytearray()
        self._started = 0.0
        self._samples = 0

    def say(self, path: Path) -> None:
        """Add a WAV file of 16 bits, mono."""
        with wave.open(str(path)) as file:
            rate, sound = file.getframerate(), file.readframes(file.getnframes())
        frame = AudioFrame(format="s16", layout="mono", samples=len(sound) // 2)
        frame.planes[0].update(sound)
        frame.sample_rate = rate
        resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            self._speech += bytes(part.planes[0])[: part.samples * 2]

    async def recv(self) -> AudioFrame:
        """Give the next 20 ms when they are due."""
        if self.readyState != "live":
            raise MediaStreamError
        if not self._started:
            self._started = time.monotonic()
        await asyncio.sleep(self._started + self._samples / RATE - time.monotonic())
        sound = bytes(self._speech[: FRAME * 2]).ljust(FRAME * 2, b"\0")
        del self._speech[: FRAME * 2]
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(sound)
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._samples, fractions.Fraction(1, RATE)
        self._samples += FRAME
        return frame


class Client:
    """One peer connection."""

    def __init__(self, number: int, dcid: int | None) -> None:
        self.number = number
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.frames: list[tuple[float, int]] = []
        self.loud = False
        self.connection.addTrack(self.microphone)
        negotiated: dict[str, Any] = {} if dcid is None else {"negotiated": True, "id": dcid}
        self.channel: RTCDataChannel = self.connection.createDataChannel("oai-events", **negotiated)
        self.channel.on("open", lambda: tell("channel", number, state="open"))
        self.channel.on("close", lambda: tell("channel", number, state="closed"))
        self.channel.on("message", lambda message: tell("event", number, event=json.loads(message)))
        self.connection.on("track", self._on_track)
        self.connection.on(
            "connectionstatechange", lambda: tell("state", number, state=self.connection.connectionState)
        )

    async def offer(self) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        tell("offer", self.number, sdp=self.connection.localDescription.sdp)

    async def take(self, command: dict[str, Any]) -> None:
        match command:
            case {"answer": sdp}:
                await self.connection.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            case {"send": message}:
                self.channel.send(message if isinstance(message, str) else json.dumps(message))
            case {"say": path}:
                self.microphone.say(Path(path))
            case {"stats": since}:
                loud = [at for at, level in self.frames if level > LOUD and at >= since]
                at = [at for at, _ in self.frames if at >= since]
                tell(
                    "stats",
                    self.number,
                    frames=len(self.frames),
                    loud=len(loud),
                    longest_gap=max((after - before for before, after in pairwise(at)), default=0.0),
                    own_delay=max((late for when, late in DELAYS if when >= since), default=0.0),
                )
            case {"close": _}:
                await self.connection.close()
                tell("state", self.number, state="closed")

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            level = max(map(abs, array.array("h", bytes(frame.planes[0])[: frame.samples * 4])), default=0)
            self.frames.append((time.monotonic(), level))
            if (level > LOUD) != self.loud:
                self.loud = level > LOUD
                tell("sound", self.number, loud=self.loud)


DELAYS: list[tuple[float, float]] = []


async def watch_delays() -> None:
    """Note how late this process itself gets to run, which is nothing that the sandbox could change."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.01)
        DELAYS.append((before, time.monotonic() - before - 0.01))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dcid", type=int)
    parser.add_argument("--calls", type=int, default=1)
    options = parser.parse_args()
    watching = asyncio.ensure_future(watch_delays())
    clients = [Client(number, options.dcid) for number in range(options.calls)]
    for client in clients:
        await client.offer()
    reader = asyncio.StreamReader(limit=2**20)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        command = json.loads(line)
        await clients[command.pop("call", 0)].take(command)
    watching.cancel()
    for client in clients:
        await client.connection.close()


if __name__ == "__main__":
    asyncio.run(main())
