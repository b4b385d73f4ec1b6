"""A policy document is checked before it is trusted, and what is wrong is said so that its author can fix it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from service.core.environment import ConfigurationError
from service.policy import PolicyDocument, PolicyError
from service.policy.command import published_schema
from service.policy.explain import warnings
from service.policy.settings import PolicySettings
from service.settings import Settings
from service.vendors.openai import LAYOUT as OPENAI
from service.vendors.openai_beta import LAYOUT as OPENAI_BETA
from tests.support.policies import policy


def problems(text: str) -> tuple[str, ...]:
    """Load a document that has problems."""
    with pytest.raises(PolicyError) as caught:
        PolicyDocument.load(text)
    return caught.value.problems


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"profile": {}}, 'profile: is not known here; did you mean "profiles"?'),
    ({"zzz": 1}, "zzz: is not known here; the allowed members are types, models,"),
    ({"mode": "dry-run"}, "mode: must be 'enforce' or 'audit'"),
    ({"models": "gpt-realtime"}, 'models: must be a list, as ["one", "two"]'),
    ({"models": ["gpt-realtime", 2]}, 'models[1]: must be text in quotes, as "name"'),
    ({"voices": [""]}, "voices[0]: must not be empty"),
    ({"types": ["phone"]}, "types[0]: must be 'realtime', 'transcription', 'translation' or 'live'"),
    ({"max_expires_in": "60"}, "max_expires_in: must be a whole number"),
    ({"max_expires_in": 5}, "max_expires_in: must be greater than or equal to 10"),
    ({"profile_required": 1}, "profile_required: must be true or false, without quotes"),
    ({"profile_required": True}, '"profile_required" is true but "profiles" defines none'),
    ({"fields": {}}, 'fields: needs "allow" or "deny", a list of paths'),
    ({"fields": {"alow": []}}, 'fields.alow: is not known here; did you mean "allow"?'),
    ({"fields": {"deny": ["audio..voice"]}}, "fields.deny[0]: must be a path into the session"),
    ({"fields": {"deny": ["session.tools"]}}, "fields.deny[0]: paths begin inside the session: write tools"),
    ({"bounds": {"speed": {"min": 2, "max": 1}}}, 'bounds.speed: "min" is above "max", so no value would do'),
    ({"bounds": {"speed": {}}}, 'bounds.speed: needs "max" or "min", a number'),
    ({"bounds": {"speed": {"mx": 1}}}, 'bounds.speed.mx: is not known here; did you mean "max"?'),
    ({"bounds": {"session.speed": 1}}, "bounds.session.speed: paths begin inside the session: write speed"),
    ({"profiles": {"a": {"lockd": []}}}, 'profiles.a.lockd: is not known here; did you mean "locked"?'),
    ({"profiles": {"a": []}}, 'profiles.a: must be an object, as {"name": …}'),
    ({"profiles": {"a": {"session": {"type": "x"}}}}, 'profiles.a.session: "type" must be realtime,'),
    (
        {"profiles": {"a": {"model": "m", "session": {"model": "n"}}}},
        'profiles.a: "model" and "session.model" differ; leave one of them out',
    ),
    (
        {"defaults": {"model": "m", "session": {"type": "transcription", "audio": None}}},
        'defaults: "session.audio" must be an object, since the model goes into it',
    ),
    (
        {"profiles": {"a": {"requires": {"scope": "a b"}}}},
        "profiles.a.requires: a scope is one word of ASCII",
    ),
    ({"profiles": {"a": {"requires": {"tier": None}}}}, "profiles.a.requires.tier: must be text, a whole"),
    ({"rules": [{"models": []}]}, 'rules[0]: needs "when" or "unless"; limits for everybody belong at the'),
    ({"rules": [{"when": {"tier": "x"}}]}, 'rules[0]: limits nothing; add what it narrows, such as "models"'),
    ({"rules": [{"when": {"tier": []}, "models": []}]}, "rules[0].when.tier: must be text, a whole number,"),
    (
        {"rules": [{"when": {"tier": "x"}, "profiles": ["a"]}]},
        'rules: names the profile "a", which "profiles" does not define',
    ),
]


@pytest.mark.parametrize(("members", "message"), WRONG)
def test_a_problem_names_the_member_what_is_wrong_and_what_would_be_right(
    members: dict[str, Any], message: str
) -> None:
    """In one sentence, without a word of Python."""
    (problem,) = problems(json.dumps(members))
    assert problem.startswith(message)


def test_all_problems_come_at_once() -> None:
    """All problems at once, or each would cost a restart."""
    found = problems('{"mode": 1, "modles": [], "profiles": {"a": {"expires_in": 1}}, "rules": [{}]}')
    places = {problem.partition(":")[0] for problem in found}
    assert places == {"mode", "modles", "profiles.a.expires_in", "rules[0]"}


def test_text_that_is_not_json_is_pointed_at() -> None:
    """By line and column."""
    (problem,) = problems('{\n  "mode": "audit",\n}')
    assert problem.startswith("is not valid JSON at line 3, column 1: ")


def test_a_member_given_twice_is_refused() -> None:
    """JSON would silently take the last, and one of two profiles would vanish."""
    assert problems('{"profiles": {"a": {}, "a": {}}}') == (
        'gives "a" twice in one object; only one of them can count',
    )


@pytest.mark.parametrize(
    "text",
    [
        '{"bounds": {"speed": NaN}}',
        '{"defaults": {"session": {"a": 1e999}}}',
        '{"defaults": {"session": {"a": "\\ud800"}}}',
        '{"defaults": {"session": {"a": ' + "[" * 300 + "]" * 300 + "}}}",
        '{"a": ' + "[" * 100_000,
    ],
)
def test_json_that_is_none_is_refused(text: str) -> None:
    """And never with a traceback."""
    assert problems(text)


def test_a_document_may_lie_in_a_file(tmp_path: Path) -> None:
    """Inline JSON is told from a path by its brace, white space ahead or not."""
    file = tmp_path / "policy.json"
    file.write_text('{"mode": "audit"}', encoding="utf-8")
    assert PolicyDocument.load(str(file)) == PolicyDocument.load(' \n{"mode": "audit"}')


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """With the system's reason, and without the text, which may be JSON that lost its first brace."""
    (missing,) = problems(str(tmp_path / "none.json"))
    assert "none.json" not in missing
    assert "No such file" in missing
    binary = tmp_path / "policy.bin"
    binary.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in problems(str(binary))[0]


