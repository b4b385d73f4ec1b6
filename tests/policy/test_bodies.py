"""Request bodies are read strictly, and whatever a body holds, it is answered with a 400 at worst."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.core.errors import InvalidRequestError, ServiceError
from service.core.model import TokenRequest
from service.http.schemas import ClientSecretBody, RequestBody, TokenBody, TranslationSecretBody, parse_body
from service.policy import Policy
from tests.support.policies import caller, decide, policy, refusal

EXAMPLES = 2_000 if os.environ.get("CI") else 1_000


def refused(route: type[RequestBody], body: bytes) -> tuple[str | None, str | None]:
    """Read a body that must be refused with a 400; return its code and the member to blame."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_body(route, body)
    assert caught.value.status == 400
    return caught.value.code, caught.value.param


NOT_JSON = {
    "white space": b" ",
    "no JSON": b"model=gpt-realtime",
    "half of it": b'{"model": ',
    "something after it": b"{} {}",
    "not UTF-8": b'{"model": "\xff"}',
    "UTF-16": '{"model": "m"}'.encode("utf-16"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"session": {"a": NaN}}',
    "Infinity": b'{"session": {"a": -Infinity}}',
    "a lone surrogate": b'{"model": "\\ud800"}',
    "a number of 5,000 digits": b'{"session": {"a": ' + b"9" * 5_000 + b"}}",
    "depth without end": b'{"session":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "a list": b"[]",
    "null": b"null",
    "a string": b'"{}"',
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_body_that_is_not_one_json_object_is_invalid_json(body: bytes) -> None:
    """The code says so, and no member is blamed."""
    assert refused(TokenBody, body) == ("invalid_json", None)


REFUSED: list[tuple[type[RequestBody], Any, str, str]] = [
    (TokenBody, {"modell": "m"}, "unknown_parameter", "modell"),
    (TokenBody, {"expires_after": {"seconds": 60, "anchr": "x"}}, "unknown_parameter", "expires_after.anchr"),
    (TokenBody, {"expires_after": {"seconds": "60"}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": {"seconds": 60.5}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": {"seconds": True}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": {"seconds": 9}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": {"seconds": -60}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": {}}, "invalid_value", "expires_after.seconds"),
    (TokenBody, {"expires_after": 60}, "invalid_value", "expires_after"),
    (TokenBody, {"expires_after": None}, "invalid_value", "expires_after"),
    (
        TokenBody,
        {"expires_after": {"seconds": 60, "anchor": "now"}},
        "invalid_value",
        "expires_after.anchor",
    ),
    (TokenBody, {"model": 1}, "invalid_value", "model"),
    (TokenBody, {"model": None}, "invalid_value", "model"),
    (TokenBody, {"model": ""}, "invalid_value", "model"),
    (TokenBody, {"model": "m" * 300}, "invalid_value", "model"),
    (TokenBody, {"profile": ["a"]}, "invalid_value", "profile"),
    (TokenBody, {"session": "realtime"}, "invalid_value", "session"),
    (TokenBody, {"session": {"type": "conversation"}}, "invalid_value", "session.type"),
    (TokenBody, {"session": {"type": ["realtime"]}}, "invalid_value", "session.type"),
    (ClientSecretBody, {"model": "m"}, "unknown_parameter", "model"),
    (ClientSecretBody, {"session": {"type": "translation"}}, "invalid_value", "session.type"),
    (TranslationSecretBody, {"session": {"type": "translation"}}, "unknown_parameter", "session.type"),
]


@pytest.mark.parametrize(("route", "body", "code", "param"), REFUSED)
def test_a_wrong_member_is_named(route: type[RequestBody], body: Any, code: str, param: str) -> None:
    """By its dotted path, so that a client's author finds it."""
    assert refused(route, json.dumps(body).encode()) == (code, param)


def test_a_number_beyond_all_numbers_is_refused() -> None:
    """Python reads 1e999 as infinity, which the vendor could not be sent."""
    assert refused(TokenBody, b'{"session": {"a": {"b": [1e999]}}}') == ("invalid_value", "session")


def test_an_error_never_repeats_a_value() -> None:
    """It may be a secret in the wrong place."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_body(TokenBody, b'{"expires_after": {"seconds": "sk-live-0123456789"}}')
    assert "sk-live" not in caught.value.message


def test_a_long_member_name_is_not_repeated_at_length() -> None:
    """Or a caller would choose the size of our answers and of our log."""
    with pytest.raises(InvalidRequestError) as caught:
        parse_body(TokenBody, json.dumps({"x" * 60_000: 1}).encode())
    assert len(caught.value.message) < 300
    assert len(caught.value.param or "") < 300


def test_a_token_body_says_what_the_caller_asks_for() -> None:
    """The type is taken out of the session; the model stays where the caller put it."""
    body = {
        "model": "m",
        "session": {"type": "transcription", "include": []},
        "expires_after": {"seconds": 10, "anchor": "created_at"},
        "profile": "p",
    }
    assert parse_body(TokenBody, json.dumps(body).encode()) == TokenRequest(
        session_type="transcription", session={"include": []}, model="m", expires_in=10, profile="p"
    )


@pytest.mark.parametrize("route", [TokenBody, ClientSecretBody, TranslationSecretBody])
def test_an_empty_body_counts_as_an_empty_object(route: type[RequestBody]) -> None:
    assert parse_body(route, b"") == parse_body(route, b"{}")


@pytest.mark.parametrize("route", [ClientSecretBody, TranslationSecretBody])
def test_the_vendors_own_request_may_leave_the_seconds_out(route: type[RequestBody]) -> None:
    """Its SDKs send an anchor alone where an app asks for nothing else."""
    assert parse_body(route, b'{"expires_after": {"anchor": "created_at"}}').expires_in is None


def test_the_vendors_route_mints_for_the_types_that_it_is_for() -> None:
    """Whatever a profile or the defaults are of: another type has a route of its own."""
    model = {"model": "gpt-realtime-translate", "session": {"type": "translation"}}
    prepared = policy({"profiles": {"tr": model}, "defaults": model})
    error = refusal(prepared, {"profile": "tr"}, route=ClientSecretBody)
    assert error is not None
    assert (error.status, error.code, error.param) == (400, "invalid_value", "profile")
    assert decide(prepared, {}, route=ClientSecretBody).session_type == "realtime"
    assert decide(prepared, {"profile": "tr"}).session_type == "translation"
    assert decide(prepared, {"profile": "tr"}, route=TranslationSecretBody).session_type == "translation"


def test_the_translation_route_asks_for_a_translation_session() -> None:
    """Its session knows no type, as the vendor's does not."""
    request = parse_body(TranslationSecretBody, b'{"session": {"model": "m"}}')
    assert (request.session_type, request.session) == ("translation", {"model": "m"})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "model": _JSON | st.just("gpt-realtime-2.1"),
        "session": _JSON
        | st.dictionaries(
            st.sampled_from(["type", "model", "audio", "tools", "prompt", "tracing", "max_output_tokens"]),
            _JSON | st.sampled_from(["realtime", "transcription", "translation"]),
        ),
        "expires_after": _JSON | st.fixed_dictionaries({"seconds": _JSON, "anchor": _JSON}),
        "profile": _JSON | st.just("support"),
        "": _JSON,
    },
)
_RESTRICTIVE = {
    "profiles": {
        "support": {"session": {"instructions": "Hello {claim:name}"}, "locked": ["audio", "tools"]}
    },
    "bounds": {"max_output_tokens": 100, "audio.input.speed": {"min": 1}},
    "fields": {"deny": ["truncation"]},
    "voices": ["marin"],
    "tools": ["look_up"],
}


@settings(max_examples=EXAMPLES)
@given(body=st.binary(max_size=200) | (_JSON | _MEMBERS).map(lambda value: json.dumps(value).encode()))
@example(body=b'{"session": {"type": {}}}')
@example(body=b'{"session": {"audio": null, "type": "transcription"}, "model": "gpt-4o-transcribe"}')
def test_whatever_a_body_holds_it_is_granted_or_refused(body: bytes) -> None:
    """Nothing but a 400 comes of reading it, and nothing but a 400 or 403 of deciding on it."""
    deciders = (policy(), policy(_RESTRICTIVE), policy(_RESTRICTIVE | {"mode": "audit"}))
    for route in (TokenBody, ClientSecretBody, TranslationSecretBody):
        for decider in deciders:
            error = failure(decider, route, body)
            assert error is None or error.status in {400, 403}
            assert error is None or len(str(error.body)) < 2_000


def failure(decider: Policy, route: type[RequestBody], body: bytes) -> ServiceError | None:
    """Take a body as far as it goes."""
    try:
        decider.decide(caller(name="Ada"), parse_body(route, body))
    except ServiceError as error:
        return error
    return None


def test_long_names_within_a_session_are_not_repeated_at_length() -> None:
    """A refusal names the member, cut where the caller made it long."""
    body = json.dumps({"session": {"x" * 60_000: {"y" * 1_000: 1}}}).encode()
    error = failure(policy({"fields": {"allow": []}}), TokenBody, body)
    assert error is not None
    assert len(str(error.body)) < 1_000
