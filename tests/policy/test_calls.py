"""What a caller may have of calls, and what every live session is sent with."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from service.core.environment import ConfigurationError
from service.core.errors import ServiceError
from service.core.model import Grant
from service.http.schemas import TokenBody, parse_body
from service.policy import Policy, PolicyError, build
from service.policy.explain import explain, warnings
from service.policy.settings import PolicySettings
from service.vendors.openai import LAYOUT as OPENAI
from service.vendors.openai_beta import LAYOUT as OPENAI_BETA
from tests.support.policies import caller, decide, decide_call, policy, refusal

REALTIME, MINI, LIVE, OLD_LIVE = "gpt-realtime-2.1", "gpt-realtime-2.1-mini", "gpt-live-1.1", "gpt-live-1"
TRANSCRIBE = "gpt-live-transcribe"
MODELS = (TRANSCRIBE, REALTIME, MINI, LIVE, OLD_LIVE)
HARMLESS = ["session.input_audio.mute", "session.input_audio.unmute", "session.close"]
DELEGATE = ["session.thinking.append", "session.commentary.append"]


def opener(members: dict[str, Any] | None = None, **values: Any) -> Policy:
    """Make a policy under which both kinds of call can be opened."""
    return policy(members, **{"allowed_models": MODELS, **values})


def refused_call(decider: Policy, body: dict[str, Any], **claims: Any) -> ServiceError:
    """Decide on a call that must be refused."""
    with pytest.raises(ServiceError) as caught:
        decide_call(decider, body, claims)
    return caught.value


def live(**members: Any) -> dict[str, Any]:
    """A request for a live call."""
    return {"session": {"type": "live", **members}}


def channel(grant: Grant) -> dict[str, Any]:
    """Read the data channel's permissions that are sent."""
    permissions: dict[str, Any] = grant.session["client"]["data_channel"]
    return permissions


class Choice(NamedTuple):
    """Which type and model a request leads to."""

    default: str
    body: dict[str, Any]
    expected: tuple[str, str]


CHOICES = [
    Choice(REALTIME, {}, ("realtime", REALTIME)),
    Choice(LIVE, {}, ("live", LIVE)),
    Choice(REALTIME, {"model": OLD_LIVE}, ("live", OLD_LIVE)),
    Choice(REALTIME, {"session": {"model": OLD_LIVE}}, ("live", OLD_LIVE)),
    Choice(LIVE, {"model": MINI}, ("realtime", MINI)),
    Choice(REALTIME, live(), ("live", LIVE)),
    Choice(LIVE, {"session": {"type": "realtime"}}, ("realtime", REALTIME)),
    Choice(OLD_LIVE, live(), ("live", OLD_LIVE)),
    Choice(TRANSCRIBE, {}, ("realtime", REALTIME)),
    Choice(TRANSCRIBE, {"session": {"type": "realtime"}}, ("realtime", REALTIME)),
    Choice(TRANSCRIBE, live(), ("live", LIVE)),
]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_type_and_a_model_are_found_where_the_caller_names_none(choice: Choice) -> None:
    """The model's name tells the type; the type tells the model: the default, or the first allowed one."""
    grant = decide_call(opener(default_model=choice.default), choice.body)
    assert (grant.session_type, grant.model) == choice.expected
    assert grant.session["model"] == grant.model
    assert grant.action == "call"


