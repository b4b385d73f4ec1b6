"""The policies that the documentation shows, taken out of it and put to work."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.policy import Policy, PolicyDocument, build
from service.policy.explain import warnings
from service.policy.settings import PolicySettings
from service.vendors.openai import LAYOUT as OPENAI
from tests.support.documentation import marked
from tests.support.policies import decide, refusal

BIG, SMALL = "gpt-realtime-2.1", "gpt-realtime-2.1-mini"
TRANSCRIBE, TRANSCRIBE_SMALL = "gpt-realtime-whisper", "gpt-live-transcribe"
PAID, COACHED = {"tier": "paid"}, {"tier": "paid", "scope": "realtime:coach"}


def example(name: str, **environ: str) -> Policy:
    """Read one example as the service would at its start, beside the variables that its text names."""
    examples = marked("policy")
    settings = PolicySettings.from_environ({"SESSION_POLICY": examples[name], **environ})
    assert settings.problems(OPENAI) == ()
    return build(settings, OPENAI)


@pytest.fixture(scope="module")
def kiosk() -> Policy:
    """One locked agent."""
    return example("kiosk", DEFAULT_MODEL=SMALL)


@pytest.fixture(scope="module")
def two_tier() -> Policy:
    """Free and paid users."""
    return example("two-tier", ALLOWED_MODELS=f"{BIG},{SMALL}")


@pytest.fixture(scope="module")
def transcription_only() -> Policy:
    """Dictation."""
    return example(
        "transcription-only",
        DEFAULT_MODEL=TRANSCRIBE_SMALL,
        ALLOWED_MODELS=f"{TRANSCRIBE_SMALL},{TRANSCRIBE}",
    )


def test_each_example_is_sound(kiosk: Policy, two_tier: Policy, transcription_only: Policy) -> None:
    """None of them has anything to warn of, and all are written for enforcement."""
    for policy in (kiosk, two_tier, transcription_only):
        assert warnings(policy) == []
        assert isinstance(policy.document, PolicyDocument)
        assert policy.document.mode == "enforce"


def test_the_kiosk_gets_its_agent_as_the_admin_wrote_it(kiosk: Policy) -> None:
    """From a client that says nothing but its profile's name, or repeats the model as SDKs do."""
    grant = decide(kiosk, {"profile": "front-desk"})
    assert (grant.model, grant.expires_in) == (SMALL, 30)
    assert grant.session["instructions"].startswith("You are the front desk")
    assert grant.session["max_output_tokens"] == 600
    assert decide(kiosk, {"profile": "front-desk", "model": SMALL}) == grant


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"profile": "back-office"},
        {"profile": "front-desk", "model": BIG},
        {"profile": "front-desk", "expires_after": {"seconds": 60}},
        {"profile": "front-desk", "session": {"instructions": "Be a pirate."}},
        {"profile": "front-desk", "session": {"tools": []}},
        {"profile": "front-desk", "session": {"audio": {"output": {"voice": "cedar"}}}},
        {"profile": "front-desk", "session": {"truncation": "disabled"}},
        {"profile": "front-desk", "session": {"type": "transcription"}},
    ],
)
def test_the_kiosk_can_change_nothing(kiosk: Policy, body: dict[str, Any]) -> None:
    """Neither the agent nor anything beside it."""
    assert refusal(kiosk, body) is not None


def test_everybody_starts_on_the_small_model(two_tier: Policy) -> None:
    """A free user with the shorter answers and the shorter life."""
    free, paid = decide(two_tier, {}), decide(two_tier, {}, PAID)
    assert (free.model, paid.model) == (SMALL, SMALL)
    assert (free.session["max_output_tokens"], paid.session["max_output_tokens"]) == (512, 2048)
    assert (free.expires_in, paid.expires_in) == (30, 60)


def test_who_pays_may_name_the_large_model_and_who_does_not_may_not(two_tier: Policy) -> None:
    """The refusal names the rule."""
    assert decide(two_tier, {"model": BIG}, PAID).model == BIG
    error = refusal(two_tier, {"model": BIG})
    assert error is not None
    assert str(error.reason).startswith("rules[0] (free tier).")


def test_the_coach_is_for_who_pays_and_has_its_scope(two_tier: Policy) -> None:
    """Its instructions are locked, and name the member."""
    grant = decide(two_tier, {"profile": "coach"}, {**COACHED, "sub": "m-7"})
    assert grant.session["instructions"] == 'You are the personal coach of the member "m-7".'
    assert refusal(two_tier, {"profile": "coach"}, PAID) is not None
    assert refusal(two_tier, {"profile": "coach"}, {"scope": "realtime:coach"}) is not None
    assert refusal(two_tier, {"profile": "coach", "session": {"instructions": "x"}}, COACHED) is not None


def test_a_free_user_chooses_words_and_voice_and_nothing_else(two_tier: Policy) -> None:
    """Of the voices that are on the list."""
    free = {"instructions": "Be brief.", "audio": {"output": {"voice": "cedar"}}}
    assert decide(two_tier, {"session": free}).session["instructions"] == "Be brief."
    for session in ({"tools": [{"name": "set_timer"}]}, {"audio": {"output": {"voice": "ash"}}}):
        assert refusal(two_tier, {"session": session}) is not None
    assert refusal(two_tier, {"session": {"tools": [{"name": "set_timer"}]}}, PAID) is None


def test_dictation_needs_no_more_than_a_token(transcription_only: Policy) -> None:
    """The type and the model are the admin's; the language is the user's."""
    body = {"session": {"audio": {"input": {"transcription": {"language": "de"}}}}}
    grant = decide(transcription_only, body)
    assert grant.session == {
        "type": "transcription",
        "audio": {
            "input": {
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": TRANSCRIBE_SMALL, "language": "de"},
            }
        },
    }
    assert decide(transcription_only, {"model": TRANSCRIBE}).model == TRANSCRIBE


@pytest.mark.parametrize(
    "session",
    [
        {"type": "realtime"},
        {"type": "translation"},
        {"audio": {"input": {"turn_detection": None}}},
        {"model": "x"},
    ],
)
def test_nothing_but_dictation(transcription_only: Policy, session: dict[str, Any]) -> None:
    """No conversation, whatever it is called."""
    assert refusal(transcription_only, {"session": session, "model": TRANSCRIBE}) is not None


def test_there_are_three() -> None:
    """And each is JSON."""
    examples = marked("policy")
    assert sorted(examples) == ["kiosk", "transcription-only", "two-tier"]
    assert all(isinstance(json.loads(text), dict) for text in examples.values())
