"""A WebSocket client for tests: it keeps what it is told, and how it was closed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import requests
import websocket

KEY = {"Authorization": "Bearer sk-test"}
CREATE = {"type": "response.create"}

Event = dict[str, Any]


def mint(base_url: str, path: str = "/realtime/client_secrets", **body: Any) -> str:
    """Mint a secret with the company's key."""
    answer = requests.post(base_url + path, json=body, headers=KEY, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["value"])


def bearing(credential: str) -> dict[str, Any]:
    """Authenticate as servers do."""
    return {"header": [f"Authorization: Bearer {credential}"]}


def offering(secret: str, *more: str) -> dict[str, Any]:
    """Authenticate as insecure clients do."""
    return {"subprotocols": ["realtime", f"openai-insecure-api-key.{secret}", *more]}


class Line:
    """One open WebSocket."""

    def __init__(self, ws: websocket.WebSocket) -> None:
        self.ws = ws
        self.events: list[Event] = []
        self.closed: tuple[int, str] | None = None

    def send(self, event: Event) -> None:
        """Send one event."""
        self.ws.send(json.dumps(event))

    def listen(self, until: Callable[[Event], bool] = lambda _: False) -> list[Event]:
        """Read events until one is as it should be, or the server closes."""
        while self.closed is None:
            opcode, data = self.ws.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                self.closed = int.from_bytes(data[:2], "big"), data[2:].decode()
                break
            event = json.loads(data)
            self.events.append(event)
            if until(event):
                break
        return self.events

    def until(self, kind: str) -> Event:
        """Read up to the next event of a type, and return it."""
        self.listen(lambda event: event["type"] == kind)
        assert self.events[-1]["type"] == kind, self.events[-1]
        return self.events[-1]


@contextmanager
def line(base_url: str, query: str = "?model=gpt-realtime-2.1", **options: Any) -> Iterator[Line]:
    """Open a WebSocket below ``/v1/realtime``."""
    url = base_url.replace("http", "ws", 1) + "/realtime" + query
    ws = websocket.create_connection(url, timeout=10, **options)
    try:
        yield Line(ws)
    finally:
        ws.close(timeout=1)
        ws.shutdown()  # type: ignore[no-untyped-call] # it is untyped in an otherwise typed library
