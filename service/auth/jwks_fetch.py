"""One fetch of a key set over HTTP, bounded in time and size."""

from __future__ import annotations

from http import HTTPStatus
from time import monotonic

import requests
from requests import RequestException
from urllib3.exceptions import HTTPError

from service.auth.key_set import KeySetError
from service.core.deadline import DeadlineExceededError, deadline

MAX_BYTES = 256 * 1024
"""Key sets are a few kilobytes; some hundred keys fit."""

_HEADERS = {
    "Accept": "application/jwk-set+json, application/json",
    # Some CDNs refuse the default user agents of HTTP libraries with 403.
    "User-Agent": "realtime-token-service",
}
_CHUNK = 64 * 1024


def fetch_key_set(http: requests.Session, url: str, *, seconds: float) -> bytes:
    """Fetch a key set's bytes within ``seconds``, whatever the server does.

    Redirects are not followed: the admin named who is trusted to say the keys.

    Raises:
        KeySetError: saying what went wrong.
    """
    ends = monotonic() + seconds
    try:
        with (
            deadline(seconds),
            http.get(url, headers=_HEADERS, timeout=seconds, allow_redirects=False, stream=True) as response,
        ):
            if response.is_redirect:
                raise KeySetError(f"answered {response.status_code}, and redirects are not followed")
            if response.status_code != HTTPStatus.OK:
                raise KeySetError(f"answered {response.status_code}")
            return _bounded_body(response, ends)
    except DeadlineExceededError:
        raise KeySetError(f"no whole answer within {seconds:g} s") from None
    except (RequestException, HTTPError, OSError) as error:
        raise KeySetError(f"cannot be reached ({type(error).__name__})") from error


def _bounded_body(response: requests.Response, ends: float) -> bytes:
    """Read what has arrived, again and again, so that neither a flood nor a drip goes on for ever."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_BYTES:
            raise KeySetError(f"the answer is larger than {MAX_BYTES} bytes")
        if monotonic() > ends:
            raise DeadlineExceededError
    return bytes(body)
