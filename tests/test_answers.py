"""What every answer carries, whichever route gave it."""

from __future__ import annotations

import pytest
import requests

from tests.support.service import Sandbox, TokenService, app_in_process
from tests.support.tokens import sign

ORIGIN = "https://app.example.com"
IPV6_ORIGIN = "http://[::1]:3000"


@pytest.fixture(scope="module")
def service(sandbox: Sandbox) -> TokenService:
    """A service that one browser app may call, three times an hour."""
    return app_in_process(
        sandbox.base_url,
        ALLOWED_ORIGINS=f"{ORIGIN},http://localhost:3000,{IPV6_ORIGIN}",
        RATE_LIMIT_PER_USER="3/hour",
    )


def preflight(service: TokenService, origin: str, headers: str) -> requests.Response:
    """Ask as a browser does before it sends a POST with these headers."""
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }
    return service.request("OPTIONS", f"{service.url}/token", headers=asked)


def test_an_answer_is_not_to_be_stored_and_names_its_request(service: TokenService) -> None:
    answer = service.token(jwt=sign(sub="ada"))

    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize(
    ("given", "kept"),
    [("router-id_1.2", True), ("a" * 128, True), ("a" * 129, False), ("x y", False), ("ä", False)],
)
def test_the_routers_request_id_is_kept_where_it_is_a_plain_word(
    service: TokenService, given: str, kept: bool
) -> None:
    answer = service.get("/healthz", headers={"X-Request-Id": given.encode()})

    assert (answer.headers["X-Request-Id"] == given) is kept


def test_a_caller_is_told_how_the_own_limit_stands(service: TokenService) -> None:
    user = sign(sub="bob")

    first, second, third, refused = (service.token(jwt=user) for _ in range(4))
    assert first.headers["RateLimit-Policy"] == '"user";q=3;w=3600'
    assert [a.headers["RateLimit"].partition(";t=")[0] for a in (first, second, third, refused)] == [
        '"user";r=2',
        '"user";r=1',
        '"user";r=0',
        '"user";r=0',
    ]
    assert "Retry-After" not in third.headers
    assert refused.status_code == 429


def test_an_allowed_origin_may_read_every_answer_errors_included(service: TokenService) -> None:
    for answer in (
        service.token(jwt=sign(sub="eve"), headers={"Origin": ORIGIN}),
        service.token(jwt="junk", headers={"Origin": ORIGIN}),
        service.get("/nowhere", headers={"Origin": ORIGIN}),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert answer.headers["Vary"] == "Origin"
        exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert exposed == {"Retry-After", "RateLimit", "RateLimit-Policy", "X-Request-Id", "WWW-Authenticate"}


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.com.evil.io",
        "http://app.example.com",
        "https://xapp.example.com",
        "https://APP.example.com",
        "https://appXexample.com",
        "http://::3000",
        "null",
    ],
)
def test_another_origin_gets_no_permission_and_no_shared_cache_entry(
    service: TokenService, origin: str
) -> None:
    answer = service.token(jwt="junk", headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Origin" in answer.headers["Vary"]


def test_an_origin_with_an_ipv6_address_is_an_origin_and_no_pattern(service: TokenService) -> None:
    answer = service.get("/healthz", headers={"Origin": IPV6_ORIGIN})

    assert answer.headers["Access-Control-Allow-Origin"] == IPV6_ORIGIN


def test_who_sends_no_origin_is_told_none_of_the_list(service: TokenService) -> None:
    answer = service.get("/healthz")

    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert answer.headers["Vary"] == "Origin"


def test_a_preflight_needs_no_token_costs_no_quota_and_allows_what_the_sdks_send(
    service: TokenService,
) -> None:
    sent = "authorization,content-type,x-request-id,x-stainless-lang,x-stainless-retry-count"

    for _ in range(5):
        answer = preflight(service, ORIGIN, sent)
        assert answer.status_code in {200, 204}
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        allowed = {name.strip().lower() for name in answer.headers["Access-Control-Allow-Headers"].split(",")}
        assert allowed >= set(sent.split(","))
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert service.token(jwt=sign(sub="fay")).headers["RateLimit"].startswith('"user";r=2')


def test_without_allowed_origins_there_is_no_cors_at_all(sandbox: Sandbox) -> None:
    answer = app_in_process(sandbox.base_url).token(headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("Access-Control")]


def test_the_browser_companion_is_served_as_a_module(service: TokenService) -> None:
    answer = service.get("/static/realtime.js", headers={"Origin": ORIGIN})

    assert answer.headers["Content-Type"].startswith("text/javascript")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_the_demo_page_is_not_there_outside_the_demo(service: TokenService) -> None:
    assert service.get("/demo").status_code == 404


def test_a_service_says_that_it_lives(service: TokenService) -> None:
    assert service.get("/healthz").json() == {"status": "ok"}
