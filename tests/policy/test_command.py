"""``python -m service policy`` reads the policy back, and tries it, with nothing but the environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.policy.command import policy as command
from service.policy.explain import HONEST_WORDS
from tests.support.forks import run_command
from tests.support.processes import bare_environ

DOCUMENT: dict[str, Any] = {
    "profiles": {
        "support": {
            "description": "Help desk",
            "model": "gpt-realtime-2.1",
            "session": {"instructions": "You help {claim:given_name}."},
            "expires_in": 45,
            "locked": ["instructions"],
            "requires": {"scope": "realtime:support"},
        }
    },
    "defaults": {"session": {"audio": {"output": {"voice": "marin"}}}},
    "bounds": {"max_output_tokens": 1024},
    "rules": [
        {
            "name": "free",
            "when": {"region": "eu"},
            "unless": {"user_metadata.tier": ["paid"]},
            "voices": ["ash"],
        }
    ],
}


def run(*options: str, document: Mapping[str, Any] | None = DOCUMENT, **environ: str) -> Result:
    """Run the command in a bare environment."""
    policy = {"SESSION_POLICY": json.dumps(document)} if document is not None else {}
    return CliRunner().invoke(command, options, env={**policy, **environ})


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Write JSON files, and give their paths."""

    def write(name: str, value: Any) -> str:
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
        return str(path)

    return write


def test_it_says_in_words_what_each_profile_and_rule_allows() -> None:
    """And what is worth a second look."""
    result = run("--explain")
    assert result.exit_code == 0
    for words in (
        "This policy is enforced",
        "models: gpt-realtime-2.1",
        "a secret is valid for at most 600 seconds",
        "max_output_tokens: a number at most 1024",
        "remote MCP servers the caller may bring: none",
        "Callers who name no profile (sessions of type realtime)",
        'Profile "support" (type realtime): Help desk',
        "a secret is valid for 45 seconds unless the caller requests otherwise",
        "for callers whose scope is realtime:support",
        "text is filled in from the caller's claims: given_name",
        "the caller may not change: instructions",
        "And callers whose region is eu, unless user_metadata.tier is paid [rules[0] (free)]",
        "voices the caller may choose: ash",
        'users can often write the claim "user_metadata.tier" themselves',
    ):
        assert words in result.output


def test_it_says_honestly_what_a_policy_cannot_do() -> None:
    """In audit mode and without a document too."""
    for document in (DOCUMENT, {"mode": "audit"}, None):
        output = run(document=document).output
        assert HONEST_WORDS in output
        assert "session.update" in output
    assert "SESSION_POLICY is not set" in run(document=None).output
    assert "audit mode" in run(document={"mode": "audit"}).output


def test_a_request_can_be_tried(written: Any) -> None:
    """What would be sent is printed as it would be sent."""
    request = written("request.json", {"profile": "support"})
    claims = written("claims.json", {"sub": "u", "given_name": "Ada", "scope": "realtime:support"})
    result = run("--try", request, "--claims", claims)
    assert result.exit_code == 0
    first, _, body = result.output.partition("\n")
    assert first == "granted: POST /realtime/client_secrets"
    assert json.loads(body) == {
        "expires_after": {"anchor": "created_at", "seconds": 45},
        "session": {
            "type": "realtime",
            "model": "gpt-realtime-2.1",
            "instructions": "You help Ada.",
            "max_output_tokens": 1024,
        },
    }


def test_a_refusal_names_the_rule_that_decided(written: Any) -> None:
    """And the exit status tells scripts."""
    request = written("request.json", {"profile": "support"})
    result = run("--try", request)
    assert result.exit_code == 1
    assert "refused: 403 insufficient_scope" in result.output
    assert "decided by profiles.support.requires" in result.output


def test_a_body_that_is_none_is_refused_as_the_service_does(written: Any) -> None:
    """With the same code; no rule decided."""
    result = run("--try", written("request.json", '{"modell": "m"}'))
    assert "refused: 400 unknown_parameter (modell)" in result.output
    assert "decided by" not in result.output


