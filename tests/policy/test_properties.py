"""What holds for every policy, every caller and every request."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from service.core.errors import ForbiddenError, InvalidRequestError, ServiceError
from service.core.model import Grant
from service.policy import Policy
from service.vendors.openai import OpenAI
from tests.support.policies import MODELS, decide, decide_call, policy

# The machine that runs this may be busy, which says nothing about a policy.
often = settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow], deadline=None)

# The oracle below shares no code with the service: it finds, fills in and compares in its own plain way.
ABSENT = object()


def at(value: Any, *names: str) -> Any:
    """Look a member up, ``ABSENT`` where there is none."""
    for name in names:
        value = value[name] if isinstance(value, dict) and name in value else ABSENT
    return value


def text(value: Any) -> str:
    """Write a value so that 1, 1.0 and true differ."""
    return "absent" if value is ABSENT else json.dumps(value, sort_keys=True)


def model_place(session_type: str) -> list[str]:
    """Say where a session keeps its own model."""
    return ["audio", "input", "transcription", "model"] if session_type == "transcription" else ["model"]


def every_model(value: Any) -> list[Any]:
    """List whatever is called a model, at any depth of objects."""
    if not isinstance(value, dict):
        return []
    nested = [found for inner in value.values() for found in every_model(inner)]
    return nested if isinstance(value.get("model", {}), dict) else [value["model"], *nested]


# Few words, so that documents and requests speak of the same things.
_MODELS = st.sampled_from([*MODELS, "m9"])
_VOICES = st.sampled_from(["marin", "ash"])
_PATHS = st.sampled_from(
    ["instructions", "audio", "audio.output", "audio.output.voice", "tools", "max_output_tokens", "model"]
)
_TOKENS = st.integers(1, 5) | st.sampled_from(["inf", True, 2.5])
_TOOLS = st.sampled_from(
    [{"type": "function", "name": "a"}, {"name": "b"}, {"type": "mcp", "server_url": "https://m"}]
)
_CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["free", "paid"]),
        "groups": st.lists(st.sampled_from(["kids", "staff"]), max_size=2),
        "scope": st.sampled_from(["talk", "talk walk"]),
        "name": st.text(max_size=5),
    },
)
_CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["free", "paid"]),
        "groups": st.just(["kids", "x"]),
        "scope": st.just("talk"),
    },
)
_TYPES = st.sampled_from(["realtime", "transcription", "translation"])


def sessions(*, strings: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Make sessions in the vendor's shape, and some that are not."""
    transcription = st.fixed_dictionaries({}, optional={"model": _MODELS, "language": st.just("de")})
    output = st.fixed_dictionaries({}, optional={"voice": _VOICES, "speed": st.just(1)})
    audio = st.fixed_dictionaries(
        {},
        optional={"output": output, "input": st.fixed_dictionaries({"transcription": transcription})},
    )
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _TYPES,
            "model": _MODELS,
            "instructions": strings,
            "audio": audio | st.none(),
            "tools": st.lists(_TOOLS, max_size=2),
            "max_output_tokens": _TOKENS,
            "prompt": st.just({"id": "pmpt_1"}),
        },
    )


_SESSIONS = sessions(strings=st.sampled_from(["Be kind.", "Be rude."]))
_TEMPLATES = sessions(strings=st.sampled_from(["Be kind.", "Help {sub}.", "Help {claim:name}."]))
_BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": _MODELS,
        "session": _SESSIONS,
        "profile": st.sampled_from(["p", "q"]),
        "expires_after": st.fixed_dictionaries({"seconds": st.integers(10, 40)}),
    },
)


def _fitting(preset: dict[str, Any]) -> bool:
    """Return whether the document takes a preset: not where it names two models, or has no place for one."""
    session = preset.get("session", {})
    transcribes_nothing = (
        session.get("type") == "transcription" and "audio" in session and not session["audio"]
    )
    inner = at(session, *model_place(session.get("type", "realtime")))
    return "model" not in preset or (inner in (ABSENT, preset["model"]) and not transcribes_nothing)


