"""Every rule of a policy, one row each: the document, the claims, the request, and what becomes of it."""

# ruff: noqa: E501 - a table reads by its rows

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.policies import MODELS

BIG, SMALL, TRANSCRIBE, TRANSLATE = MODELS


class Refused(NamedTuple):
    """A refusal: the member it blames, the rule that decided, and its code."""

    param: str
    rule: str
    code: str = "session_field_not_allowed"


def function(name: str) -> dict[str, Any]:
    """A tool that runs on the client."""
    return {"type": "function", "name": name}


def server(url: str, **more: Any) -> dict[str, Any]:
    """A tool that the vendor calls."""
    return {"type": "mcp", "server_label": "s", "server_url": url, **more}


def voice(name: Any) -> dict[str, Any]:
    """A request for a voice."""
    return {"session": {"audio": {"output": {"voice": name}}}}


def session(**members: Any) -> dict[str, Any]:
    """A request for a session."""
    return {"session": members}


LOCKED = {
    "profiles": {
        "p": {
            "model": BIG,
            "session": {"instructions": "Be kind.", "audio": {"output": {"voice": "marin", "speed": 1}}},
            "locked": ["instructions", "audio.output", "tools", "expires_in"],
            "expires_in": 30,
        }
    }
}
ANY_PROMPT = {"prompt": {"id": "pmpt_1", "version": "2"}}
FREE = {"rules": [{"name": "free", "unless": {"tier": ["paid", "staff"]}, "models": [SMALL]}]}
BY_GROUP = {"rules": [{"when": {"groups": "kids", "scope": "play"}, "voices": ["marin"]}]}
NESTED = {"rules": [{"when": {"app_metadata.plan": 1}, "max_expires_in": 20}]}


class Row(NamedTuple):
    """``expected`` is the refusal, or members of what is granted."""

    what: str
    policy: dict[str, Any] | None
    claims: dict[str, Any]
    body: dict[str, Any]
    expected: dict[str, Any] | Refused


