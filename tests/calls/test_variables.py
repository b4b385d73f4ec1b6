"""What the variables of calls change at the routes, on the app in this process; with each vendor that has calls."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest
import requests

from tests.support.dialects import azure_variables
from tests.support.offers import OFFER
from tests.support.redis import RedisServer
from tests.support.service import Sandbox, TokenService, app_in_process
from tests.support.tokens import sign
from tests.support.voice import ADMIN_TOKEN, LIVE, MODELS, at_sandbox

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
REALTIME = "gpt-realtime-2.1"
OPEN = {"sdp": OFFER, "model": LIVE}
NOW = int(time.time())


class MakeApp(Protocol):
    """Makes an app in this process, whose calls end with the test."""

    def __call__(self, **variables: str) -> TokenService: ...


@contextmanager
def making(upstream: str, **fixed: str) -> Iterator[MakeApp]:
    """Make apps, and stop their keepers while the sandbox is still there."""
    made: list[Any] = []

    def make(**variables: str) -> TokenService:
        service = app_in_process(upstream, **(fixed | variables))
        session: requests.Session = service.request.__self__  # type: ignore[attr-defined]
        made.append(session.get_adapter(service.url).app)  # type: ignore[attr-defined]
        return service

    yield make
    for app in made:
        if calls := app.extensions.get("calls"):
            calls.keeper.stop(5)


@pytest.fixture
def make_app(sandbox: Sandbox) -> Iterator[MakeApp]:
    with making(sandbox.base_url) as make:
        yield make


@pytest.fixture(params=["sandbox", "azure_sandbox"], ids=["openai", "azure"])
def vendor(request: pytest.FixtureRequest) -> Sandbox:
    """Each vendor that has calls, with nothing open and nothing minted."""
    vendor: Sandbox = request.getfixturevalue(request.param)
    vendor.reset()
    return vendor


@pytest.fixture
def make_call_app(vendor: Sandbox) -> Iterator[MakeApp]:
    """Make apps that open calls of both types; on Azure models have other names, and secrets open Realtime calls."""
    fixed = azure_variables(ADMIN_TOKEN="") if "/openai/" in vendor.base_url else {"ALLOWED_MODELS": MODELS}
    with making(vendor.base_url, **fixed) as make:
        yield make


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


def refuse(service: TokenService, token: str, status: int, code: str, vendor: Sandbox) -> requests.Response:
    """Ask for a call of each type in vain: nothing is opened at the vendor for it, nor minted."""
    before = len(vendor.mints()), len(at_sandbox(vendor))
    for model in (LIVE, REALTIME):
        refused = ask(service, "POST", "/calls", token, json={"sdp": OFFER, "model": model})
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code), model
    assert (len(vendor.mints()), len(at_sandbox(vendor))) == before
    return refused


def test_only_the_types_that_are_named_are_opened(make_call_app: MakeApp) -> None:
    service = make_call_app(CALL_TYPES="live")

    assert ask(service, "POST", "/calls", json=OPEN).status_code == 201
    refused = ask(service, "POST", "/calls", json={"sdp": OFFER})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "session_type_not_allowed")


@pytest.mark.parametrize("model", [LIVE, REALTIME])
def test_minutes_that_are_used_up_are_a_429_that_must_not_be_tried_again(
    make_call_app: MakeApp, vendor: Sandbox, model: str
) -> None:
    service, token = make_call_app(CALL_MINUTES_PER_USER="1/day", CALLS_PER_USER="2"), sign()

    first = ask(service, "POST", "/calls", token, json={"sdp": OFFER, "model": model})
    assert first.json()["call"]["max_seconds"] == 60
    refused = refuse(service, token, 429, "call_minutes_exhausted", vendor)
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["Retry-After"]) > 86_000
    assert '"call-seconds";r=0;t=' in refused.headers["RateLimit"]


@pytest.mark.parametrize("model", [LIVE, REALTIME])
def test_a_user_or_all_users_who_have_as_many_calls_as_they_may_open_no_other(
    make_call_app: MakeApp, vendor: Sandbox, model: str
) -> None:
    """Their slots are looked at before the vendor is asked for anything, a secret for the call included."""
    service = make_call_app(CALLS_AT_LIMIT="refuse", CALLS_GLOBAL="2")
    one, two, three = (sign(sub=name) for name in ("one", "two", "three"))

    def opened(token: str) -> int:
        answer: requests.Response = ask(service, "POST", "/calls", token, json={"sdp": OFFER, "model": model})
        return answer.status_code

    assert opened(one) == 201
    refused = refuse(service, one, 429, "too_many_calls", vendor)
    assert "user limit" in refused.json()["error"]["message"]
    assert opened(two) == 201
    refused = refuse(service, three, 429, "too_many_calls", vendor)
    assert "global limit" in refused.json()["error"]["message"]
    is_minted = model == REALTIME and "/openai/" in vendor.base_url
    assert (len(vendor.mints()), len(at_sandbox(vendor))) == (2 if is_minted else 0, 2)


@pytest.mark.parametrize("single_use", ["0", "1"])
@pytest.mark.parametrize("on_failure", ["deny", "local"])
def test_while_the_storage_is_away_openings_have_one_code(
    make_call_app: MakeApp, own_redis: RedisServer, on_failure: str, single_use: str
) -> None:
    """Whatever asks it first: the use of a token, or the limits."""
    service = make_call_app(
        RATE_LIMIT_STORAGE_URL=own_redis.url,
        RATE_LIMIT_ON_STORAGE_FAILURE=on_failure,
        JWT_SINGLE_USE=single_use,
    )
    own_redis.kill()
    for path, body in (("/calls", OPEN), ("/v1/live/sessions", {"session": {"model": LIVE}, "sdp": OFFER})):
        answer = ask(service, "POST", path, sign(jti=path), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "call_registry_unavailable")
    minted = ask(service, "POST", "/token", sign(jti="mint"), json={"model": REALTIME})
    if on_failure == "deny":
        assert minted.json()["error"]["code"] == "rate_limit_storage_unavailable"


def test_a_token_for_one_use_opens_one_call_and_reads_and_ends_it(make_call_app: MakeApp) -> None:
    service = make_call_app(JWT_SINGLE_USE="1")
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
    wrong = ask(
        opened, "POST", "/admin/revocations", ADMIN_TOKEN, json={"sub": "ada", "issued_before": "soon"}
    )
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "issued_before")


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_an_empty_user_in_the_admins_query_is_none(
    make_call_app: MakeApp, own_redis: RedisServer, storage: str
) -> None:
    """As a form or a template leaves it: everybody's calls are listed, in memory as on Redis."""
    url = "memory://" if storage == "memory" else own_redis.url
    service = make_call_app(ADMIN_TOKEN=ADMIN_TOKEN, RATE_LIMIT_STORAGE_URL=url)
    assert ask(service, "POST", "/calls", json=OPEN).status_code == 201
    listed = [
        ask(service, "GET", f"/admin/calls{query}", ADMIN_TOKEN).json()["calls"]
        for query in ("", "?user=", "?user=&sub=")
    ]
    assert [len(calls) for calls in listed] == [1, 1, 1]


