"""Flask-Limiter, wired: it owns the storage and the strategy, and ours is the evaluation.

No limit is declared to it: its own evaluation consumes the earlier limits of a
request that a later one refuses, answers with the shortest window and in HTML, and takes any exception for a
dead storage (``in_memory_fallback``).
"""

from __future__ import annotations

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits.strategies import RateLimiter
from pydantic import SecretStr

from service.limits.storage import CONCEALED


def attach(app: Flask, *, url: SecretStr, strategy: str, on_heroku: bool = False) -> RateLimiter:
    """Give the app its Flask-Limiter and return the strategy, over its storage, that all counting goes by."""
    limiter = Limiter(
        get_remote_address,
        strategy=strategy,
        storage_uri=f"{CONCEALED}://",
        storage_options={"url": url, "strategy": strategy, "on_heroku": on_heroku},  # type: ignore[dict-item]  # options are what a storage takes
        headers_enabled=False,
        swallow_errors=False,
        in_memory_fallback_enabled=False,
    )
    # On an app of its own: on ours its hooks would run on every request, 38 µs each, and find nothing to do.
    limiter.init_app(Flask(__name__))
    app.extensions["limiter"] = {limiter}
    return limiter.limiter