@pytest.mark.parametrize(
    ("allowed", "session_type"), [((REALTIME, TRANSCRIBE), "live"), ((LIVE, TRANSCRIBE), "realtime")]
)
def test_without_a_model_of_the_type_the_caller_must_name_one(
    allowed: tuple[str, ...], session_type: str
) -> None:
    """A model of another type, such as gpt-live-transcribe, is never taken for it."""
    decider = policy(allowed_models=allowed, default_model=allowed[0])
    error = refused_call(decider, {"session": {"type": session_type}})
    assert (error.status, error.code, error.param) == (400, "invalid_value", "session.model")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": LIVE}, "model"),
        ({"session": {"model": OLD_LIVE}}, "session.model"),
        ({"session": {"type": "transcription"}, "model": LIVE}, "model"),
        ({"session": {"type": "live"}}, "session.type"),
        ({"session": {"type": "live"}, "model": LIVE}, "session.type"),
    ],
)
def test_a_live_model_has_no_client_secrets(body: dict[str, Any], param: str) -> None:
    """And the refusal says what opens it, allowed or not."""
    for decider in (opener(), policy()):
        error = refusal(decider, body)
        assert error is not None
        assert (error.status, error.code, error.param) == (400, "invalid_value", param)
        assert "POST /calls" in error.message


def test_a_live_default_model_has_none_either() -> None:
    """It is filled in, and then refused in the same words."""
    error = refusal(opener(default_model=LIVE), {})
    assert error is not None
    assert "POST /calls" in error.message


def test_gpt_live_transcribe_is_a_transcription_model() -> None:
    """Whatever its name begins with."""
    assert decide(opener(), {"model": TRANSCRIBE, "session": {"type": "transcription"}}).model == TRANSCRIBE


@pytest.mark.parametrize(
    "body", [{"session": {"type": "transcription"}}, {"session": {"type": "translation"}}]
)
def test_transcription_and_translation_have_no_calls(body: dict[str, Any]) -> None:
    """Nor has a profile of such a type."""
    error = refused_call(opener(), body)
    assert (error.status, error.code, error.param) == (400, "invalid_value", "session.type")
    error = refused_call(opener({"profiles": {"p": {**body, "model": TRANSCRIBE}}}), {"profile": "p"})
    assert (error.code, error.param) == ("invalid_value", "profile")


def test_the_beta_has_no_calls() -> None:
    """No value would be right."""
    error = refused_call(opener(layout=OPENAI_BETA), {})
    assert (error.status, error.code) == (400, "invalid_request")


def test_a_live_model_in_a_conversation_is_refused() -> None:
    """The route's type and the model's do not fit."""
    error = refused_call(opener(), {"session": {"type": "realtime"}, "model": LIVE})
    assert (error.code, error.param) == ("invalid_value", "model")


def test_every_live_session_is_sent_with_a_closed_data_channel() -> None:
    """And is not stored; what the client receives is the vendor's default."""
    grant = decide_call(opener(), live(instructions="Hi."))
    assert grant.session == {
        "type": "live",
        "model": LIVE,
        "instructions": "Hi.",
        "store": False,
        "client": {"data_channel": {"allowed_client_events": HARMLESS}},
    }


def test_a_conversation_is_sent_as_it_is() -> None:
    """A Realtime call knows neither."""
    assert decide_call(opener(), {}).session == {"type": "realtime", "model": REALTIME}


def test_a_client_to_whom_tasks_are_delegated_may_answer_them() -> None:
    """Where the session names it; that the vendor's default is the same does not count."""
    grant = decide_call(opener(), live(delegation={"type": "client"}))
    assert channel(grant)["allowed_client_events"] == HARMLESS + DELEGATE
    assert grant.session["delegation"] == {"type": "client"}
    by_admin = opener({"defaults": {"session": {"type": "live", "delegation": {"type": "client"}}}})
    assert channel(decide_call(by_admin, {}))["allowed_client_events"] == HARMLESS + DELEGATE


