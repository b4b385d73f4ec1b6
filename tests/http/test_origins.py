"""Which pages may call: origins as people write them, and as browsers and packaged apps send them."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from service.core.origins import Origins, parse_origin
from tests.support.processes import wait_until
from tests.support.service import Sandbox, TokenService, running_service

APPS = (
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "app://.",
    "http://localhost:3000",
)
LISTED = (*APPS, "https://app.example.com:443", "https://bücher.example.com", "https://*.preview.example.com")
PREVIEWS = Origins((parse_origin("https://*.preview.example.com"),))
METRICS_TOKEN = "a-token-for-prometheus"


@pytest.fixture(scope="module")
def service(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service for apps, a site with a Unicode host, and preview deployments."""
    with running_service(
        sandbox.base_url,
        ALLOWED_ORIGINS=", ".join(LISTED),
        CORS_ALLOWED_HEADERS="X-Team, X.Odd+Name",
        METRICS_TOKEN=METRICS_TOKEN,
    ) as service:
        yield service


def preflight(
    service: TokenService, *, method: str = "POST", headers: str = "", path: str = "/token"
) -> set[str]:
    """Ask as a page does before its request; return what it may send, in lower case, and by which methods."""
    asked = {"Origin": "capacitor://localhost", "Access-Control-Request-Method": method}
    answer = requests.options(
        service.url + path, headers=asked | {"Access-Control-Request-Headers": headers}, timeout=10
    )
    allowed = ", ".join(
        answer.headers.get(f"Access-Control-Allow-{kind}", "") for kind in ("Headers", "Methods")
    )
    return {name.strip().lower() for name in allowed.split(",")} - {""}


@pytest.mark.parametrize(
    "origin",
    [
        *APPS,
        "https://app.example.com",
        "https://xn--bcher-kva.example.com",
        "https://pr-17.preview.example.com",
    ],
)
def test_what_the_apps_and_browsers_of_listed_origins_send_is_allowed(
    service: TokenService, origin: str
) -> None:
    answer = service.get("/healthz", headers={"Origin": origin})

    assert answer.headers["Access-Control-Allow-Origin"] == origin


@pytest.mark.parametrize(
    "origin",
    [
        "https://preview.example.com",
        "https://a.b.preview.example.com",
        "https://.preview.example.com",
        "https://evil.io/.preview.example.com",
        "https://evil.io#.preview.example.com",
        "https://evilpreview.example.com",
        "https://a.preview.example.com.evil.io",
        "https://a.preview.example.com:8443",
        "https://a.previewXexample.com",
        "http://a.preview.example.com",
        "https://*.preview.example.com",
        "https://A.preview.example.com",
        "capacitor://localhost.evil.io",
        "ionic://",
        "null",
        "file://",
    ],
)
def test_what_only_looks_like_a_listed_origin_is_not_allowed(service: TokenService, origin: str) -> None:
    answer = service.get("/healthz", headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in answer.headers


@given(st.text(alphabet="abc.:/@#?\\%[]*-_ \n\t\0é", max_size=30))
def test_a_pattern_lets_through_one_plain_label_and_nothing_else(label: str) -> None:
    """Whatever stands in the asterisk's place."""
    plain = label.replace("-", "a").replace("_", "a")

    allowed = PREVIEWS.allows(f"https://{label}.preview.example.com")

    assert not allowed or (plain.isalnum() and plain.isascii())
    assert not PREVIEWS.allows(f"https://{label}")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://localhost:80", "http://localhost"),
        ("https://app.example.com:0443", "https://app.example.com"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000"),
        ("https://*.vorschau.bücher.example:443", "https://*.vorschau.xn--bcher-kva.example"),
        (
            "moz-extension://0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f",
            "moz-extension://0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f",
        ),
        ("ionic://", "ionic://"),
    ],
)
def test_an_origin_is_converted_to_the_form_that_browsers_send(written: str, sent: str) -> None:
    assert parse_origin(written) == sent


