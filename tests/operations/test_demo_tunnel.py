"""A WebSocket through the demo ends when one of its sides is silent, or does not read."""

from __future__ import annotations

import pytest

from tests.support.processes import run_program


@pytest.mark.parametrize("client", ["is silent", "does not read"])
def test_a_client_that_has_gone_without_a_word_holds_no_place(client: str) -> None:
    """A phone that lost its network closes nothing."""
    program = f"""
        from gevent import monkey
        monkey.patch_all()
        import socket, threading, time
        from service.demo import front

        front.SILENT_SECONDS = 0.5
        reads = {client == "is silent"}
        listener = socket.create_server(("127.0.0.1", 0))
        ours, theirs = socket.socketpair()

        class Connection:
            def take_over(self):
                return ours, b""

        def serve():
            sandbox, _ = listener.accept()
            while True:
                sandbox.sendall(b"x" * 100_000)
                time.sleep(0.01)

        def read():
            while theirs.recv(65_536):
                pass

        threading.Thread(target=serve, daemon=True).start()
        if reads:
            threading.Thread(target=read, daemon=True).start()
        environ = {{
            "PATH_INFO": "/sandbox/v1/realtime", "HTTP_UPGRADE": "websocket", "gunicorn.socket": Connection()
        }}
        begun = time.monotonic()
        try:
            front.hand_on(environ, print, listener.getsockname()[1])
        except StopIteration:
            assert time.monotonic() - begun >= 0.4
        else:
            raise AssertionError("gunicorn would answer")
    """
    run_program(program)
