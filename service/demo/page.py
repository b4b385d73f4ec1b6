"""The demo page: signed in with a fresh development JWT at every load."""

from __future__ import annotations

import secrets
import time
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, make_response, render_template, request

from service.auth.development import sign
from service.core.errors import RateLimitedError
from service.demo.environment import MODELS, VOICES
from service.http.responses import json_response
from service.limits.counter import MemoryCounter
from service.limits.rules import Bucket, Window
from service.settings import Settings
from service.store import MemoryStore

SIGN_INS = Window(amount=120, seconds=60)
"""How many JWTs one address is given: each is a user with limits, calls and minutes of its own."""

_JWT_SECONDS = 3600
_MAX_ADDRESSES = 10_000

_SECRET_ACCESS = (
    (
        "websocket",
        "Secret",
        "by WebSocket",
        "Checked at the mint: who, how often, with what. Then the session is the client's.",
    ),
    (
        "webrtc",
        "Secret",
        "by WebRTC",
        "The same, with sound on a media track. The service cannot end it.",
    ),
)
_CALL_ACCESS = (
    (
        "realtime",
        "call",
        "Call",
        "Realtime",
        "Also how long, how many at once, minutes a day. It can be ended.",
    ),
    (
        "live",
        "live",
        "Call",
        "GPT-Live",
        "Also the settings: the vendor lets the client only mute and close.",
    ),
)


def demo_routes(settings: Settings, *, live: bool) -> Blueprint:
    """Make ``GET /demo`` and ``POST /demo/jwt``. With ``live`` the page says that its sessions cost money.

    That is for who started the demo to say: a vendor on loopback may be a gateway to one that is paid.
    """
    routes = Blueprint("demo", __name__)
    policy = _content_security_policy(settings.vendor.endpoint.base_url)
    page = _page(settings, live=live)
    sign_ins = MemoryCounter(MemoryStore(max_keys=_MAX_ADDRESSES), "fixed-window")

    @routes.before_request
    def refuse_other_origins() -> None:
        """Keep what is for this page from pages of other origins, which the demo's CORS would let in."""
        fetched = request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate"
        if fetched and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            abort(HTTPStatus.FORBIDDEN)

    @routes.before_request
    def limit_sign_ins() -> None:
        """Count a sign-in: both routes are one.

        Raises:
            RateLimitedError: this address had too many.
        """
        if request.method == "OPTIONS":
            return
        address = settings.http.addresses.read(request.remote_addr, request.headers)
        counted = sign_ins.acquire([Bucket("address", address, SIGN_INS)])
        if not counted.admitted:
            wait = counted.statuses[0].wait
            raise RateLimitedError("Too many sign-ins from your address.", limit="address", retry_after=wait)

    @routes.get("/demo")
    def demo() -> Response:
        response = make_response(render_template("demo.html", jwt=_sign_in(settings), page=page))
        response.headers["Content-Security-Policy"] = policy
        return response

    @routes.post("/demo/jwt")
    def jwt() -> Response:
        """Sign in as somebody new."""
        return json_response({"jwt": _sign_in(settings)})

    return routes


def _sign_in(settings: Settings) -> str:
    """Make a JWT of a user who exists for this load alone: who tries out a limit locks out nobody else."""
    return sign(
        settings.auth.jwt_secret[0].get_secret_value(),
        issuer=settings.auth.jwt_issuer[0],
        audience=settings.auth.jwt_audience[0],
        subject=f"demo-{secrets.token_hex(3)}",
        now=time.time(),
        lifetime=_JWT_SECONDS,
    )


def _page(settings: Settings, *, live: bool) -> dict[str, Any]:
    """Collect what the page is told of the service it belongs to."""
    call_types, policy = settings.policy.call_types, settings.policy.session_policy
    admin_token, allowed = settings.calls.admin_token, settings.policy.allowed_models
    models = {kind: [name for name in names if name in allowed] for kind, names in MODELS.items()}
    calls = tuple(access for kind, *access in _CALL_ACCESS if kind in call_types)
    return {
        "access": [*_SECRET_ACCESS, *calls],
        "calls": bool(calls),
        "models": models,
        "voices": VOICES,
        "profiles": sorted(policy.profiles) if policy else [],
        "admin_token": admin_token.get_secret_value() if admin_token else None,
        "live": live,
    }


def _content_security_policy(public_url: str) -> str:
    """Allow our own files, and talking to the sandbox; nothing else (https://www.w3.org/TR/CSP3/)."""
    api = urlsplit(public_url)
    sockets = "ws" if api.scheme == "http" else "wss"
    allowed = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": f"'self' {api.scheme}://{api.netloc} {sockets}://{api.netloc}",
        "media-src": "'self' blob:",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{directive} {sources}" for directive, sources in allowed.items())
