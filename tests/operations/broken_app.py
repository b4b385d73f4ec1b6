"""The service with one more route, which fails in the worst way: secrets in its locals and in its message."""

from __future__ import annotations

import os

from service.app import create_app
from service.settings import process_settings

app = create_app(process_settings())


@app.get("/broken")
def broken() -> str:
    """Fail with everything at hand that must not be seen."""
    key = os.environ["OPENAI_API_KEY"]
    raise RuntimeError(f"unforeseen: {key} {os.environ['JWT_SECRET']} {os.environ['RATE_LIMIT_STORAGE_URL']}")


@app.get("/unsendable")
def unsendable() -> tuple[str, dict[str, str]]:
    """Answer with a header that no server may send."""
    return "", {"X-Broken": "\x01"}
