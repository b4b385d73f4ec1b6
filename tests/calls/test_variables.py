"""What the variables of calls change at the routes, on the app in this process."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import requests

from tests.support.offers import OFFER
from tests.support.service import Sandbox, TokenService, app_in_process
from tests.support.tokens import sign
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS

ROUTES = (
    ("POST", "/calls"),
    ("GET", "/calls"),
    ("GET", "/calls/x"),
    ("DELETE", "/calls/x"),
    ("POST", "/v1/realtime/calls"),
    ("POST", "/v1/realtime/calls/x/hangup"),
    ("POST", "/v1/live/sessions"),
    ("POST", "/v1/live/sessions/x/hangup"),
)
OPEN = {"sdp": OFFER, "model": LIVE}


class MakeApp(Protocol):
    """Makes an app in this process, whose calls end with the test."""

    def __call__(self, **variables: str) -> TokenService: ...


@pytest.fixture
def make_app(sandbox: Sandbox) -> Iterator[MakeApp]:
    """Make apps, and stop their keepers while the sandbox is still there."""
    made: list[Any] = []

    def make(**variables: str) -> TokenService:
        service = app_in_process(sandbox.base_url, **variables)
        session: requests.Session = service.request.__self__  # type: ignore[attr-defined]
        made.append(session.get_adapter(service.url).app)  # type: ignore[attr-defined]
        return service

    yield make
    for app in made:
        if calls := app.extensions.get("calls"):
            calls.keeper.stop(5)


def ask(service: TokenService, method: str, path: str, token: str | None = None, **options: Any) -> Any:
    headers = {"Authorization": f"Bearer {token or sign()}"}
    return service.request(method, service.url + path, headers=headers, **options)


@pytest.mark.parametrize(
    ("variables", "status", "code"),
    [
        ({"REALTIME_API": "beta"}, 400, "invalid_request"),
        ({"CALL_TYPES": "none"}, 404, "not_found"),
    ],
)
def test_without_calls_every_route_says_so(
    make_app: MakeApp, variables: dict[str, str], status: int, code: str
) -> None:
    service = make_app(**variables)
    for method, path in ROUTES:
        answer = ask(service, method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path
    assert ask(service, "GET", "/readyz").json()["calls"] == "off"
    assert not [path for path in ask(service, "GET", "/openapi.json").json()["paths"] if "calls" in path]


def test_only_the_types_that_are_named_are_opened(make_app: MakeApp) -> None:
    service = make_app(CALL_TYPES="live", ALLOWED_MODELS=MODELS)

    assert ask(service, "POST", "/calls", json=OPEN).status_code == 201
    refused = ask(service, "POST", "/calls", json={"sdp": OFFER})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "session_type_not_allowed")


def test_minutes_that_are_used_up_are_a_429_that_must_not_be_tried_again(make_app: MakeApp) -> None:
    variables = {"CALL_MINUTES_PER_USER": "1/day", "ALLOWED_MODELS": MODELS, "CALLS_PER_USER": "2"}
    service = make_app(**variables)

    first = ask(service, "POST", "/calls", json=OPEN)
    assert first.json()["call"]["max_seconds"] == 60
    refused = ask(service, "POST", "/calls", json=OPEN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "call_minutes_exhausted")
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["Retry-After"]) > 86_000
    assert '"call-seconds";r=0;t=' in refused.headers["RateLimit"]


def test_calls_of_all_users_together_are_bounded(make_app: MakeApp) -> None:
    service = make_app(CALLS_GLOBAL="1", ALLOWED_MODELS=MODELS)

    assert ask(service, "POST", "/calls", sign(sub="one"), json=OPEN).status_code == 201
    refused = ask(service, "POST", "/calls", sign(sub="two"), json=OPEN)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_calls")
    assert "global" in refused.json()["error"]["message"]


def test_a_token_for_one_use_opens_one_call_and_reads_and_ends_it(make_app: MakeApp) -> None:
    service = make_app(JWT_SINGLE_USE="1", ALLOWED_MODELS=MODELS)
    token = sign(jti="once")

    opened = ask(service, "POST", "/calls", token, json=OPEN)
    assert opened.status_code == 201
    path = opened.headers["Location"]
    assert ask(service, "GET", path, token).status_code == 200
    assert ask(service, "DELETE", path, token).status_code == 204
    assert ask(service, "POST", "/calls", token, json=OPEN).status_code == 401


def test_the_admins_routes_are_there_with_a_token_alone(make_app: MakeApp) -> None:
    closed = make_app()
    assert ask(closed, "GET", "/admin/calls", ADMIN_TOKEN).status_code == 404
    opened = make_app(ADMIN_TOKEN=ADMIN_TOKEN, RATE_LIMIT_FAILED_AUTH="1/hour")
    assert ask(opened, "GET", "/admin/calls", ADMIN_TOKEN).json() == {"calls": []}
    statuses = [ask(opened, "GET", "/admin/calls", "x" * 32).status_code for _ in range(2)]
    assert statuses == [401, 429]
    wrong = ask(opened, "POST", "/admin/revocations", ADMIN_TOKEN, json={"sub": "ada", "issued_before": 1.5})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "issued_before")


@pytest.mark.parametrize("limit", ["PER_USER", "GLOBAL"])
def test_an_opening_counts_as_one_request(make_app: MakeApp, limit: str) -> None:
    """Against the limits that mints count against; the SDKs, which retry 429 by themselves, are told not to."""
    service = make_app(ALLOWED_MODELS=MODELS, CALLS_PER_USER="5", **{f"RATE_LIMIT_{limit}": "2/minute"})
    assert ask(service, "POST", "/calls", json=OPEN).status_code == 201
    assert ask(service, "POST", "/token", json={"model": "gpt-realtime-2.1"}).status_code == 200
    answer = ask(service, "POST", "/calls", json=OPEN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert answer.headers["x-should-retry"] == "false"
