"""How gunicorn serves: ``gunicorn --config python:service.gunicorn_conf wsgi:app``.

Read by the master before the first fork, so a wrong environment ends here, with every problem listed;
a refusal in ``wsgi.py`` would make gunicorn start workers again for ever.
"""

from gevent import monkey

monkey.patch_all()  # Before anything else is imported: a late patch warns and only half works.

# ruff: noqa: E402 - see above
import os
import sys
from pathlib import Path

from service.settings import ConfigurationError, process_settings

try:
    settings = process_settings()
except ConfigurationError as error:
    sys.exit(str(error))

bind = f"{settings.host}:{settings.port}"
workers = settings.processes
worker_class = "service.gunicorn_worker.Worker"
worker_connections = settings.web_connections
preload_app = False  # each worker makes its own app, and with it its own connections

# A router keeps idle connections for up to 90 s; closing earlier races with its next request.
keepalive = 95
# The platform kills after 30 s: leave it time to see us go.
graceful_timeout = 22
# Watches that a worker's loop turns; it does not bound a request.
timeout = 30
# /dev/shm keeps the worker's heartbeat off a disk that may block.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - gunicorn's own, mode 0600

# A JWT may be 8 KB long: let it reach the app, which refuses it in the contract's own words.
limit_request_field_size = 16_384
# SCRIPT_NAME and PATH_INFO from a client would be believed otherwise, and end in a 500.
forwarder_headers = ""
# The scheme is not read anywhere and addresses are counted by TRUSTED_PROXY_HOPS: trust no header here.
forwarded_allow_ips = ""
secure_scheme_headers: dict[str, str] = {}
# The control socket fails on read-only homes, and nothing uses it.
control_socket_disable = True

accesslog = None  # the service writes its own line a request, without query strings
errorlog = "-"
loglevel = settings.log_level.lower()
