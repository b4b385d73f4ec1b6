"""The Procfile's line, as a host runs it: by a shell, and ended by a signal to what the host started."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, ROOT, Running, accepts_connections, free_port, running
from tests.support.service import service_environ


@pytest.mark.parametrize("asked", ["", " ", "1"], ids=["empty", "blank", "set"])
def test_the_procfiles_line_serves_and_a_signal_to_it_reaches_the_server(asked: str) -> None:
    """A shell that stays between would take the SIGTERM and leave the server running."""
    port = free_port()
    line = (ROOT / "Procfile").read_text().partition("web:")[2].strip()
    environ = service_environ("http://127.0.0.1:1/v1", PORT=str(port), WEB_CONCURRENCY=asked)
    environ["PATH"] = os.pathsep.join([str(Path(PYTHON).parent), environ["PATH"]])

    def is_ready(_: Running) -> bool:
        return accepts_connections(port)

    with running(("sh", "-c", line), environ=environ, ready=is_ready) as web:
        assert b"gunicorn" in Path(f"/proc/{web.pid}/cmdline").read_bytes().split(b"\0")
        web.process.terminate()
        assert web.wait() == 0
        assert not accepts_connections(port)
