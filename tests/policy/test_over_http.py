"""A policy at work in the running service, from the caller's body to what the vendor is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

AUDITED_RULE = {"unless": {"user_metadata.tier": "paid"}, "models": ["gpt-realtime-2.1"]}
DOCUMENT: dict[str, Any] = {
    "profiles": {
        "support": {
            "session": {"instructions": "You help {claim:given_name}."},
            "expires_in": 45,
            "locked": ["instructions"],
            "requires": {"scope": "realtime:support"},
        }
    },
    "bounds": {"max_output_tokens": 1024},
}
AGENT: dict[str, Any] = {"scope": "realtime:support", "given_name": "Ada"}


@pytest.fixture(scope="module")
def guarded(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenService]:
    """The service with its policy in a file."""
    path: Path = tmp_path_factory.mktemp("policy") / "policy.json"
    path.write_text(json.dumps(DOCUMENT), encoding="utf-8")
    with running_service(sandbox.base_url, SESSION_POLICY=str(path)) as service:
        yield service


@pytest.fixture(scope="module")
def audited(sandbox: Sandbox) -> Iterator[TokenService]:
    """The service with its policy inline, in audit mode."""
    document = {**DOCUMENT, "mode": "audit", "rules": [AUDITED_RULE]}
    with running_service(sandbox.base_url, SESSION_POLICY=json.dumps(document)) as service:
        yield service


def test_the_vendor_is_asked_for_what_the_profile_says(guarded: TokenService, sandbox: Sandbox) -> None:
    """With the caller's own members beside it."""
    sandbox.reset()
    answer = guarded.token({"profile": "support", "session": {"tools": []}}, jwt=sign(**AGENT))
    assert answer.status_code == 200
    (mint,) = sandbox.mints()
    assert mint["body"]["expires_after"] == {"anchor": "created_at", "seconds": 45}
    session = mint["body"]["session"]
    assert (session["instructions"], session["tools"], session["max_output_tokens"]) == (
        "You help Ada.",
        [],
        1024,
    )


@pytest.mark.parametrize("path", ["/token", "/v1/realtime/client_secrets"])
def test_a_locked_member_is_refused_by_name_on_every_route(guarded: TokenService, path: str) -> None:
    """Before the vendor is asked for anything."""
    body = {"profile": "support", "session": {"type": "realtime", "instructions": "Be rude."}}
    answer = guarded.post(path, body, jwt=sign(**AGENT))
    assert answer.status_code == 403
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == ("session_field_not_allowed", "session.instructions")


def test_a_missing_scope_is_challenged(guarded: TokenService) -> None:
    """As RFC 6750 §3.1 has it."""
    answer = guarded.token({"profile": "support"})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "insufficient_scope"
    assert 'scope="realtime:support"' in answer.headers["WWW-Authenticate"]


def test_audit_mode_mints_and_logs_what_would_have_been_refused(
    audited: TokenService, sandbox: Sandbox
) -> None:
    """With the rule, so that the admin knows which line to look at."""
    sandbox.reset()
    answer = audited.token({"session": {"tracing": "auto"}})
    assert answer.status_code == 200
    assert sandbox.mints()[0]["body"]["session"]["tracing"] == "auto"
    assert "would_refuse" in audited.run.output
    assert "tracing: You may not set 'session.tracing'." in audited.run.output


def test_the_start_logs_what_the_admin_should_look_at(audited: TokenService) -> None:
    """Foremost a rule that turns on what users write themselves."""
    assert "SESSION_POLICY: rules[0].unless: users can often write the claim" in audited.run.output


def test_a_wrong_policy_ends_the_start_with_its_problems(sandbox: Sandbox) -> None:
    """On standard error, with an exit status, and with nothing served."""
    with (
        pytest.raises(AssertionError, match="did you mean"),
        running_service(sandbox.base_url, SESSION_POLICY='{"profile": {}, "mode": "x"}'),
    ):
        pass