# fmt: off
TABLE = [
    # what the environment says, document or none
    Row("the default model is filled in", None, {}, {}, {"model": BIG}),
    Row("an allowed model is granted", None, {}, {"model": SMALL}, {"model": SMALL}),
    Row("another is not", None, {}, {"model": "m9"}, Refused("model", "ALLOWED_MODELS", "model_not_allowed")),
    Row("a session's model is named where the caller put it", None, {}, session(model="m9"), Refused("session.model", "ALLOWED_MODELS", "model_not_allowed")),
    Row("each model of a transcription session is checked", None, {}, {"model": TRANSCRIBE, "session": {"type": "transcription", "model": "m9"}}, Refused("session.model", "ALLOWED_MODELS", "model_not_allowed")),
    Row("one in a list too", None, {}, {"model": TRANSCRIBE, "session": {"type": "transcription", "fallbacks": [{"model": SMALL}, [{"model": "m9"}]]}}, Refused("session.fallbacks.model", "ALLOWED_MODELS", "model_not_allowed")),
    Row("a conversation's transcription model rides along", None, {}, session(audio={"input": {"transcription": {"model": "m9"}}}), {"model": BIG, "audio": {"input": {"transcription": {"model": "m9"}}}}),
    Row("a top-level model moves to where a transcription session keeps its own", None, {}, {"model": TRANSCRIBE, "session": {"type": "transcription", "audio": {"input": {"transcription": {"language": "de"}}}}}, {"type": "transcription", "audio": {"input": {"transcription": {"language": "de", "model": TRANSCRIBE}}}}),
    Row("it cannot move into what is no object", None, {}, {"model": TRANSCRIBE, "session": {"type": "transcription", "audio": {"input": "mic"}}}, Refused("session.audio.input", "", "invalid_value")),
    Row("the default model is for conversations only", None, {}, session(type="translation"), Refused("session.model", "", "invalid_value")),
    Row("a transcription session must name its model too", None, {}, session(type="transcription"), Refused("session.audio.input.transcription.model", "", "invalid_value")),
    Row("the same model may be given twice", None, {}, {"model": BIG, "session": {"model": BIG}}, {"model": BIG}),
    Row("two models that differ may not", None, {}, {"model": BIG, "session": {"model": SMALL}}, Refused("model", "", "invalid_value")),
    Row("a model that is no string is none", None, {}, session(model=["m"]), Refused("session.model", "", "invalid_value")),
    Row("a life above TOKEN_MAX_TTL", None, {}, {"expires_after": {"seconds": 601}}, Refused("expires_after.seconds", "TOKEN_MAX_TTL", "invalid_value")),
    Row("a life at TOKEN_MAX_TTL", None, {}, {"expires_after": {"seconds": 600}}, {"expires_in": 600}),
    Row("the default life is TOKEN_TTL", None, {}, {}, {"expires_in": 60}),
    Row("without a document tools are the caller's affair", None, {}, session(tools=[server("u")]), {"tools": [server("u")]}),
    Row("without a document there are no profiles", None, {}, {"profile": "p"}, Refused("profile", "", "unknown_parameter")),
    # profiles and defaults
    Row("a profile is laid under the request", LOCKED, {}, {"profile": "p", "session": {"max_output_tokens": 9}}, {"instructions": "Be kind.", "max_output_tokens": 9, "expires_in": 30, "profile": "p"}),
    Row("a locked member is the profile's", LOCKED, {}, {"profile": "p", "session": {"instructions": "Be rude."}}, Refused("session.instructions", "profiles.p.locked")),
    Row("a locked member holds all below it", LOCKED, {}, {"profile": "p", **voice("ash")}, Refused("session.audio.output", "profiles.p.locked")),
    Row("also what is added below it", LOCKED, {}, {"profile": "p", "session": {"audio": {"output": {"format": {}}}}}, Refused("session.audio.output", "profiles.p.locked")),
    Row("and cannot be taken out from above", LOCKED, {}, {"profile": "p", "session": {"audio": None}}, Refused("session.audio.output", "profiles.p.locked")),
    Row("what a profile lacks can be locked", LOCKED, {}, {"profile": "p", "session": {"tools": []}}, Refused("session.tools", "profiles.p.locked")),
    Row("1 and true are not the same", LOCKED, {}, {"profile": "p", "session": {"audio": {"output": {"speed": True}}}}, Refused("session.audio.output", "profiles.p.locked")),
    Row("beside a locked member the rest is free", LOCKED, {}, {"profile": "p", "session": {"audio": {"input": {"format": {}}}}}, {"audio": {"input": {"format": {}}, "output": {"voice": "marin", "speed": 1}}}),
    Row("to repeat a locked member is harmless", LOCKED, {}, {"profile": "p", **voice("marin")}, {"instructions": "Be kind."}),
    Row("a locked life is the profile's", LOCKED, {}, {"profile": "p", "expires_after": {"seconds": 20}}, Refused("expires_after.seconds", "profiles.p.locked")),
    Row("a model that is not locked is free", LOCKED, {}, {"profile": "p", "model": SMALL}, {"model": SMALL}),
    Row("a locked model is not", {"profiles": {"p": {"model": BIG, "locked": ["model"]}}}, {}, {"profile": "p", "model": SMALL}, Refused("session.model", "profiles.p.locked")),
    Row("wherever its type keeps it", {"profiles": {"p": {"model": TRANSCRIBE, "session": {"type": "transcription"}, "locked": ["model"]}}}, {}, {"profile": "p", "model": SMALL}, Refused("session.audio.input.transcription.model", "profiles.p.locked")),
    Row("a profile says the type", {"profiles": {"p": {"model": TRANSCRIBE, "session": {"type": "transcription"}}}}, {}, {"profile": "p"}, {"type": "transcription", "audio": {"input": {"transcription": {"model": TRANSCRIBE}}}}),
    Row("a profile of another type takes no default model", {"profiles": {"p": {"session": {"type": "translation"}}}}, {}, {"profile": "p"}, Refused("session.model", "", "invalid_value")),
    Row("a caller cannot make it another", {"profiles": {"p": {"model": TRANSCRIBE, "session": {"type": "transcription"}}}}, {}, {"profile": "p", "session": {"type": "realtime"}}, Refused("session.type", "", "invalid_value")),
    Row("an unknown profile", LOCKED, {}, {"profile": "q"}, Refused("profile", "", "invalid_value")),
    Row("a profile may require a claim", {"profiles": {"p": {"requires": {"plan": "pro"}}}}, {"plan": "free"}, {"profile": "p"}, Refused("profile", "profiles.p.requires")),
    Row("and is there for who has it", {"profiles": {"p": {"requires": {"plan": "pro"}}}}, {"plan": "pro"}, {"profile": "p"}, {"profile": "p"}),
    Row("a profile may require a scope", {"profiles": {"p": {"requires": {"scope": "talk"}}}}, {"scope": "walk"}, {"profile": "p"}, Refused("profile", "profiles.p.requires", "insufficient_scope")),
    Row("one of several, however the provider spells them", {"profiles": {"p": {"requires": {"scope": "talk"}}}}, {"permissions": ["walk", "talk"]}, {"profile": "p"}, {"profile": "p"}),
    Row("defaults are for who names no profile", {"defaults": {"model": SMALL, "session": {"instructions": "Hi."}}}, {}, {}, {"model": SMALL, "instructions": "Hi."}),
    Row("and lock as profiles do", {"defaults": {"session": {"instructions": "Hi."}, "locked": ["instructions"]}}, {}, session(instructions="Bye."), Refused("session.instructions", "defaults.locked")),
    Row("and are for their own type only", {"defaults": {"session": {"instructions": "Hi."}}}, {}, {"model": TRANSLATE, "session": {"type": "translation"}}, {"type": "translation", "model": TRANSLATE}),
    Row("a profile can be mandatory", {**LOCKED, "profile_required": True}, {}, {}, Refused("profile", "profile_required", "invalid_value")),
    Row("a template is filled in", {"profiles": {"p": {"session": {"instructions": "Help {claim:name}, {sub}."}}}}, {"name": "Bo", "sub": "u1"}, {"profile": "p"}, {"instructions": "Help Bo, u1."}),
    Row("a caller who lacks its claim has not the profile", {"profiles": {"p": {"session": {"instructions": "{claim:name}"}}}}, {}, {"profile": "p"}, Refused("profile", "profiles.p.session")),
    # limits on what is sent
    Row("types", {"types": ["transcription"]}, {}, {}, Refused("session.type", "types")),
    Row("models narrow ALLOWED_MODELS", {"models": [SMALL]}, {}, {}, Refused("session.model", "models", "model_not_allowed")),
    Row("models never widen it", {"models": ["m9"]}, {}, {"model": "m9"}, Refused("model", "ALLOWED_MODELS", "model_not_allowed")),
    Row("a longer life than the policy's", {"max_expires_in": 50}, {}, {"expires_after": {"seconds": 51}}, Refused("expires_after.seconds", "max_expires_in", "invalid_value")),
    Row("nobody asked for it, so it is shortened", {"max_expires_in": 50}, {}, {}, {"expires_in": 50}),
    Row("a number within bounds", {"bounds": {"max_output_tokens": 1024}}, {}, session(max_output_tokens=1024), {"max_output_tokens": 1024}),
    Row("a number above", {"bounds": {"max_output_tokens": 1024}}, {}, session(max_output_tokens=1025), Refused("session.max_output_tokens", "bounds.max_output_tokens")),
    Row("inf is above every bound", {"bounds": {"max_output_tokens": 1024}}, {}, session(max_output_tokens="inf"), Refused("session.max_output_tokens", "bounds.max_output_tokens")),
    Row("true is no number", {"bounds": {"max_output_tokens": 1024}}, {}, session(max_output_tokens=True), Refused("session.max_output_tokens", "bounds.max_output_tokens")),
    Row("no limit would be none, so it is sent", {"bounds": {"max_output_tokens": 1024}}, {}, {}, {"max_output_tokens": 1024}),
    Row("a lock on what nobody sets does not hinder that", {"bounds": {"max_output_tokens": 9}, "profiles": {"p": {"locked": ["max_output_tokens"]}}}, {}, {"profile": "p"}, {"max_output_tokens": 9}),
    Row("other absent numbers are the vendor's", {"bounds": {"audio.output.speed": 1}}, {}, {}, {"model": BIG}),
    Row("a number below", {"bounds": {"audio.output.speed": {"min": 0.5, "max": 1}}}, {}, session(audio={"output": {"speed": 0.4}}), Refused("session.audio.output.speed", "bounds.audio.output.speed")),
    # limits on what the caller brings
    Row("a field that is allowed", {"fields": {"allow": ["audio.output"]}}, {}, voice("ash"), voice("ash")["session"]),
    Row("a field that is not", {"fields": {"allow": ["audio.output"]}}, {}, session(instructions="Hi."), Refused("session.instructions", "fields.allow")),
    Row("a field around an allowed one", {"fields": {"allow": ["audio.output"]}}, {}, session(audio=None), Refused("session.audio", "fields.allow")),
    Row("a member that looks like a path", {"fields": {"allow": ["audio.output"]}}, {}, session(**{"audio.output": 1}), Refused("session.audio.output", "fields.allow")),
    Row("to name the model one gets anyway sets nothing", {"fields": {"allow": []}}, {}, {"model": BIG}, {"model": BIG}),
    Row("to name another does", {"fields": {"allow": []}}, {}, {"model": SMALL}, Refused("session.model", "fields.allow")),
    Row("a field that is denied", {"fields": {"deny": ["audio.output.voice"]}}, {}, voice("ash"), Refused("session.audio.output.voice", "fields.deny")),
    Row("a field around a denied one", {"fields": {"deny": ["audio.output.voice"]}}, {}, session(audio=[]), Refused("session.audio", "fields.deny")),
    Row("a field below a denied one", {"fields": {"deny": ["audio"]}}, {}, voice("ash"), Refused("session.audio.output.voice", "fields.deny")),
    Row("a field beside a denied one", {"fields": {"deny": ["audio.input"]}}, {}, voice("ash"), voice("ash")["session"]),
    Row("a voice", {"voices": ["marin"]}, {}, voice("ash"), Refused("session.audio.output.voice", "voices")),
    Row("a custom voice", {"voices": ["marin"]}, {}, voice({"id": "voice_1"}), Refused("session.audio.output.voice", "voices")),
    Row("a custom voice that is allowed", {"voices": ["voice_1"]}, {}, voice({"id": "voice_1"}), voice({"id": "voice_1"})["session"]),
    Row("a voice that is not text", {"voices": ["marin"]}, {}, voice(["marin"]), Refused("session.audio.output.voice", "voices")),
    Row("a profile's voice is the admin's word", {"voices": ["marin"], "defaults": {"session": voice("ash")["session"]}}, {}, {}, voice("ash")["session"]),
    Row("a tool", {"tools": ["a"]}, {}, session(tools=[function("a"), function("b")]), Refused("session.tools", "tools")),
    Row("a tool without a type is a function", {"tools": ["a"]}, {}, session(tools=[{"name": "b"}]), Refused("session.tools", "tools")),
    Row("a tool that is allowed", {"tools": ["a"]}, {}, session(tools=[function("a")]), {"tools": [function("a")]}),
    Row("a profile's tools may be repeated beside it", {"tools": ["a"], "defaults": {"session": {"tools": [function("b")]}}}, {}, session(tools=[function("b"), function("a")]), {"tools": [function("b"), function("a")]}),
    Row("any function, where no tool is named", {}, {}, session(tools=[function("b")]), {"tools": [function("b")]}),
    Row("a remote server is refused unless listed", {}, {}, session(tools=[server("https://m")]), Refused("session.tools", "mcp")),
    Row("a remote server that is listed", {"mcp": ["https://m"]}, {}, session(tools=[server("https://m")]), {"tools": [server("https://m")]}),
    Row("a listed server beside an unlisted connector", {"mcp": ["https://m"]}, {}, session(tools=[server("https://m", connector_id="connector_gmail")]), Refused("session.tools", "mcp")),
    Row("a remote server without an address", {"mcp": ["https://m"]}, {}, session(tools=[{"type": "mcp"}]), Refused("session.tools", "mcp")),
    Row("a tool of a kind yet unknown", {"mcp": ["https://m"]}, {}, session(tools=[{"type": "computer"}]), Refused("session.tools", "mcp")),
    Row("tools that are no list", {}, {}, session(tools={"type": "mcp"}), Refused("session.tools", "mcp")),
    Row("a stored prompt is refused unless listed", {}, {}, session(**ANY_PROMPT), Refused("session.prompt", "prompts")),
    Row("a stored prompt that is listed", {"prompts": ["pmpt_1"]}, {}, session(**ANY_PROMPT), ANY_PROMPT),
    Row("a prompt that is no object", {"prompts": ["pmpt_1"]}, {}, session(prompt="pmpt_1"), Refused("session.prompt", "prompts")),
    Row("no prompt at all", {}, {}, session(prompt=None), {"prompt": None}),
    Row("tracing is refused unless allowed", {}, {}, session(tracing="auto"), Refused("session.tracing", "tracing")),
    Row("tracing that is allowed", {"tracing": True}, {}, session(tracing="auto"), {"tracing": "auto"}),
    Row("tracing may always be switched off", {}, {}, session(tracing=None), {"tracing": None}),
    # by claim
    Row("unless holds who lacks the claim", FREE, {}, {}, Refused("session.model", "rules[0] (free).models", "model_not_allowed")),
    Row("and spares who has it", FREE, {"tier": "paid"}, {}, {"model": BIG}),
    Row("one of a set is enough", FREE, {"tier": ["x", "staff"]}, {}, {"model": BIG}),
    Row("values are compared exactly", FREE, {"tier": "paid "}, {}, Refused("session.model", "rules[0] (free).models", "model_not_allowed")),
    Row("when holds who meets all of it", BY_GROUP, {"groups": ["kids"], "scope": "play sing"}, voice("ash"), Refused("session.audio.output.voice", "rules[0].voices")),
    Row("and not who meets half", BY_GROUP, {"groups": ["kids"]}, voice("ash"), voice("ash")["session"]),
    Row("a claim may lie deeper", NESTED, {"app_metadata": {"plan": 1}}, {}, {"expires_in": 20}),
    Row("its literal name goes first", NESTED, {"app_metadata.plan": 1, "app_metadata": {"plan": 2}}, {}, {"expires_in": 20}),
    Row("true is not 1", NESTED, {"app_metadata": {"plan": True}}, {}, {"expires_in": 60}),
    Row("rules may narrow profiles", {**LOCKED, "rules": [{"unless": {"tier": "paid"}, "profiles": []}]}, {}, {"profile": "p"}, Refused("profile", "rules[0].profiles")),
    Row("a wider rule does not lift a narrower", {"bounds": {"max_output_tokens": 100}, "rules": [{"when": {"sub": "ada"}, "bounds": {"max_output_tokens": 500}}]}, {"sub": "ada"}, {}, {"max_output_tokens": 100}),
    Row("a narrower rule lowers a wider", {"bounds": {"max_output_tokens": 500}, "rules": [{"when": {"sub": "ada"}, "bounds": {"max_output_tokens": 100}}]}, {"sub": "ada"}, {}, {"max_output_tokens": 100}),
]
# fmt: on
