"""A bare WSGI app that only makes the upstream call: no routing, no JWT, no policy, no limit, no log.

It calls as the library's documentation shows, `session.post` with keep-alive, under the same gevent worker and the same
gunicorn as the service; with `FLOOR_ADAPTER=own` by way of the service's adapter, and not of the library's own.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

_TIMEOUT = 10


def _adapter() -> BaseAdapter:
    if os.environ.get("FLOOR_ADAPTER") != "own":
        return HTTPAdapter(pool_connections=1, pool_maxsize=1000)
    from service.adapter import OneHostAdapter  # noqa: PLC0415 - the other floor does without its weight

    return OneHostAdapter(os.environ["OPENAI_BASE_URL"], connections=1000)


_session = requests.Session()
_session.trust_env = False
_session.mount("http://", _adapter())
_URL = f"{os.environ['OPENAI_BASE_URL']}/realtime/client_secrets"
_HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Hand the body on and the answer back."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = _session.post(_URL, data=body, headers=_HEADERS, timeout=_TIMEOUT, allow_redirects=False)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer.content)))]
    start_response(f"{answer.status_code} {answer.reason}", headers)
    return [answer.content]
