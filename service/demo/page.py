"""The demo page: signed in with a fresh development JWT at every load."""

from __future__ import annotations

import secrets
import time
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template

from service.auth.development import sign
from service.demo.environment import MODELS, VOICES
from service.settings import Settings

_JWT_SECONDS = 3600


def demo_routes(settings: Settings) -> Blueprint:
    """Make ``GET /demo``."""
    routes = Blueprint("demo", __name__)
    policy = _content_security_policy(settings.vendor.endpoint.base_url)

    @routes.get("/demo")
    def demo() -> Response:
        jwt = sign(
            settings.auth.jwt_secret[0].get_secret_value(),
            issuer=settings.auth.jwt_issuer[0],
            audience=settings.auth.jwt_audience[0],
            # One's own at every load: who tries out the rate limit locks out nobody else.
            subject=f"demo-{secrets.token_hex(3)}",
            now=time.time(),
            lifetime=_JWT_SECONDS,
        )
        page = make_response(
            render_template("demo.html", jwt=jwt, token_url="/token", models=MODELS, voices=VOICES)  # noqa: S106
        )
        page.headers["Content-Security-Policy"] = policy
        return page

    return routes


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