@pytest.mark.parametrize(
    ("issued_before", "refused", "let_in"),
    [(NOW + 0.5, NOW, NOW + 1), (float(NOW), NOW, NOW + 1), (NOW, NOW, NOW + 1)],
    ids=["a fraction", "a whole float", "an integer"],
)
def test_a_revocation_takes_its_time_as_any_language_writes_it(
    make_app: MakeApp, issued_before: float, refused: int, let_in: int
) -> None:
    """``Date.now() / 1000`` and ``time.time()`` have fractions; what they revoke is revoked."""
    service = make_app(ADMIN_TOKEN=ADMIN_TOKEN)
    body = {"sub": "ada", "issued_before": issued_before}
    assert ask(service, "POST", "/admin/revocations", ADMIN_TOKEN, json=body).status_code == 200
    statuses = [
        ask(service, "POST", "/token", sign(sub="ada", iat=iat), json={}).status_code
        for iat in (refused, let_in)
    ]
    assert statuses == [401, 200]


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_a_revoked_user_is_told_so_whatever_else_is_wrong(
    make_call_app: MakeApp, own_redis: RedisServer, storage: str
) -> None:
    """At every route, and for wrong bodies as for right ones."""
    url = "memory://" if storage == "memory" else own_redis.url
    service = make_call_app(ADMIN_TOKEN=ADMIN_TOKEN, RATE_LIMIT_STORAGE_URL=url)
    body = {"sub": "ada", "issued_before": NOW}
    assert ask(service, "POST", "/admin/revocations", ADMIN_TOKEN, json=body).status_code == 200
    wrong: list[tuple[str, str, Any]] = [
        ("POST", "/token", {"model": 5}),
        ("POST", "/token", {"model": "gpt-9"}),
        ("POST", "/calls", {}),
        ("POST", "/v1/realtime/client_secrets", {"session": {"type": "live"}}),
        ("POST", "/v1/live/sessions", {"sdp": "v" * 65_537}),
        ("POST", "/v1/realtime/calls", {"sdp": "v=0"}),
        ("GET", "/calls?limit=x", None),
        ("DELETE", "/calls/unknown", None),
    ]
    statuses = [
        [
            ask(service, method, path, sign(sub="ada", iat=iat), json=sent).status_code
            for method, path, sent in wrong
        ]
        for iat in (NOW, NOW + 1)
    ]
    assert statuses == [[401] * 8, [400, 403, 400, 400, 413, 415, 400, 404]]


@pytest.mark.parametrize("issued_before", [1e300, -1.5, 4_102_444_800.5, True, "0", [1.5]], ids=repr)
def test_a_revocation_takes_no_other_time(make_app: MakeApp, issued_before: object) -> None:
    service = make_app(ADMIN_TOKEN=ADMIN_TOKEN)
    body = {"sub": "ada", "issued_before": issued_before}
    answer = ask(service, "POST", "/admin/revocations", ADMIN_TOKEN, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "issued_before")


@pytest.mark.parametrize("limit", ["PER_USER", "GLOBAL"])
def test_an_opening_counts_as_one_request(make_call_app: MakeApp, vendor: Sandbox, limit: str) -> None:
    """Against the limits that mints count against; the SDKs, which retry 429 by themselves, are told not to."""
    service = make_call_app(CALLS_PER_USER="5", **{f"RATE_LIMIT_{limit}": "2/minute"})
    assert ask(service, "POST", "/calls", json=OPEN).status_code == 201
    assert ask(service, "POST", "/token", json={"model": "gpt-realtime-2.1"}).status_code == 200
    answer = refuse(service, sign(), 429, "rate_limit_exceeded", vendor)
    assert answer.headers["x-should-retry"] == "false"
