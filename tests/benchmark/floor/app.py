"""A bare WSGI app that only makes the upstream call: no routing, no JWT, no policy, no limit, no log.

It calls as the service does (a copy of a prepared request, on one session, under gunicorn's gevent worker), so that
the difference between the two is what the service itself costs.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_TIMEOUT = 10

_session = requests.Session()
_session.trust_env = False
_session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1000))
_template = requests.Request(
    "POST",
    f"{os.environ['OPENAI_BASE_URL']}/realtime/client_secrets",
    headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"},
).prepare()


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Hand the body on and the answer back."""
    prepared = _template.copy()
    prepared.body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    prepared.headers["Content-Length"] = environ["CONTENT_LENGTH"]
    answer = _session.send(prepared, timeout=_TIMEOUT, allow_redirects=False)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer.content)))]
    start_response(f"{answer.status_code} {answer.reason}", headers)
    return [answer.content]
