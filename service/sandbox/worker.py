"""gunicorn's threaded worker, which says goodbye to WebSockets and calls before it ends."""

from __future__ import annotations

import threading
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from service.sandbox.http.websockets import close_all


class SandboxWorker(ThreadWorker):  # type: ignore[misc] # gunicorn is untyped
    """Ends alike after every signal; closing takes a thread, since a signal handler must not wait."""

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End after SIGTERM."""
        threading.Thread(target=close_all, args=(self.wsgi,), daemon=True).start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End after SIGINT or SIGQUIT."""
        self.handle_exit(sig, frame)