@pytest.mark.parametrize(
    "suffix", ["com", "co.uk", "vercel.app", "github.io", "pages.dev", "herokuapp.com", "127.0.0.1"]
)
def test_no_pattern_stands_for_names_that_anybody_can_have(suffix: str) -> None:
    with pytest.raises(ValueError, match="holds a pattern"):
        parse_origin(f"https://*.{suffix}")


def test_answers_that_the_server_itself_gives_use_the_same_list(service: TokenService) -> None:
    """A request that is no HTTP never reaches the app."""
    for origin, is_allowed in {
        "app://.": True,
        "https://a.preview.example.com": True,
        "https://evil.io": False,
    }.items():
        with socket.create_connection(
            ("127.0.0.1", int(service.url.rpartition(":")[2])), timeout=10
        ) as client:
            client.sendall(f"GET / HTTP/1.1\r\nHost: x\r\nOrigin: {origin}\r\nbroken header\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65_536), b"")).decode()
        assert answer.startswith("HTTP/1.1 400 ")
        assert (f"Access-Control-Allow-Origin: {origin}\r\n" in answer) is is_allowed


SENT = (
    "authorization,content-type,x-request-id,x-openai-agents-sdk,x-stainless-lang,openai-organization,openai-project,"
    "openai-beta,traceparent,tracestate,baggage,sentry-trace,x-requested-with,idempotency-key,x-datadog-trace-id,"
    "x-b3-traceid,request-id,x-amzn-trace-id,newrelic,accept-language,cache-control,x-team,x.odd+name"
)


def test_a_preflight_allows_what_sdks_tracing_and_the_admin_send(service: TokenService) -> None:
    assert preflight(service, headers=SENT) == {*SENT.split(","), "get", "post", "delete"}


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_preflight_allows_the_contracts_methods_alone(service: TokenService, method: str) -> None:
    assert method.lower() in preflight(service, method=method)
    assert not preflight(service, method="PUT")


def test_a_preflight_does_not_allow_what_speaks_for_a_proxy_or_only_begins_like_a_usual_name(
    service: TokenService,
) -> None:
    odd = "x-forwarded-for,forwarded,cf-connecting-ip,cookie,b3evil,authorization2,x-teams,xxodd+name"

    assert preflight(service, headers=odd) == {"get", "post", "delete"}


@pytest.mark.parametrize("path", ["/metrics", "/admin/calls", "/admin"])
def test_what_machines_ask_has_no_cors(service: TokenService, path: str) -> None:
    answer = service.get(path, headers={"Origin": "app://."})

    assert not [name for name in answer.headers if name.startswith("Access-Control")]
    assert not preflight(service, path=path)


def test_a_refused_origin_is_one_line_a_minute_that_names_it_and_the_variable(sandbox: Sandbox) -> None:
    """For every page together, so that nobody fills the log; a page of the service's own is none."""
    with running_service(sandbox.base_url, ALLOWED_ORIGINS="https://app.example.com") as service:
        service.get("/healthz", headers={"Origin": service.url})
        service.get("/healthz", headers={"Origin": "https://app.example.com"})
        for number in range(20):
            service.get("/healthz", headers={"Origin": f"https://www{number}.example.com"})
        wait_until(lambda: "www0.example.com" in service.run.output, seconds=5, what="the line")
        lines = [json.loads(line) for line in service.run.output.splitlines() if "ALLOWED_ORIGINS" in line]
        assert "www1.example.com" not in service.run.output
    [line] = [line for line in lines if line["level"] == "warning"]
    assert line["origin"] == "https://www0.example.com"


def test_without_any_allowed_origin_a_page_is_told_of_too(sandbox: Sandbox) -> None:
    with running_service(sandbox.base_url) as service:
        service.get("/healthz", headers={"Origin": "https://app.example.com"})
        wait_until(lambda: "https://app.example.com" in service.run.output, seconds=5, what="the line")
        assert "ALLOWED_ORIGINS" in service.run.output
