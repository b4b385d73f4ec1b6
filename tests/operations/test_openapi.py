"""The description holds: schemathesis asks whatever it allows, and whatever it forbids, with every check on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import __version__
from tests.support.processes import PYTHON, ROOT, bare_environ
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign
from tests.support.voice import MODELS

METRICS_TOKEN = "a-token-for-prometheus"
EXAMPLES = "40" if os.environ.get("CI") else "20"
METRICS_CONFIG = f"""
[[operations]]
include-path = "/metrics"
headers = {{ Authorization = "Bearer {METRICS_TOKEN}" }}

[[operations]]
include-path = "/v1/realtime/calls"
enabled = false  # what it takes is no JSON: tests/calls/test_routes.py
"""


@pytest.fixture(scope="module")
def described(sandbox: Sandbox) -> Iterator[TokenService]:
    """A service with numbers to show and a bound on lives that is not the default."""
    variables = {
        "METRICS_TOKEN": METRICS_TOKEN,
        "TOKEN_MAX_TTL": "900",
        "ALLOWED_MODELS": MODELS,
        "CALL_MINUTES_PER_USER": "1000000/day",
        "CALLS_GLOBAL": "10000",
        "RATE_LIMIT_CALL_CONTROL_PER_USER": "100000/minute",
    }
    with running_service(sandbox.base_url, **variables) as service:
        yield service


def description(service: TokenService) -> dict[str, Any]:
    """Fetch it."""
    answer: dict[str, Any] = service.get("/openapi.json").json()
    return answer


def test_schemathesis_finds_nothing(described: TokenService, tmp_path: Path) -> None:
    """Whatever the description allows is accepted, whatever it forbids refused, all in the shapes it tells."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(METRICS_CONFIG)
    command = [
        PYTHON,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(config),
        "run",
        f"{described.url}/openapi.json",
    ]
    options = [
        "--checks",
        "all",
        "--exclude-checks",
        "use_after_free",  # a call that was ended can be read for an hour
        "--max-examples",
        EXAMPLES,
        "--continue-on-failure",
        "--no-color",
        "--generation-deterministic",
    ]
    result = subprocess.run(
        [*command, *options, "--header", f"Authorization: Bearer {sign()}"],
        check=False,
        cwd=tmp_path,
        env=bare_environ(
            PYTHONPATH=str(ROOT),
            SCHEMATHESIS_HOOKS="tests.operations.schemathesis_hooks",
            PYTHONWARNINGS="ignore",
        ),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    operations = sum(len(methods) for methods in description(described)["paths"].values())
    others = operations - 2  # it leaves out the description itself, and the one that is no JSON
    assert f"Tested: {others}" in result.stdout, result.stdout[-2000:]


def test_every_route_described_exists(described: TokenService) -> None:
    """And knows the method it is described with."""
    for path, methods in description(described)["paths"].items():
        for method in methods:
            url, headers = (
                described.url + path.replace("{call_id}", "x"),
                {"Authorization": f"Bearer {sign()}"},
            )
            answer = described.request(method, url, headers=headers, timeout=30)
            assert answer.status_code != 405, path
            assert answer.status_code != 404 or "{call_id}" in path


def test_the_description_is_of_this_very_service(described: TokenService, service: TokenService) -> None:
    """The longest life is the admin's, and members that nothing here knows are not offered."""
    longest = [
        description(each)["components"]["schemas"]["ExpiresAfter"]["properties"]["seconds"]["maximum"]
        for each in (described, service)
    ]
    assert longest == [900, 600]
    assert "profile" not in description(service)["components"]["schemas"]["TokenBody"]["properties"]


def test_profiles_are_offered_where_the_admin_defined_some(sandbox: Sandbox) -> None:
    """Not by name: that is between the admin and the apps."""
    policy = '{"profiles": {"kiosk-secret-name": {"session": {"instructions": "Be brief."}}}}'
    with running_service(sandbox.base_url, SESSION_POLICY=policy) as service:
        text = service.get("/openapi.json").text
        assert "profile" in description(service)["components"]["schemas"]["TokenBody"]["properties"]
        assert "kiosk-secret-name" not in text


def test_the_beta_dialect_is_described_without_what_it_has_not(beta_sandbox: Sandbox) -> None:
    """No drop-in routes, and no lives to choose."""
    with running_service(beta_sandbox.base_url, REALTIME_API="beta") as service:
        document = description(service)
    assert not [path for path in document["paths"] if path.startswith("/v1/")]
    assert "expires_after" not in document["components"]["schemas"]["TokenBody"]["properties"]


def test_every_error_a_mint_may_end_with_is_described(described: TokenService) -> None:
    """One answer for each status of the contract's table, with its codes."""
    answers = description(described)["paths"]["/token"]["post"]["responses"]
    assert set(answers) == {
        "200",
        "400",
        "401",
        "403",
        "408",
        "413",
        "415",
        "431",
        "429",
        "500",
        "502",
        "503",
        "504",
    }
    for code in ("upstream_rejected_credentials", "upstream_error"):
        assert code in answers["502"]["description"]
    assert answers["429"]["headers"]["Retry-After"]["required"] is True


def test_every_operation_has_a_name_and_a_place_and_the_version_is_told(described: TokenService) -> None:
    """Generators of clients name methods by ``operationId``; pages group by tags."""
    document = description(described)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert {tag for one in operations for tag in one["tags"]} == {tag["name"] for tag in document["tags"]}
    assert document["info"]["version"] == __version__
    assert document["servers"] == [{"url": "/", "description": "Where this description was read."}]
    authorization = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    assert (
        f'token_service_info{{version="{__version__}"}} 1.0'
        in described.get("/metrics", headers=authorization).text
    )


def test_the_examples_of_bodies_are_accepted(sandbox: Sandbox) -> None:
    """Each as it stands, where its model is allowed."""
    tried = 0
    with running_service(sandbox.base_url, ALLOWED_MODELS="gpt-realtime-2.1") as service:
        for path, methods in description(service)["paths"].items():
            content = methods.get("post", {}).get("requestBody", {}).get("content", {})
            for example in content.get("application/json", {}).get("examples", {}).values():
                answer = service.post(path, example["value"])
                assert answer.status_code == 200, answer.text
                tried += 1
    assert tried == 2
