"""The app is made without touching the process, and every exception on its routes leaves its traces."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
import structlog
from flask import Flask

from service.app import create_app
from service.settings import Settings
from service.vendors.openai import OpenAI
from service.vendors.transport import Transport
from tests.support.service import service_environ
from tests.support.tokens import sign
from tests.support.vendor import Vendor, scripted_vendor

METRICS_TOKEN = "a-token-for-prometheus"


def made(upstream: str, **variables: str) -> Flask:
    return create_app(Settings.from_environ(service_environ(upstream, **variables)))


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor that mints."""
    with scripted_vendor() as vendor:
        yield vendor


@contextmanager
def logged() -> Iterator[Callable[[], list[dict[str, object]]]]:
    """Read the service's own events, without touching anything else's logs."""
    stream = StringIO()
    structlog.configure(
        processors=[structlog.processors.JSONRenderer()],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        structlog.reset_defaults()


def process_state() -> tuple[object, ...]:
    root = logging.getLogger()
    return (
        tuple(root.handlers),
        root.level,
        logging.getLogger("service").level,
        logging.getLogger("gunicorn.error").level,
        sys.excepthook,
        threading.excepthook,
        structlog.is_configured(),
    )


def test_making_an_app_leaves_the_process_as_it_was() -> None:
    """Another app of the same process keeps its logs and hooks; the settings' values differ from the defaults."""
    before = process_state()
    made("https://api.example/v1", LOG_LEVEL="DEBUG", LOG_FORMAT="console")
    assert process_state() == before


def fail(*_: object, **__: object) -> None:
    raise RuntimeError("unforeseen")


@pytest.mark.parametrize(
    ("owner", "name"), [(Transport, "send"), (OpenAI, "connection")], ids=["in the exchange", "after it"]
)
def test_an_unforeseen_exception_is_answered_audited_and_counted(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Whether the exchange or the view after it failed."""
    monkeypatch.setattr(owner, name, fail)
    with logged() as events:
        client = made(vendor.base_url, METRICS_TOKEN=METRICS_TOKEN).test_client()
        answer = client.post("/token", data=b"{}", headers=authorized())
        lines = events()
        numbers = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "internal_error")
    (audit,) = [line for line in lines if line["event"] == "mint"]
    assert (audit["decision"], audit["code"]) == ("refused", "internal_error")
    assert audit["user"]
    assert any("RuntimeError" in str(line.get("exc_info")) for line in lines)
    assert 'token_service_refusals_total{code="internal_error"} 1.0' in numbers
    assert "token_service_mints_total{" not in numbers


def test_an_exception_of_another_route_is_no_refused_mint(vendor: Vendor) -> None:
    with logged() as events:
        app = made(vendor.base_url, METRICS_TOKEN=METRICS_TOKEN)
        app.add_url_rule("/broken", view_func=fail)
        client = app.test_client()
        assert client.get("/broken").status_code == 500
        numbers = client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).text
    assert "mint" not in {line["event"] for line in events()}
    assert "token_service_refusals_total{" not in numbers


def test_refused_credentials_of_any_route_are_counted_by_address(vendor: Vendor) -> None:
    with logged():
        app = made(vendor.base_url, METRICS_TOKEN=METRICS_TOKEN, RATE_LIMIT_FAILED_AUTH="2/minute")
        client = app.test_client()
        wrong = {"Authorization": "Bearer wrong-token", "Content-Type": "application/json"}
        routes = [client.get, client.post, client.post]
        paths = ["/metrics", "/token", "/v1/realtime/client_secrets"]
        answers = [ask(path, headers=wrong) for ask, path in zip(routes, paths, strict=True)]
        assert [answer.status_code for answer in answers] == [401, 401, 429]
        assert client.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}).status_code == 200


def test_every_response_forbids_sniffing(vendor: Vendor) -> None:
    with logged():
        client = made(vendor.base_url).test_client()
        for path in ("/healthz", "/nowhere", "/static/realtime.js"):
            with client.get(path) as response:
                assert response.headers["X-Content-Type-Options"] == "nosniff"


def authorized() -> dict[str, str]:
    return {"Authorization": f"Bearer {sign()}", "Content-Type": "application/json"}
