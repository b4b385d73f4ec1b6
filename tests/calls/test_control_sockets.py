"""Control sockets over real WebSockets: bounded in time, closed after use, and silent about the key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response as Refusal
from websockets.sync.server import ServerConnection, serve

from service.vendors.control_sockets import ControlSocketError, ControlSockets
from service.vendors.credentials import ApiKey
from service.vendors.network import Network

KEY = "sk-marked-key-0123456789"


@contextmanager
def vendor(handle: Callable[[ServerConnection], None], status: int | None = None) -> Iterator[ControlSockets]:
    """Serve WebSockets on a free port; with a status each upgrade is refused."""

    def refuse(_: ServerConnection, request: Any) -> Refusal | None:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert "Origin" not in request.headers
        return Refusal(status, "No", Headers(), b"") if status else None

    with serve(handle, "127.0.0.1", 0, process_request=refuse) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = server.socket.getsockname()[1]
        yield ControlSockets(f"http://127.0.0.1:{port}/v1", credential=ApiKey(KEY), network=Network())
        server.shutdown()
        thread.join()


def read(message: str) -> str | None:
    return message if message == "closed" else None


def test_a_message_is_sent_and_the_answer_found_among_others() -> None:
    seen: list[Any] = []
    left = threading.Event()

    def handle(connection: ServerConnection) -> None:
        seen.append(connection.recv())
        for message in ("audio", b"\xff", "closed"):
            connection.send(message)
        with pytest.raises(ConnectionClosed):
            connection.recv()
        left.set()

    with vendor(handle) as sockets:
        assert sockets.send("/x", "close", read, seconds=5) == "closed"
        assert left.wait(5)
    assert seen == ["close"]


def test_it_is_closed_right_after_its_upgrade_where_only_that_is_asked() -> None:
    left = threading.Event()

    def handle(connection: ServerConnection) -> None:
        with pytest.raises(ConnectionClosed):
            connection.recv()
        left.set()

    with vendor(handle) as sockets:
        assert sockets.is_open("/x", seconds=5)
        assert left.wait(5)


@pytest.mark.parametrize(("status", "found"), [(404, False), (401, None), (500, None)])
def test_only_a_404_says_that_there_is_no_session(status: int, found: bool | None) -> None:
    with vendor(lambda _: None, status) as sockets:
        if found is False:
            assert not sockets.is_open("/x", seconds=5)
            return
        with pytest.raises(ControlSocketError) as refused:
            sockets.is_open("/x", seconds=5)
        assert refused.value.status == status
        assert KEY not in str(refused.value)


@pytest.mark.parametrize("dripping", [False, True], ids=["silent", "dripping"])
def test_one_that_never_confirms_is_given_up_in_time(dripping: bool) -> None:
    def handle(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                connection.send("audio") if dripping else connection.recv()
                time.sleep(0.05)

    with vendor(handle) as sockets:
        began = time.monotonic()
        with pytest.raises(ControlSocketError, match="did not confirm within"):
            sockets.send("/x", "close", read, seconds=0.5)
        assert time.monotonic() - began < 3


def test_one_that_closes_without_confirming_is_an_error() -> None:
    with vendor(lambda connection: connection.close()) as sockets, pytest.raises(ControlSocketError):
        sockets.send("/x", "close", read, seconds=5)


def test_a_vendor_that_is_not_there_is_an_error() -> None:
    sockets = ControlSockets("http://127.0.0.1:1/v1", credential=ApiKey(KEY), network=Network())
    with pytest.raises(ControlSocketError, match="ConnectionRefusedError"):
        sockets.is_open("/x", seconds=5)


def test_a_redirect_is_not_followed() -> None:
    with vendor(lambda _: None, 302) as sockets, pytest.raises(ControlSocketError):
        sockets.is_open("/x", seconds=5)
