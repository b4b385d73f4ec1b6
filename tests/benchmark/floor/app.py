"""A bare WSGI app that only makes the upstream call: no routing, no JWT, no policy, no limit, no log.

It calls as the library's documentation shows, `session.post` with keep-alive, under the same gevent worker and the same
gunicorn as the service; with `FLOOR_ADAPTER=own` as the service calls: a ready request, by its own adapter.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict

_TIMEOUT = 10

_URL = f"{os.environ['OPENAI_BASE_URL']}/realtime/client_secrets"
_HEADERS = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}", "Content-Type": "application/json"}


def _by_the_library() -> Callable[[bytes], requests.Response]:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1000))
    return lambda body: session.post(
        _URL, data=body, headers=_HEADERS, timeout=_TIMEOUT, allow_redirects=False
    )


def _by_our_adapter() -> Callable[[bytes], requests.Response]:
    from service.vendors.adapter import OneHostAdapter  # noqa: PLC0415 - the other floor does without its weight

    adapter = OneHostAdapter(_URL, connections=1000)

    def call(body: bytes) -> requests.Response:
        request = requests.PreparedRequest()
        request.method, request.url, request.body = "POST", _URL, body
        request.headers = CaseInsensitiveDict({**_HEADERS, "Content-Length": str(len(body))})
        return adapter.send(request, timeout=_TIMEOUT)

    return call


_call = _by_our_adapter() if os.environ.get("FLOOR_ADAPTER") == "own" else _by_the_library()


def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Hand the body on and the answer back."""
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = _call(body)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer.content)))]
    start_response(f"{answer.status_code} {answer.reason}", headers)
    return [answer.content]