_PRESET_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "model": _MODELS,
    "session": _TEMPLATES,
    "expires_in": st.integers(10, 40),
    "locked": st.lists(_PATHS | st.just("expires_in"), max_size=3),
}
_PRESETS = st.fixed_dictionaries({}, optional=_PRESET_MEMBERS).filter(_fitting)
_PROFILES = st.fixed_dictionaries({}, optional={**_PRESET_MEMBERS, "requires": _CONDITIONS}).filter(_fitting)
_LIMIT_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "types": st.lists(_TYPES, min_size=1),
    "models": st.lists(_MODELS),
    "max_expires_in": st.integers(10, 40),
    "profile_required": st.booleans(),
    "fields": st.dictionaries(st.sampled_from(["allow", "deny"]), st.lists(_PATHS, max_size=5), min_size=1),
    "bounds": st.dictionaries(st.just("max_output_tokens"), st.integers(1, 5)),
    "voices": st.lists(_VOICES),
    "tools": st.lists(st.sampled_from(["a", "b"])),
    "mcp": st.sampled_from([[], ["https://m"]]),
    "prompts": st.sampled_from([[], ["pmpt_1"]]),
}
_RULE_MEMBERS = {**_LIMIT_MEMBERS, "profiles": st.lists(st.sampled_from(["p", "q"]))}


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """Make a rule that narrows something for somebody."""
    condition = draw(
        st.sampled_from([{"tier": "free"}, {"tier": "paid", "scope": "talk"}, {"groups": ["kids", "x"]}])
    )
    narrowed = draw(st.lists(st.sampled_from(sorted(_RULE_MEMBERS)), min_size=1, max_size=3, unique=True))
    return {
        draw(st.sampled_from(["when", "unless"])): condition,
        **{name: draw(_RULE_MEMBERS[name]) for name in narrowed},
    }


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Make a policy document; few limits each, or hardly anything would be granted."""
    limits = draw(st.lists(st.sampled_from(sorted(_LIMIT_MEMBERS)), max_size=2, unique=True))
    members = {name: draw(_LIMIT_MEMBERS[name]) for name in limits}
    return {
        **members,
        "profiles": {"p": draw(_PROFILES), "q": draw(_PROFILES)},
        "rules": draw(st.lists(rules(), max_size=2)),
        **draw(st.fixed_dictionaries({}, optional={"defaults": _PRESETS})),
    }


def granted(decider: Policy, body: dict[str, Any], claims: dict[str, Any]) -> Grant | None:
    """Decide; ``None`` is a refusal."""
    try:
        grant = decide(decider, body, claims)
    except ServiceError:
        event("refused")
        return None
    event("granted")
    return grant


def without_limit(grant: Grant) -> dict[str, Any]:
    """Leave the member out that a cap may have filled in."""
    return {name: value for name, value in grant.session.items() if name != "max_output_tokens"}


@often
@given(members=documents(), rule=rules(), body=_BODIES, claims=_CLAIMS)
def test_adding_a_rule_never_widens_a_grant(
    members: dict[str, Any], rule: dict[str, Any], body: dict[str, Any], claims: dict[str, Any]
) -> None:
    """What is granted with one more rule was granted without it, and was no less."""
    narrower = granted(policy({**members, "rules": [*members["rules"], rule]}), body, claims)
    wider = granted(policy(members), body, claims)
    if narrower is None:
        return
    assert wider is not None
    assert without_limit(narrower) == without_limit(wider)
    assert narrower.expires_in <= wider.expires_in
    most = wider.session.get("max_output_tokens", float("inf"))
    if text(at(narrower.session, "max_output_tokens")) == text(at(wider.session, "max_output_tokens")):
        return
    assert narrower.session["max_output_tokens"] < (float("inf") if most == "inf" else most)


@often
@given(members=documents(), body=_BODIES, claims=_CLAIMS)
def test_a_locked_member_always_equals_the_profiles(
    members: dict[str, Any], body: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Whatever the caller sends beside it: where the profile has nothing, the caller has brought nothing."""
    body = {**body, "profile": "p"}
    grant = granted(policy(members), body, claims)
    if grant is None:
        return
    profile = members["profiles"]["p"]
    prepared = session_of(profile, claims)
    seconds = profile.get("expires_in", 60)
    for name in profile.get("locked", []):
        if name == "expires_in":
            assert body.get("expires_after", {"seconds": seconds})["seconds"] == seconds
            continue
        path = model_place(grant.session_type) if name == "model" else name.split(".")
        if path == ["max_output_tokens"] and path[0] not in prepared:
            assert "max_output_tokens" not in body.get("session", {})  # a bound may have filled it in
        else:
            assert text(at(grant.session, *path)) == text(at(prepared, *path))


def session_of(profile: dict[str, Any], claims: dict[str, Any]) -> dict[str, Any]:
    """Say what a profile alone would send, worked out apart from the service."""
    session: dict[str, Any] = json.loads(json.dumps(profile.get("session", {})))
    if session.get("instructions") == "Help {sub}.":
        session["instructions"] = "Help ada."
    if session.get("instructions") == "Help {claim:name}.":
        session["instructions"] = f"Help {as_plain_text(claims.get('name', ''))}."
    session_type = session.get("type", "realtime")
    model = profile.get("model", MODELS[0] if session_type == "realtime" else None)
    *above, last = model_place(session_type)
    if model is not None and at(session, *above, last) is ABSENT:
        holder = session
        for name in above:
            holder = holder.setdefault(name, {})
        holder[last] = model
    return session


