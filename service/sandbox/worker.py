"""gunicorn's threaded worker, which says goodbye to WebSockets and calls before it ends."""

from __future__ import annotations

import threading
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from service.sandbox.http.websockets import close_all

_GOODBYE_SECONDS = 0.5


class SandboxWorker(ThreadWorker):  # type: ignore[misc] # gunicorn is untyped
    """Ends alike after every signal; closing takes a thread, since a signal handler must not wait."""

    _goodbye: threading.Thread | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End after SIGTERM."""
        if self._goodbye is None:
            self._goodbye = threading.Thread(target=close_all, args=(self.wsgi,), daemon=True)
            self._goodbye.start()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End after SIGINT or SIGQUIT."""
        self.handle_exit(sig, frame)

    def run(self) -> None:
        """Serve, and leave when everybody was told, or after a moment."""
        super().run()
        if self._goodbye is not None:
            self._goodbye.join(_GOODBYE_SECONDS)
