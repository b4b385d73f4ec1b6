"""websocket-client in the beta: the key and the beta's header, then one response in text."""

import json
import os

import websocket

URL = os.environ["REALTIME_URL"] + "?model=gpt-4o-realtime-preview-2024-12-17"
HEADERS = [f"Authorization: Bearer {os.environ['OPENAI_API_KEY']}", "OpenAI-Beta: realtime=v1"]


def on_open(socket: websocket.WebSocketApp) -> None:
    """Ask for the response."""
    response = {"modalities": ["text"], "instructions": "Help the user along."}
    socket.send(json.dumps({"type": "response.create", "response": response}))


def on_message(socket: websocket.WebSocketApp, message: str) -> None:
    """Follow it to its end."""
    event = json.loads(message)
    print(event["type"])  # noqa: T201 - what the test reads
    if event["type"] in {"response.done", "error"}:
        socket.close()


websocket.WebSocketApp(URL, header=HEADERS, on_open=on_open, on_message=on_message).run_forever()
