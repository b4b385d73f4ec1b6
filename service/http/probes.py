"""Routes for machines: health, readiness, metrics, and the description of the API.

Neither limited nor logged above DEBUG.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Any, Final

from flask import Blueprint, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from werkzeug.exceptions import NotFound

from service import __version__
from service.auth.jwks import JwksKeys
from service.auth.token import bearer_token
from service.calls.keeper import Keeper
from service.core.errors import InvalidTokenError
from service.core.model import StorageState
from service.exchange import counting_failed_auth
from service.http.client_address import AddressSource
from service.http.request import current_request
from service.http.responses import json_response
from service.limits.limiter import RateLimits
from service.observe import METRICS_PATH
from service.observe.metrics import Metrics

SHARED_SECONDS: Final = 1.0
"""How long all who ask whether the service is ready are given one answer."""

_FROM_BEST_TO_WORST: Final[tuple[StorageState, ...]] = ("ok", "degraded", "unavailable")

_CALL_PATH: Final = re.compile(r"/calls|/v1/(realtime/calls|live)")


@dataclass(frozen=True, slots=True)
class Watched:
    """What the probes look at. ``key_sets`` are the identity providers', ``keeper`` ends calls, if there are any.

    ``has_configured_keys``: some tokens can be verified without any of the key sets.
    """

    limits: RateLimits
    key_sets: Sequence[JwksKeys]
    metrics: Metrics
    keeper: Keeper | None = None
    has_configured_keys: bool = False

    def keys(self, check: Callable[[JwksKeys], bool]) -> StorageState:
        """Return whether tokens can be verified: ``degraded`` means those alone that a configured key has signed."""
        if not self.key_sets or any(map(check, self.key_sets)):
            return "ok"
        return "degraded" if self.has_configured_keys else "unavailable"

    def calls(self, storage: StorageState) -> str:
        """Return whether calls can be opened: each must be counted where the limits are, and ended by this process."""
        if self.keeper is None:
            return "off"
        return "ok" if storage == "ok" and self.keeper.is_running else "unavailable"


class Readiness:
    """Looks whether secrets can be minted: one look at a time, and one a second at most, however often it is asked.

    While a look is under way, others are told at once what the last one found. Where there was none, they wait for it,
    a second at most, and are then told what is known without a look.
    """

    def __init__(self, watched: Watched, clock: Callable[[], float] = monotonic) -> None:
        self._watched = watched
        self._clock = clock
        self._looking = Lock()
        self._found: Mapping[str, str] = {}
        self._fresh_until = 0.0

    def ask(self) -> Mapping[str, str]:
        """Say how the storage and the key sets are, and what follows from that."""
        if self._is_fresh() or not self._looking.acquire(timeout=0 if self._found else SHARED_SECONDS):
            return self._found or self._describe(self._watched.limits.state(), is_loaded)
        try:
            if not self._is_fresh():
                self._found = self._describe(self._watched.limits.probe(), has_keys)
                self._fresh_until = self._clock() + SHARED_SECONDS
        finally:
            self._looking.release()
        return self._found

    def _is_fresh(self) -> bool:
        """Return whether the last look still holds: not where requests have met another state of the storage since."""
        is_recent = bool(self._found) and self._clock() < self._fresh_until
        return is_recent and self._found["limit_storage"] == self._watched.limits.state()

    def _describe(self, storage: StorageState, check: Callable[[JwksKeys], bool]) -> Mapping[str, str]:
        keys = self._watched.keys(check)
        status = max(storage, keys, key=_FROM_BEST_TO_WORST.index)
        calls = self._watched.calls(storage)
        return {"status": status, "limit_storage": storage, "key_set": keys, "calls": calls}


def probe_routes(
    watched: Watched, *, metrics_token: str | None, addresses: AddressSource, description: Mapping[str, Any]
) -> Blueprint:
    """Make the routes."""
    routes = Blueprint("probes", __name__)
    readiness = Readiness(watched)

    @routes.get("/healthz")
    def healthz() -> Response:
        """The process answers."""
        return json_response({"status": "ok"})

    @routes.get("/readyz")
    def readyz() -> Response:
        """Secrets can be minted, as far as that can be told without minting one."""
        found = readiness.ask()
        code = HTTPStatus.SERVICE_UNAVAILABLE if found["status"] == "unavailable" else HTTPStatus.OK
        return json_response(found, code)

    @routes.get(METRICS_PATH)
    def metrics() -> Response:
        """The numbers of all processes, for Prometheus."""
        if metrics_token is None:
            raise NotFound
        incoming = current_request().incoming(addresses=addresses)
        with counting_failed_auth(watched.limits, incoming):
            check_shared_token(incoming.authorization, metrics_token, name="METRICS_TOKEN")
        return Response(watched.metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    @routes.get("/openapi.json")
    def openapi() -> Response:
        """The description of this API."""
        return json_response(description)

    return routes


def check_shared_token(authorization: str | None, expected: str, *, name: str) -> None:
    """Check a bearer token that the admin shares with a machine.

    Raises:
        MissingTokenError: there is none.
        InvalidTokenError: it is another; the log is told the variable's ``name``.
    """
    if not hmac.compare_digest(bearer_token(authorization).encode(), expected.encode()):
        raise InvalidTokenError(f"the bearer token is not {name}")


def has_keys(key_set: JwksKeys) -> bool:
    """Return whether tokens can be verified, fetching the key set where there is none yet."""
    return is_loaded(key_set) or key_set.load().loaded


def is_loaded(key_set: JwksKeys) -> bool:
    """Return whether tokens can be verified, without a fetch."""
    return key_set.describe().loaded


def describe(
    *, longest_life: int, profiles: bool, drop_in: bool, expiry: bool, calls: bool
) -> dict[str, Any]:
    """Return ``openapi.json`` without what this service, as it is configured, does not accept.

    ``longest_life`` is ``TOKEN_MAX_TTL`` in seconds; ``profiles`` says that the admin defined some; ``drop_in`` that
    the vendor's own SDKs can mint, ``expiry`` that a request may choose its secret's life, and ``calls`` that calls
    can be opened.
    """
    description: dict[str, Any] = json.loads(Path(__file__).with_name("openapi.json").read_text("utf-8"))
    description["info"]["version"] = __version__
    schemas = description["components"]["schemas"]
    for life in ("ExpiresAfter", "OptionalExpiresAfter"):
        schemas[life]["properties"]["seconds"]["maximum"] = longest_life
    if not profiles:
        for schema in schemas.values():
            schema.get("properties", {}).pop("profile", None)
    if not expiry:
        for body in ("TokenBody", "ClientSecretBody", "TranslationSecretBody"):
            del schemas[body]["properties"]["expires_after"]
    if not calls:
        description["paths"] = {
            path: item for path, item in description["paths"].items() if not _CALL_PATH.match(path)
        }
    if not drop_in:
        description["paths"] = {
            path: item for path, item in description["paths"].items() if not path.startswith("/v1/")
        }
    return description
