"""gunicorn's gevent worker, which closes open WebSockets before it ends."""

from __future__ import annotations

from typing import Any

import gevent
from gunicorn.workers.ggevent import GeventWorker

from service.sandbox.http.websockets import close_all


class SandboxWorker(GeventWorker):  # type: ignore[misc] # gunicorn is untyped
    """Closes every WebSocket before it goes; from a greenlet, since a signal handler must not wait."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End after SIGTERM."""
        gevent.spawn(close_all, self.wsgi)
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End after SIGINT or SIGQUIT."""
        gevent.spawn(close_all, self.wsgi)
        super().handle_quit(sig, frame)
