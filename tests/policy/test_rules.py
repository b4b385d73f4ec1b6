"""Every rule of a policy, by the table, and what surrounds the rules."""

from __future__ import annotations

from typing import Any

import pytest

from service.core.errors import InsufficientScopeError, UnknownParameterError
from service.http.schemas import ClientSecretBody, TranslationSecretBody
from service.vendors.openai_beta import LAYOUT as OPENAI_BETA
from tests.policy.rule_table import BIG, TABLE, TRANSCRIBE, TRANSLATE, Refused, Row, session
from tests.support.policies import decide, policy, refusal


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.what)
def test_the_table_of_rules(row: Row) -> None:
    """A granted request is sent with these members; a refused one is refused by this rule."""
    if isinstance(row.expected, Refused):
        error = refusal(policy(row.policy), row.body, row.claims)
        assert error is not None
        blamed = "profile" if isinstance(error, InsufficientScopeError) else error.param
        decided_by = "" if error.reason is None else error.reason.partition(": ")[0]
        assert Refused(str(blamed), decided_by, str(error.code)) == row.expected
        return
    grant = decide(policy(row.policy), row.body, row.claims)
    granted = {"expires_in": grant.expires_in, "profile": grant.profile, **grant.session}
    assert {name: granted.get(name) for name in row.expected} == row.expected
    assert grant.findings == ()


def is_refused_by_a_document(row: Row) -> bool:
    """Return whether audit mode makes a difference to a row."""
    return (
        isinstance(row.expected, Refused) and row.policy is not None and row.expected.rule != "ALLOWED_MODELS"
    )


@pytest.mark.parametrize(
    "row", [row for row in TABLE if is_refused_by_a_document(row)], ids=lambda row: row.what
)
def test_audit_mode_lets_through_what_the_policy_refuses_and_notes_the_rule(row: Row) -> None:
    """Whoever turns a policy on can first see which callers it would refuse; contradictions stay refusals."""
    assert isinstance(row.expected, Refused)
    audited = policy({**(row.policy or {}), "mode": "audit"})
    if not row.expected.rule:
        assert refusal(audited, row.body, row.claims) is not None
        return
    grant = decide(audited, row.body, row.claims)
    assert any(finding.startswith(row.expected.rule + ": ") for finding in grant.findings)


def test_audit_mode_never_lifts_the_environment() -> None:
    """ALLOWED_MODELS and TOKEN_MAX_TTL hold in every mode."""
    audited = policy({"mode": "audit"})
    assert refusal(audited, {"model": "m9"}) is not None
    assert refusal(audited, {"expires_after": {"seconds": 601}}) is not None


def test_audit_mode_sends_what_was_asked() -> None:
    """It caps nothing, or the day it is switched on would change every session."""
    audited = policy({"mode": "audit", "bounds": {"max_output_tokens": 10}, "max_expires_in": 10})
    grant = decide(audited, {})
    assert (grant.expires_in, "max_output_tokens" in grant.session, grant.findings) == (60, False, ())


def test_a_request_of_many_members_does_not_fill_the_log() -> None:
    """Findings are counted out."""
    audited = policy({"mode": "audit", "fields": {"allow": []}})
    grant = decide(audited, session(**{f"m{number}": 1 for number in range(1000)}))
    assert 0 < len(grant.findings) <= 20


def test_the_vendors_routes_pass_the_same_policy() -> None:
    """A drop-in route is no way around a rule."""
    decider = policy({"types": ["translation"], "fields": {"deny": ["audio"]}})
    grant = decide(decider, session(model=TRANSLATE), route=TranslationSecretBody)
    assert (grant.session_type, grant.model) == ("translation", TRANSLATE)
    with pytest.raises(Exception, match="not available") as caught:
        decide(decider, session(type="realtime", model=BIG), route=ClientSecretBody)
    assert getattr(caught.value, "param", None) == "session.type"


BETA_REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"expires_after": {"seconds": 60}}, "expires_after"),
    ({"session": {"type": "transcription"}, "model": TRANSCRIBE}, "session.type"),
    ({"session": {"type": "translation"}, "model": TRANSLATE}, "session.type"),
]


@pytest.mark.parametrize(("body", "param"), BETA_REFUSED)
def test_the_beta_dialect_refuses_what_it_has_not(body: dict[str, Any], param: str) -> None:
    """As an invalid request, since no value would be right."""
    error = refusal(policy(layout=OPENAI_BETA), body)
    assert error is not None
    assert (error.code, error.param) == ("invalid_request", param)


def test_the_beta_dialect_keeps_its_members_elsewhere() -> None:
    """Its voice and its limit on output lie flat in the session, and its members pass as they are."""
    decider = policy({"voices": ["alloy"], "bounds": {"max_response_output_tokens": 9}}, layout=OPENAI_BETA)
    grant = decide(decider, session(voice="alloy", modalities=["text"]))
    assert grant.session["max_response_output_tokens"] == 9
    assert grant.session["modalities"] == ["text"]
    error = refusal(decider, session(voice="ash"))
    assert error is not None
    assert error.param == "session.voice"


def test_an_unknown_profile_is_an_unknown_parameter_only_without_a_document() -> None:
    """Without SESSION_POLICY the service knows no such member."""
    assert isinstance(refusal(policy(), {"profile": "p"}), UnknownParameterError)