def test_the_published_schema_is_one_and_judges_as_the_service_does() -> None:
    """An editor that follows it accepts and refuses what the start does."""
    schema = published_schema()
    assert jsonschema_rs.meta.is_valid(schema)
    validator = jsonschema_rs.validator_for(schema)
    accepted: dict[str, Any] = {
        "mode": "audit",
        "bounds": {"max_output_tokens": 100, "audio.output.speed": {"min": 1}},
        "profiles": {"a": {"locked": ["audio.output.voice"], "requires": {"tier": ["x", 1], "scope": "s"}}},
        "rules": [{"unless": {"tier": "paid"}, "profiles": ["a"], "max_expires_in": 30}],
    }
    assert PolicyDocument.load(json.dumps(accepted)).mode == "audit"
    assert validator.is_valid(accepted)
    refused: list[dict[str, Any]] = [
        {"mode": "x"},
        {"zzz": 1},
        {"types": ["x"]},
        {"bounds": {"a b": 1}},
        {"rules": [{"whn": {}}]},
    ]
    for members in refused:
        assert problems(json.dumps(members))
        assert not validator.is_valid(members)


def settings(document: dict[str, Any], **environ: str) -> PolicySettings:
    """Read the policy's part of an environment."""
    read = PolicySettings.from_environ({**environ, "SESSION_POLICY": json.dumps(document)})
    if problems := read.problems(OPENAI):
        raise ConfigurationError(problems)
    return read


def test_a_wrong_policy_stops_the_start() -> None:
    """All of its problems stand below its variable's name."""
    with pytest.raises(ConfigurationError) as caught:
        settings({"mode": "x", "voices": [1]})
    (problem,) = caught.value.problems
    assert problem.variable == "SESSION_POLICY"
    assert "- mode: must be" in problem.message
    assert "- voices[0]: must be" in problem.message


CONFLICTS: list[tuple[dict[str, Any], str]] = [
    ({"profiles": {"a": {"model": "m9"}}}, "profiles.a: ALLOWED_MODELS refuses it unchanged."),
    ({"defaults": {"expires_in": 601}}, "defaults: TOKEN_MAX_TTL refuses it unchanged."),
    (
        {"bounds": {"max_output_tokens": 9}, "profiles": {"a": {"session": {"max_output_tokens": 10}}}},
        "profiles.a: bounds.max_output_tokens refuses it unchanged.",
    ),
    (
        {"types": ["realtime"], "profiles": {"a": {"model": "m2", "session": {"type": "translation"}}}},
        "profiles.a: types refuses it unchanged.",
    ),
]


@pytest.mark.parametrize(("document", "message"), CONFLICTS)
def test_a_profile_that_nobody_could_be_granted_stops_the_start(
    document: dict[str, Any], message: str
) -> None:
    """Since it is a slip of the admin's, and not a choice."""
    with pytest.raises(ConfigurationError, match="SESSION_POLICY") as caught:
        settings(document, ALLOWED_MODELS="gpt-realtime-2.1,m2")
    assert caught.value.problems[0].message.startswith(message)


def test_a_profile_that_a_caller_must_complete_is_no_conflict() -> None:
    """Its model is the caller's to name."""
    document = {"profile_required": True, "profiles": {"a": {"session": {"type": "translation"}}}}
    assert settings(document).session_policy is not None


