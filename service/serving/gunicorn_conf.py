"""How gunicorn serves: ``gunicorn --config python:service.gunicorn_conf wsgi:app``.

Read by the master before the first fork, so a wrong environment ends here, with every problem listed;
a refusal in ``wsgi.py`` would make gunicorn start workers again for ever.
"""

import gc

# Until `_freeze_startup_objects`: imports leave little to find, and by default a tenth of the start went to looking.
gc.set_threshold(20_000)

from gevent import monkey

monkey.patch_all()  # Before anything else is imported: a late patch warns and only half works.

# ruff: noqa: E402 - see above
import atexit
import contextlib
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import structlog
from gunicorn.config import Config
from gunicorn.glogging import Logger

from service.core.environment import ConfigurationError
from service.core.environment_types import authority
from service.observe import logs
from service.serving.refusal import MAX_FIELD_BYTES, MAX_LINE_BYTES
from service.serving.summary import summary
from service.settings import process_settings


class GunicornLogger(Logger):  # type: ignore[misc]  # gunicorn carries no types
    """Sends gunicorn's lines to the root logger, and writes no access log.

    It stands here since gunicorn reads ``WEB_CONCURRENCY`` when it is imported, and ends where that is no number:
    no command may import it.
    """

    def setup(self, cfg: Config) -> None:
        """Take the place of gunicorn's own handlers."""
        self.cfg = cfg
        self.error_log.propagate = True

    def access(self, *_: Any) -> None:
        """Write nothing: each request has its own line already."""


try:
    settings = process_settings()
except ConfigurationError as error:
    sys.exit(str(error))

logs.configure_once(settings.observe, settings.secrets)

# Memory, where the host has a folder for it: heartbeats and metrics must not wait for a disk.
_memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - each makes files of mode 0600 there

bind = authority(settings.server.host, settings.server.port)
workers = settings.processes
worker_class = "service.serving.gunicorn_worker.Worker"
worker_connections = settings.server.web_connections
preload_app = False  # each worker makes its own app, and with it its own connections

# A router keeps idle connections for up to 90 s; closing earlier races with its next request.
keepalive = 95
_MARGIN = 1.0
"""Seconds before gunicorn kills a worker, in which it ends by itself."""

_OBJECTS_BETWEEN_COLLECTIONS = 2000

# The platform kills after 30 s: leave it time to see us go.
graceful_timeout = 22
# Watches that a worker's loop turns; it does not bound a request.
timeout = 30
worker_tmp_dir = _memory

limit_request_line = MAX_LINE_BYTES
limit_request_field_size = MAX_FIELD_BYTES
# Files are sent as all other answers are, since only those have a bound on the client that does not read.
sendfile = False
# SCRIPT_NAME and PATH_INFO from a client would be believed otherwise, and end in a 500.
forwarder_headers = ""
# The scheme is not read anywhere and addresses are counted by TRUSTED_PROXY_HOPS: trust no header here.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
# The control socket fails on read-only homes, and nothing uses it.
control_socket_disable = True

logger_class = GunicornLogger
accesslog = None  # the service writes its own line a request, without query strings

# A request in flight holds two connections, and many hosts start processes with 1,024 files.
_, _most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
with contextlib.suppress(ValueError, OSError):  # macOS refuses the unlimited number that it names
    resource.setrlimit(resource.RLIMIT_NOFILE, (_most_files, _most_files))


def _remove(folder: str, *, process: int) -> None:
    """Leave no numbers behind, however this process ends; its workers end while others still count."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


_metrics_folder = None
if settings.observe.metrics_token:
    # Always a fresh one: what an earlier run left would be added to this one's numbers.
    _metrics_folder = tempfile.mkdtemp(prefix=f"token-service-metrics-{os.getpid()}-", dir=_memory)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = _metrics_folder
    atexit.register(_remove, _metrics_folder, process=os.getpid())


def on_starting(server: Any) -> None:
    """Log once what is in force, and what the admin should look at."""
    structlog.get_logger().info("settings in force", **summary(settings))
    for warning in settings.warnings():
        server.log.warning(warning)
    _import_for_workers()
    _freeze_startup_objects()


def nworkers_changed(server: Any, new: int, _old: int | None) -> None:
    """Keep one process where limits are counted in its memory, whatever ``--workers`` or a signal asks for."""
    if settings.store.is_memory and new > 1:
        server.log.warning(
            "RATE_LIMIT_STORAGE_URL: limits are counted in one process's memory, so one process serves instead of %s;"
            " set it to the URL of a Redis to start more",
            new,
        )
        server.cfg.set("workers", 1)  # SIGHUP starts as many as this says
        server.num_workers = 1


def _import_for_workers() -> None:
    """Import what workers run before they are forked, so that they share its pages with this process.

    The app itself is made by each worker.
    """
    import encodings.idna  # noqa: F401, PLC0415 - what the first connection by name would import

    import service.app  # noqa: PLC0415 - brings prometheus_client, which reads the variable above when it is imported

    if settings.uses_requests:
        import service.vendors.outbound  # noqa: F401, PLC0415 - see service.vendors.network


def post_worker_init(worker: Any) -> None:
    """Leave the worker's own parts alone as well, and look after calls before the first request."""
    _freeze_startup_objects()
    if calls := _calls_of(worker):
        calls.keep()


def _calls_of(worker: Any) -> Any:
    """Return the part of the app that keeps calls; none where it keeps none, or gunicorn serves another app."""
    return getattr(worker.app.callable, "extensions", {}).get("calls")


def _freeze_startup_objects() -> None:
    """Freeze startup objects, so that the collector neither scans them nor dirties pages that workers share.

    See https://docs.python.org/3/library/gc.html#gc.freeze. Requests leave little in cycles, so it also runs less
    often than by default (700).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)


def worker_exit(_server: Any, worker: Any) -> None:
    """Stop looking after calls, which are ended where they are kept in memory; and close the files of numbers.

    What is left open would be a warning each, and no line of our format.
    """
    if calls := _calls_of(worker):
        ending = getattr(worker, "seconds_ending", float)()  # another worker class may have been asked for
        calls.keeper.stop(max(1.0, graceful_timeout - _MARGIN - ending))
    from prometheus_client.values import close_all_multiprocess_files  # noqa: PLC0415

    close_all_multiprocess_files()  # type: ignore[no-untyped-call]


def child_exit(_server: Any, worker: Any) -> None:
    """Take a dead worker's requests in flight out of the sum; what it counted stays."""
    if _metrics_folder:
        from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 - reads the variable above

        mark_process_dead(worker.pid, _metrics_folder)  # type: ignore[no-untyped-call]
