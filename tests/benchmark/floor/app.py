"""A bare WSGI app that only makes the upstream call: no routing, no JWT, no policy, no limit, no log.

It calls as the library's documentation shows, `session.post` with keep-alive, under the same gevent worker and the same
gunicorn as the service; with `FLOOR_CONNECTIONS=own` as the service calls: over its own kept connections.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from requests.adapters import HTTPAdapter

_TIMEOUT = 10

_URL = f"{os.environ['OPENAI_BASE_URL']}/realtime/client_secrets"
_HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}


def _by_the_library() -> Callable[[bytes], bytes]:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1000))
    return lambda body: (
        session.post(_URL, data=body, headers=_HEADERS, timeout=_TIMEOUT, allow_redirects=False).content
    )


def _by_our_connections() -> Callable[[bytes], bytes]:
    # Imported here: the other floor does without their weight.
    from service.vendors.base import Request  # noqa: PLC0415
    from service.vendors.connections import KeptConnections  # noqa: PLC0415

    connections = KeptConnections(os.environ["OPENAI_BASE_URL"])
    return lambda body: (
        connections.exchange(
            Request("POST", "/realtime/client_secrets", body=body), _HEADERS, seconds=_TIMEOUT
        ).body
    )


_call = _by_our_connections() if os.environ.get("FLOOR_CONNECTIONS") == "own" else _by_the_library()


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Hand the body on and the answer back."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = _call(body)
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]