def test_defaults_that_nobody_uses_are_no_conflict() -> None:
    """They are warned of: the admin may be about to make profiles voluntary again."""
    document = {"profile_required": True, "defaults": {}, "profiles": {"a": {}}}
    assert settings(document).session_policy is not None


def test_a_broken_variable_does_not_hide_behind_the_policy() -> None:
    """Both are reported."""
    with pytest.raises(ConfigurationError) as caught:
        settings({"mode": "x"}, TOKEN_TTL="soon")
    assert {problem.variable for problem in caught.value.problems} == {"TOKEN_TTL", "SESSION_POLICY"}
    with pytest.raises(ConfigurationError) as caught:
        settings({"mode": "audit"}, TOKEN_TTL="soon")
    assert [problem.variable for problem in caught.value.problems] == ["TOKEN_TTL"]


WARNED: list[tuple[dict[str, Any], str]] = [
    ({"mode": "audit"}, 'mode: is "audit", so nothing is refused'),
    (
        {"rules": [{"when": {"user_metadata.tier": "free"}, "models": []}]},
        'rules[0].when: users can often write the claim "user_metadata.tier" themselves',
    ),
    (
        {"rules": [{"unless": {"custom:tier": "paid"}, "models": []}]},
        'rules[0].unless: users can often write the claim "custom:tier"',
    ),
    ({"profiles": {"a": {"requires": {"email": "a@b.c"}}}}, "profiles.a.requires: users can often write"),
    ({"profiles": {"a": {"locked": ["instruction"]}}}, 'profiles.a.locked: "instruction" is no member'),
    (
        {"profiles": {"a": {"session": {"voice": "ash"}}}},
        'profiles.a.session: "voice" is no member of a session',
    ),
    ({"fields": {"allow": ["temperature"]}}, 'fields.allow: "temperature" is no member'),
    (
        {"fields": {"deny": ["tool"]}},
        'fields.deny: "tool" is no member of a session that this service knows; did',
    ),
    ({"rules": [{"when": {"tier": 1}, "bounds": {"max_tokens": 1}}]}, 'rules[0].bounds: "max_tokens" is no'),
    ({"defaults": {"locked": ["tools"]}}, "defaults.locked: holds sessions of type realtime only"),
    (
        {"defaults": {}, "profile_required": True, "profiles": {"a": {}}},
        "defaults: are never used, since profile_required",
    ),
]


@pytest.mark.parametrize(("members", "message"), WARNED)
def test_the_start_warns_of_what_is_valid_and_suspicious(members: dict[str, Any], message: str) -> None:
    """Foremost of claims that users can write themselves."""
    assert [warning for warning in warnings(policy(members)) if warning.startswith(message)]


def test_a_sound_policy_raises_no_warning() -> None:
    """Or nobody would read them."""
    sound = {
        "types": ["realtime"],
        "defaults": {"session": {"instructions": "Hi."}, "locked": ["instructions", "expires_in"]},
        "bounds": {"audio.output.speed": 1},
        "rules": [{"unless": {"app_metadata.tier": "paid"}, "models": []}],
    }
    assert warnings(policy(sound)) == []
    assert warnings(policy()) == []


def test_the_beta_dialect_knows_its_own_members() -> None:
    """And has conversations only."""
    flat = policy({"defaults": {"session": {"voice": "alloy"}}}, layout=OPENAI_BETA)
    assert (warnings(flat), flat.conflicts()) == ([], [])
    other = policy({"profiles": {"a": {"session": {"type": "transcription"}}}}, layout=OPENAI_BETA)
    assert other.conflicts() == ["profiles.a: REALTIME_API=beta has realtime sessions only"]


def test_the_start_checks_the_policy_against_the_vendor() -> None:
    """Once both are valid by themselves; the problem is the policy's."""
    environ = {
        "OPENAI_API_KEY": "sk-test",
        "JWT_SECRET": "s" * 32,
        "JWT_ISSUER": "https://issuer.test",
        "JWT_AUDIENCE": "tests",
    }
    transcription = {"profiles": {"a": {"session": {"type": "transcription"}, "model": "m2"}}}
    for more, message in (
        ({}, "profiles.a: ALLOWED_MODELS refuses it unchanged"),
        ({"REALTIME_API": "beta"}, "profiles.a: REALTIME_API=beta has realtime sessions only"),
    ):
        with pytest.raises(ConfigurationError, match=message) as caught:
            Settings.from_environ({**environ, **more, "SESSION_POLICY": json.dumps(transcription)})
        assert [problem.variable for problem in caught.value.problems] == ["SESSION_POLICY"]
    fitting = {"ALLOWED_MODELS": "m2", "SESSION_POLICY": json.dumps(transcription)}
    assert Settings.from_environ({**environ, **fitting}) is not None