MAY_BRING = {
    "model": OLD_LIVE,
    "instructions": "Hi.",
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
    "audio": {"output": {"voice": "marin"}},
    "delegation": {"type": "client"},
    "idle_timeout_s": 20,
    "wake_policy": {"type": "speech"},
}
MAY_NOT_BRING: list[tuple[dict[str, Any], str]] = [
    (
        {"delegation": {"type": "responses", "responses": {"model": "gpt-6"}}},
        "session.delegation.responses.model",
    ),
    ({"delegation": {"type": "decisions"}}, "session.delegation.type"),
    ({"delegation": None}, "session.delegation"),
    ({"triggers": []}, "session.triggers"),
    ({"store": True}, "session.store"),
    ({"store": False}, "session.store"),
    ({"safety_identifier": "somebody else"}, "session.safety_identifier"),
    (
        {"client": {"data_channel": {"allowed_client_events": "all"}}},
        "session.client.data_channel.allowed_client_events",
    ),
    ({"client": None}, "session.client"),
    ({"client": "x"}, "session.client"),
    ({"audio": {"format": {}}}, "session.audio.format"),
    ({"audio": None}, "session.audio"),
    ({"tools": []}, "session.tools"),
    ({"zzz": 1}, "session.zzz"),
]


@pytest.mark.parametrize(
    "document", [None, {}, {"mode": "audit"}, {"mode": "audit", "fields": {"allow": ["triggers"]}}]
)
def test_a_caller_may_bring_what_is_harmless(document: dict[str, Any] | None) -> None:
    """Without a policy, with one that says nothing of fields, and with one that is not enforced."""
    grant = decide_call(opener(document), live(**MAY_BRING))
    assert {name: grant.session[name] for name in MAY_BRING} == MAY_BRING


@pytest.mark.parametrize(
    "document", [None, {}, {"mode": "audit"}, {"mode": "audit", "fields": {"allow": ["triggers"]}}]
)
@pytest.mark.parametrize(("members", "param"), MAY_NOT_BRING)
def test_everything_else_is_refused(
    document: dict[str, Any] | None, members: dict[str, Any], param: str
) -> None:
    """By the member's name, and also in audit mode, which opens nothing."""
    error = refused_call(opener(document), live(**members))
    assert (error.status, error.code, error.param) == (403, "session_field_not_allowed", param)


def test_an_admin_who_lists_fields_says_what_a_caller_may_bring() -> None:
    """Also a backend on the company's account; never what the service sets."""
    allow = ["delegation", "triggers", "client", "store", "safety_identifier"]
    decider = opener({"fields": {"allow": allow}})
    backend = {"type": "responses", "responses": {"model": "gpt-6"}}
    assert decide_call(decider, live(delegation=backend, triggers=[])).session["delegation"] == backend
    assert refused_call(decider, live(instructions="Hi.")).param == "session.instructions"
    for members, param in MAY_NOT_BRING:
        if next(iter(members)) in {"client", "store", "safety_identifier"}:
            assert refused_call(decider, live(**members)).param == param


def test_an_admins_own_backend_is_the_admins_word() -> None:
    """A profile's delegation is sent, and its caller cannot change it."""
    backend = {"type": "responses", "responses": {"model": "gpt-6"}}
    decider = opener({"profiles": {"p": {"session": {"type": "live", "delegation": backend}}}})
    assert decide_call(decider, {"profile": "p"}).session["delegation"] == backend
    body = {"profile": "p", "session": {"delegation": {"responses": {"model": "gpt-7"}}}}
    assert refused_call(decider, body).param == "session.delegation.responses.model"


DOCUMENT = {
    "data_channel": {"client_events": "all"},
    "defaults": {
        "session": {"type": "live"},
        "data_channel": {
            "server_events": [
                "session.started",
                {"type": "response.event", "response_event": "response.done"},
            ]
        },
    },
    "profiles": {
        "silent": {
            "session": {"type": "live"},
            "data_channel": {"client_events": [], "server_events": "all"},
        },
        "other": {"session": {"type": "live"}},
    },
}