def as_plain_text(value: str) -> str:
    """Escape a claim, one character after the other."""
    escapes = {'"': '\\"', "\\": "\\\\", "<": "\\u003c", ">": "\\u003e", "`": "\\u0060"}
    quotes = {char for char in value if unicodedata.category(char) in {"Pi", "Pf"}} - {"\u2018", "\u2019"}
    escapes |= {char: f"\\u{ord(char):04x}" for char in quotes}
    return "".join(escapes.get(char, char if char.isprintable() else " ") for char in value)


@often
@given(members=documents(), body=_BODIES, claims=_CLAIMS)
def test_the_resolved_model_is_the_one_that_is_checked(
    members: dict[str, Any], body: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Be it the caller's, the default, a profile's or a transcription's nested one."""
    grant = granted(policy(members), body, claims)
    if grant is None:
        return
    sent = json.loads(OpenAI().mint(grant, "x").body)["session"]
    assert at(sent, *model_place(grant.session_type)) == grant.model
    models = [grant.model, *(every_model(sent) if grant.session_type == "transcription" else [])]
    for model in models:
        assert model in MODELS
        assert model in members.get("models", MODELS)


@often
@given(members=documents(), body=_BODIES, claims=_CLAIMS)
def test_what_is_sent_keeps_the_bounds_and_the_lifetimes(
    members: dict[str, Any], body: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Also where nobody asked for anything, and the vendor's own default would be no limit."""
    grant = granted(policy(members), body, claims)
    if grant is None:
        return
    assert 10 <= grant.expires_in <= members.get("max_expires_in", 600)
    most = members.get("bounds", {}).get("max_output_tokens")
    if most is not None and (grant.session_type == "realtime" or "max_output_tokens" in grant.session):
        assert grant.session["max_output_tokens"] <= most
        assert type(grant.session["max_output_tokens"]) is not bool


@often
@given(members=documents(), body=_BODIES, claims=_CLAIMS)
def test_audit_mode_finds_something_exactly_where_enforcement_would_refuse(
    members: dict[str, Any], body: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Or an admin would learn on the day of the switch what the log had not told."""
    enforced = granted(policy(members), body, claims)
    audited = granted(policy({**members, "mode": "audit"}), body, claims)
    if audited is None:
        assert enforced is None
    else:
        assert (enforced is None) == bool(audited.findings)


_LIVE_MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["gpt-live-1", "m9"]),
    "instructions": st.just("Hi."),
    "delegation": st.sampled_from(
        [{"type": "client"}, {"type": "responses", "responses": {}}, None, "client"]
    ),
    "store": st.booleans(),
    "safety_identifier": st.just("x"),
    "client": st.sampled_from([{"data_channel": {"allowed_client_events": "all"}}, {}, None, "x"]),
    "audio": st.sampled_from([{"output": {"voice": "ash"}}, {"format": {}}, None]),
}
_LIVE_CALLS = st.fixed_dictionaries(
    {"session": st.fixed_dictionaries({"type": st.just("live")}, optional=_LIVE_MEMBERS)},
    optional={"profile": st.just("l"), "max_seconds": st.integers(30, 90)},
)
_LIVE_DOCUMENTS = st.fixed_dictionaries(
    {"profiles": st.fixed_dictionaries({"l": st.just({"session": {"type": "live"}})})},
    optional={
        "mode": st.sampled_from(["audit", "enforce"]),
        "fields": st.dictionaries(
            st.sampled_from(["allow", "deny"]),
            st.lists(st.sampled_from(["client", "store", "safety_identifier", "delegation", "audio"])),
            min_size=1,
        ),
        "max_call_seconds": st.integers(30, 90),
        "voices": st.lists(_VOICES),
    },
)


@often
@given(members=st.none() | _LIVE_DOCUMENTS, body=_LIVE_CALLS)
def test_no_caller_ever_changes_what_the_service_sets_in_a_live_session(
    members: dict[str, Any] | None, body: dict[str, Any]
) -> None:
    """Whatever a policy allows to be set, enforced or not: only its own ``data_channel`` opens the channel."""
    decider = policy(members, allowed_models=[*MODELS, "gpt-live-1"])
    try:
        grant = decide_call(decider, body)
    except (InvalidRequestError, ForbiddenError):
        return
    assert grant.model == "gpt-live-1"
    assert grant.session["store"] is False
    assert "safety_identifier" not in grant.session
    (permissions,) = grant.session["client"].values()
    events = ["session.input_audio.mute", "session.input_audio.unmute", "session.close"]
    if at(grant.session, "delegation", "type") == "client":
        events += ["session.thinking.append", "session.commentary.append"]
    assert permissions == {"allowed_client_events": events}
    allowed = (members or {}).get("fields", {}).get("allow", [])
    if "delegation" not in allowed or (members or {}).get("mode") == "audit":
        assert at(grant.session, "delegation", "type") in (ABSENT, "client")