def test_audit_mode_shows_what_would_be_refused(written: Any) -> None:
    """Below what would be sent."""
    document = {**DOCUMENT, "mode": "audit"}
    result = run("--try", written("request.json", {"session": {"tracing": "auto"}}), document=document)
    assert result.exit_code == 0
    assert "would be refused by tracing: " in result.output


CALLS = {"DEFAULT_MODEL": "gpt-live-1.1", "ALLOWED_MODELS": "gpt-live-1.1,gpt-realtime-2.1"}


def test_a_call_can_be_tried(written: Any) -> None:
    """What would be sent is printed, its data channel too; the offer may be left out."""
    document = {**DOCUMENT, "max_call_seconds": 300}
    request = {"session": {"type": "live", "instructions": "Hi."}, "max_seconds": 900}
    bare = ("--try", written("call.json", request))
    offered = ("--try", written("offered.json", {**request, "sdp": "v=0"}))
    for options in ((*bare, "--call"), offered, (*offered, "--call")):
        result = run(*options, document=document, **CALLS)
        first, _, session = result.output.partition("\n")
        assert first == (
            "granted: a live call, at most 300 seconds, and not longer than CALL_MAX_SECONDS or the user's tier allows"
        )
        assert json.loads(session)["client"]["data_channel"]["allowed_client_events"][-1] == "session.close"
        assert "v=0" not in result.output


def test_a_call_may_last_as_long_as_the_environment_says(written: Any) -> None:
    """Where no policy lowers it."""
    result = run(
        "--try", written("call.json", {"model": "gpt-realtime-2.1"}), "--call", document=None, **CALLS
    )
    assert result.output.startswith(
        "granted: a realtime call, as long as CALL_MAX_SECONDS or the user's tier allows\n"
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"session": {"triggers": []}}, "refused: 403 session_field_not_allowed (session.triggers)"),
        ({"session": {"type": "translation"}}, "refused: 400 invalid_value (session.type)"),
        ({"session": {"type": ["live"]}}, "refused: 400 invalid_value (session.type)"),
        ({"max_seconds": 29}, "refused: 400 invalid_value (max_seconds)"),
        ({"expires_after": {"seconds": 60}}, "refused: 400 unknown_parameter (expires_after)"),
        ("[]", "is not a JSON object"),
    ],
)
def test_a_call_is_refused_as_the_service_does(written: Any, body: Any, words: str) -> None:
    """With the same code and member."""
    result = run("--try", written("call.json", body), "--call", document=None, **CALLS)
    assert result.exit_code != 0
    assert words in result.output


def test_a_live_model_is_refused_a_secret_in_words_that_help(written: Any) -> None:
    """The command that tries it is the one with --call."""
    result = run("--try", written("request.json", {}), document=None, **CALLS)
    assert "refused: 400 invalid_value (session.model)" in result.output
    assert "POST /calls" in result.output


@pytest.mark.parametrize("claims", ["no JSON", "[]"])
def test_claims_that_are_none_are_refused(written: Any, claims: str) -> None:
    """With the option's name, and no traceback."""
    result = run("--try", written("request.json", {}), "--claims", written("claims.json", claims))
    assert result.exit_code == 2
    assert "--claims" in result.output


def test_claims_alone_make_no_sense(written: Any) -> None:
    """There is nothing to try."""
    assert run("--claims", written("claims.json", {})).exit_code == 2


def test_a_wrong_policy_is_explained_and_not_tried() -> None:
    """As at the start of the service."""
    result = run(document={"mode": "x", "voice": []})
    assert result.exit_code == 1
    assert "SESSION_POLICY" in result.output
    assert 'did you mean "voices"?' in result.output


def test_the_beta_dialect_is_known_to_it(written: Any) -> None:
    """What would be sent then is a beta session."""
    request = written("request.json", {"session": {"voice": "alloy"}})
    result = run("--try", request, document=None, REALTIME_API="beta")
    assert result.output.startswith("granted: POST /realtime/sessions")


def test_it_is_one_of_the_services_commands() -> None:
    """And the schema that it prints is JSON."""
    finished = run_command("policy", "--schema", environ=bare_environ())
    assert json.loads(finished.stdout)["title"] == "PolicyDocument"