def test_the_first_data_channel_that_is_there_holds() -> None:
    """The profile's, that of defaults, the document's."""
    decider = opener(DOCUMENT)
    assert channel(decide_call(decider, {"profile": "silent"})) == {
        "allowed_client_events": [],
        "allowed_server_events": "all",
    }
    defaults = {
        "allowed_client_events": HARMLESS,
        "allowed_server_events": [
            {"type": "session.started"},
            {"type": "response.event", "response_event": "response.done"},
        ],
    }
    assert channel(decide_call(decider, {"profile": "other"})) == defaults
    assert channel(decide_call(decider, {})) == defaults
    top = opener({"data_channel": {"client_events": "all"}})
    assert channel(decide_call(top, live())) == {"allowed_client_events": "all"}


@pytest.mark.parametrize("member", ["store", "safety_identifier", "client"])
def test_a_profile_cannot_set_what_the_service_sets(member: str) -> None:
    """The start says so, and what to use instead."""
    value: Any = {"data_channel": {}} if member == "client" else False
    decider = opener({"profiles": {"p": {"session": {"type": "live", member: value}}}})
    (conflict,) = decider.conflicts()
    assert conflict.startswith(f"profiles.p: leave {member}")


def test_a_profile_with_a_live_model_and_another_type_is_a_conflict() -> None:
    """No request could be granted it, whatever a caller adds."""
    decider = opener({"profiles": {"p": {"model": LIVE, "session": {"type": "realtime"}}}})
    (conflict,) = decider.conflicts()
    assert conflict.startswith(f'profiles.p: The model "{LIVE}"')


def test_the_same_rules_hold_for_calls() -> None:
    """Models, voices, bounds, fields, locks, templates and conditions, with the same code."""
    decider = opener(
        {
            "models": [MINI, LIVE],
            "voices": ["marin"],
            "bounds": {"idle_timeout_s": {"min": 5, "max": 30}, "max_output_tokens": 100},
            "profiles": {
                "p": {
                    "session": {"type": "live", "instructions": "Help {claim:team}."},
                    "locked": ["instructions"],
                    "requires": {"plan": "pro"},
                }
            },
        }
    )
    refusals = [
        ({"model": OLD_LIVE}, "model"),
        (live(audio={"output": {"voice": "ash"}}), "session.audio.output.voice"),
        (live(idle_timeout_s=31), "session.idle_timeout_s"),
        ({"profile": "p"}, "profile"),
    ]
    for body, param in refusals:
        assert refused_call(decider, body).param == param
    pro = {"plan": "pro", "team": "red"}
    assert decide_call(decider, {"profile": "p"}, pro).session["instructions"] == "Help red."
    assert (
        refused_call(decider, {"profile": "p", "session": {"instructions": "x"}}, **pro).code
        == "session_field_not_allowed"
    )
    assert decide_call(decider, {"model": MINI}).session["max_output_tokens"] == 100
    assert "max_output_tokens" not in decide_call(decider, live()).session


@pytest.mark.parametrize(
    ("asked", "limits", "expected"),
    [
        (None, {}, None),
        (90, {}, 90),
        (None, {"max_call_seconds": 60}, 60),
        (90, {"max_call_seconds": 60}, 60),
        (40, {"max_call_seconds": 60}, 40),
    ],
)
def test_a_call_lasts_as_long_as_the_least_that_anybody_says(
    asked: int | None, limits: dict[str, Any], expected: int | None
) -> None:
    """A caller who asks for more is given what there is; the environment and the tier come on top."""
    body = {} if asked is None else {"max_seconds": asked}
    assert decide_call(opener(limits), body).max_call_seconds == expected
    assert decide_call(opener({"defaults": limits}), body).max_call_seconds == expected
    if limits:
        by_claim = opener({"rules": [{"when": {"tier": "free"}, **limits}], "max_call_seconds": 7200})
        assert decide_call(by_claim, body, {"tier": "free"}).max_call_seconds == expected
    assert decide(opener(limits), {}).max_call_seconds is None


TYPES: list[tuple[dict[str, Any], str]] = [
    ({"secret_types": ["transcription"], "call_types": ["live"]}, "{rule}"),
    ({"rules": [{"unless": {"tier": "paid"}, "secret_types": [], "call_types": []}]}, "rules[0].{rule}"),
    ({"defaults": {"secret_types": [], "call_types": []}}, "defaults.{rule}"),
]


@pytest.mark.parametrize(("document", "rule"), TYPES)
def test_a_policy_says_which_types_there_are_secrets_and_calls_for(
    document: dict[str, Any], rule: str
) -> None:
    """At the top, by claim, and on profiles or defaults."""
    error = refusal(opener(document), {})
    assert error is not None
    for found, name in ((error, "secret_types"), (refused_call(opener(document), {}), "call_types")):
        assert (found.status, found.code, found.param) == (403, "session_type_not_allowed", "session.type")
        assert str(found.reason).startswith(rule.format(rule=name) + ": ")


def settings(**environ: str) -> Policy:
    """Read the variables."""
    environ = {"ALLOWED_MODELS": ",".join(MODELS), **environ}
    return build(PolicySettings.from_environ(environ), OPENAI)


def test_the_environment_says_which_types_there_are_secrets_and_calls_for() -> None:
    """So that conversations can only be opened as calls, which are counted and ended."""
    closed = settings(CLIENT_SECRET_TYPES="transcription, translation", CALL_TYPES="live")
    error = refusal(closed, {})
    assert error is not None
    assert (error.status, error.code, error.param) == (403, "session_type_not_allowed", "session.type")
    assert str(error.reason).startswith("CLIENT_SECRET_TYPES: ")
    assert decide(closed, {"session": {"type": "transcription"}, "model": TRANSCRIBE}).action == "secret"
    assert refused_call(closed, {"model": REALTIME}).code == "session_type_not_allowed"
    assert decide_call(closed, live()).model == LIVE
    none = settings(CLIENT_SECRET_TYPES="none", CALL_TYPES="none")
    assert refusal(none, {}) is not None
    assert refused_call(none, live()).code == "session_type_not_allowed"
    assert decide_call(settings(), live()).model == LIVE


@pytest.mark.parametrize("session_type", ["transcription", "translation"])
def test_a_type_that_is_not_allowed_is_refused_before_a_model_is_asked_for(session_type: str) -> None:
    """Naming one would not help."""
    body = {"session": {"type": session_type}}
    for decider in (settings(CLIENT_SECRET_TYPES="realtime"), opener({"secret_types": ["realtime"]})):
        error = refusal(decider, body)
        assert error is not None
        assert (error.status, error.code, error.param) == (403, "session_type_not_allowed", "session.type")
    audited = refusal(opener({"mode": "audit", "secret_types": ["realtime"]}), body)
    assert audited is not None
    assert (audited.status, audited.code) == (400, "invalid_value")


def test_a_type_of_call_that_is_not_allowed_is_refused_before_a_model_is_asked_for() -> None:
    without_live = settings(CALL_TYPES="realtime", ALLOWED_MODELS=REALTIME)
    assert refused_call(without_live, live()).code == "session_type_not_allowed"
    without_secrets = settings(CLIENT_SECRET_TYPES="none", ALLOWED_MODELS=LIVE, DEFAULT_MODEL=LIVE)
    error = refusal(without_secrets, {"model": LIVE})
    assert error is not None
    assert (error.status, error.code) == (400, "invalid_value")
    assert "POST /calls" in error.message


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CLIENT_SECRET_TYPES", "live"), ("CALL_TYPES", "transcription"), ("CALL_TYPES", "none,live")],
)
def test_a_type_that_there_is_none_of_stops_the_start(variable: str, value: str) -> None:
    """By its variable."""
    with pytest.raises(ConfigurationError) as caught:
        PolicySettings.from_environ({variable: value})
    assert {problem.variable for problem in caught.value.problems} == {variable}


def test_audit_mode_notes_what_it_would_refuse_of_calls() -> None:
    """And keeps what the environment says."""
    audited = opener({"mode": "audit", "call_types": [], "max_call_seconds": 60})
    grant = decide_call(audited, {"max_seconds": 90})
    assert (grant.max_call_seconds, len(grant.findings)) == (90, 1)
    assert grant.findings[0].startswith("call_types: ")


def test_live_profiles_are_for_calls_only() -> None:
    """At /token they are named, and what opens them."""
    decider = opener(
        {"profiles": {"p": {"session": {"type": "live"}}}, "defaults": {"session": {"type": "live"}}}
    )
    error = refusal(decider, {"profile": "p"})
    assert error is not None
    assert (error.code, error.param) == ("invalid_value", "profile")
    assert "POST /calls" in error.message
    assert decide(decider, {}).session == {"type": "realtime", "model": REALTIME}
    assert decide_call(decider, {}).session_type == "live"
    assert decider.conflicts() == []


def test_the_types_that_there_are_secrets_for_are_named_without_live() -> None:
    with pytest.raises(ServiceError, match=r"realtime, transcription, translation\.$") as caught:
        parse_body(TokenBody, json.dumps({"session": {"type": "opera"}}).encode())
    assert caught.value.code == "invalid_value"


def test_a_profile_for_calls_alone_is_no_conflict() -> None:
    """Nor one for secrets alone; one for neither is."""
    document = {"profiles": {"p": {"session": {"type": "realtime"}}}}
    text = json.dumps(document)
    assert settings(SESSION_POLICY=text, CLIENT_SECRET_TYPES="none").conflicts() == []
    assert settings(SESSION_POLICY=text, CALL_TYPES="none").conflicts() == []
    assert settings(SESSION_POLICY=text, CLIENT_SECRET_TYPES="none", CALL_TYPES="none").conflicts() != []


def test_a_wrong_document_is_told_so() -> None:
    """In the same words as elsewhere."""
    events = 'must be "all" or a list of event types, as ["session.close"]'
    for value in ("some", [1], [""], [{}], [{"type": "x", "y": "z"}], 5, {}):
        with pytest.raises(PolicyError) as caught:
            opener({"data_channel": {"server_events": value}})
        assert caught.value.problems == (f"data_channel.server_events: {events}",)
    wrong: list[dict[str, Any]] = [
        {"max_call_seconds": 29},
        {"call_types": ["transcription"]},
        {"secret_types": ["live"]},
        {"data_channel": {"clients": []}},
        {"profiles": {"p": {"data_channel": {"client_events": "some"}}}},
    ]
    for document in wrong:
        with pytest.raises(PolicyError):
            opener(document)


def test_it_is_explained_in_words() -> None:
    """With the data channel of each place."""
    words = " ".join(explain(opener({**DOCUMENT, "max_call_seconds": 90})).split())
    for part in (
        "session types that secrets are minted for: realtime, transcription, translation",
        "session types that calls are opened for: realtime, live",
        "a call lasts at most 90 seconds",
        'Profile "silent" (type live)',
        "profiles.silent: over the data channel the client may send: none",
        "defaults: over the data channel the client may send: session.input_audio.mute",
        "and receives: session.started, response.event",
    ):
        assert part in words
    assert f"model, unless the caller names another that is allowed: {LIVE}" in words


def test_a_live_profile_is_warned_about_members_of_its_own() -> None:
    """A conversation's members are not a live session's."""
    sound = {"type": "live", "idle_timeout_s": 20, "instructions": "Hi."}
    assert warnings(opener({"profiles": {"p": {"session": sound}}, "types": ["live"]})) == []
    (warning,) = warnings(opener({"profiles": {"p": {"session": {**sound, "max_output_tokens": 9}}}}))
    assert warning.startswith('profiles.p.session: "max_output_tokens" is no member')


def test_a_caller_is_not_the_one_who_is_named() -> None:
    """The helper's caller is one user; grants of calls carry no identity of their own."""
    assert "safety_identifier" not in decide_call(opener(), live()).session
    assert caller(sub="u").subject == "u"
