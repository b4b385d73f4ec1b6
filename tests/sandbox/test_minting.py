"""Minting over HTTP: the vendor's answers and errors, and the record that the sandbox keeps for tests."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import requests
from werkzeug.datastructures import Headers

from service.sandbox import credentials, recorder
from service.sandbox.credentials import SecretStore
from service.sandbox.errors import ApiError
from tests.support.realtime import KEY
from tests.support.sandbox_session import Clock
from tests.support.service import Sandbox

_MINT, _TRANSLATE, _BETA = (
    "/realtime/client_secrets",
    "/realtime/translations/client_secrets",
    "/realtime/sessions",
)


def _post(sandbox: Sandbox, path: str, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.post(sandbox.base_url + path, json=body, headers=headers or KEY, timeout=10)


def _session(**members: Any) -> dict[str, Any]:
    return {"session": {"type": "realtime", **members}}


def test_a_mint_answers_a_secret_and_a_complete_session(sandbox: Sandbox) -> None:
    """The request's members are merged into the vendor's defaults."""
    answer = _post(sandbox, _MINT, _session(instructions="Be brief.", audio={"output": {"voice": "marin"}}))
    minted = answer.json()
    assert answer.status_code == 200
    assert minted["value"].startswith("ek_")
    assert minted["session"]["id"].startswith("sess_")
    assert minted["session"]["instructions"] == "Be brief."
    assert minted["session"]["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "marin",
        "speed": 1.0,
    }
    assert {"x-request-id", "openai-processing-ms", "openai-version"} <= {
        name.lower() for name in answer.headers
    }


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (_MINT, {"session": {}}, "missing_required_parameter", "session.type"),
        (_MINT, {"session": {"type": "song"}}, "invalid_value", "session.type"),
        (_MINT, {"session": {"type": "translation"}}, "invalid_value", "session.type"),
        (_MINT, {"session": 7}, "invalid_type", "session"),
        (_MINT, [], "invalid_type", None),
        (_MINT, {"sesion": {}}, "unknown_parameter", "sesion"),
        (_MINT, _session(voice="ash"), "unknown_parameter", "session.voice"),
        (_MINT, _session(temperature=0.8), "unknown_parameter", "session.temperature"),
        (_MINT, _session(audio={"output": {"voice": "bob"}}), "invalid_value", "session.audio.output.voice"),
        (
            _MINT,
            _session(audio={"output": {"speed": 3}}),
            "integer_above_max_value",
            "session.audio.output.speed",
        ),
        (
            _MINT,
            _session(audio={"input": {"format": {"type": "mp3"}}}),
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (_MINT, _session(output_modalities=["text", "audio"]), "invalid_value", "session.output_modalities"),
        (_MINT, _session(max_output_tokens=0), "integer_below_min_value", "session.max_output_tokens"),
        (_MINT, _session(max_output_tokens=5000), "integer_above_max_value", "session.max_output_tokens"),
        (_MINT, _session(max_output_tokens="many"), "invalid_value", "session.max_output_tokens"),
        (_MINT, _session(instructions=None), "invalid_type", "session.instructions"),
        (
            _MINT,
            _session(tools=[{"type": "function", "nam": "x"}]),
            "missing_required_parameter",
            "session.tools[0].name",
        ),
        (
            _MINT,
            _session(tools=[{"type": "function", "name": "x", "parameters": {"properties": 7}}]),
            "invalid_type",
            "session.tools[0].parameters.properties",
        ),
        (_MINT, _session(tool_choice="always"), "invalid_value", "session.tool_choice"),
        (
            _MINT,
            _session(tool_choice={"name": "x"}),
            "missing_required_parameter",
            "session.tool_choice.type",
        ),
        (_MINT, {"expires_after": {"seconds": 60}}, "missing_required_parameter", "expires_after.anchor"),
        (_MINT, {"expires_after": {"anchor": "now", "seconds": 60}}, "invalid_value", "expires_after.anchor"),
        (
            _MINT,
            {"expires_after": {"anchor": "created_at", "seconds": 9}},
            "integer_below_min_value",
            "expires_after.seconds",
        ),
        (
            _MINT,
            {"expires_after": {"anchor": "created_at", "seconds": 7201}},
            "integer_above_max_value",
            "expires_after.seconds",
        ),
        (
            _MINT,
            {"expires_after": {"anchor": "created_at", "seconds": "60"}},
            "invalid_type",
            "expires_after.seconds",
        ),
        (_TRANSLATE, {}, "missing_required_parameter", "session"),
        (_TRANSLATE, {"session": {}}, "missing_required_parameter", "session.model"),
        (_TRANSLATE, {"session": {"type": "translation", "model": "x"}}, "unknown_parameter", "session.type"),
    ],
)
def test_a_bad_body_is_refused_as_the_vendor_does(
    sandbox: Sandbox, path: str, body: Any, code: str, param: str | None
) -> None:
    """With a code, and the dotted path of the member."""
    answer = _post(sandbox, path, body)
    error = answer.json()["error"]
    assert answer.status_code == 400
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["message"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_session(foo=1), "Unknown parameter: 'session.foo'."),
        ({"session": {}}, "Missing required parameter: 'session.type'."),
        (
            {"session": {"type": "song"}},
            "Invalid value: 'song'. Supported values are: 'realtime' and 'transcription'.",
        ),
        (
            {"expires_after": {"anchor": "created_at", "seconds": 5}},
            (
                "Invalid 'expires_after.seconds': integer below minimum value. "
                "Expected a value >= 10, but got 5 instead."
            ),
        ),
        (
            _session(instructions=5),
            "Invalid type for 'session.instructions': expected a string, but got an integer instead.",
        ),
        (
            _session(tools=[{"type": "function", "name": "x" * 65}]),
            (
                "Invalid 'session.tools[0].name': string too long. Expected a string with maximum length 64, "
                "but got a string with length 65 instead."
            ),
        ),
    ],
)
def test_errors_are_worded_as_the_vendor_words_them(sandbox: Sandbox, body: Any, message: str) -> None:
    """People search the web for these messages."""
    assert _post(sandbox, _MINT, body).json()["error"]["message"] == message


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        (None, "You didn't provide an API key"),
        ("Basic sk-test", "You didn't provide an API key"),
        ("Bearer", "You didn't provide an API key"),
        ("Bearer sk-invalid-1234567890", "Incorrect API key provided: sk-inv***"),
        ("Bearer ek_12345678", "Incorrect API key provided"),
    ],
)
def test_a_bad_key_is_refused_and_not_repeated(
    sandbox: Sandbox, authorization: str | None, words: str
) -> None:
    """Only its beginning appears in the message."""
    headers = {"Authorization": authorization} if authorization else {"X-Nothing": "1"}
    answer = _post(sandbox, _MINT, {}, headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (401, "invalid_api_key")
    assert error["message"].startswith(words)
    assert "1234567890" not in answer.text


def test_mints_are_recorded_for_tests(sandbox: Sandbox) -> None:
    """With headers and bodies, and the hash of the key."""
    sandbox.reset()
    headers = KEY | {
        "OpenAI-Safety-Identifier": "user-1",
        "OpenAI-Organization": "org",
        "OpenAI-Project": "proj",
    }
    body = _session(model="gpt-realtime-2")
    _post(sandbox, _MINT, body, headers)
    _post(sandbox, _MINT, {"session": {}}, headers)
    good, bad = sandbox.mints()
    assert (good["path"], good["body"], good["status"], good["minted"]) == (f"/v1{_MINT}", body, 200, True)
    assert (bad["status"], bad["minted"]) == (400, False)
    assert good["headers"].items() >= (headers.items() - KEY.items())
    assert good["key_sha256"] == hashlib.sha256(b"sk-test").hexdigest()
    assert "sk-test" not in str(sandbox.mints())


def test_the_beta_mints_flat_sessions_for_a_minute(beta_sandbox: Sandbox) -> None:
    """Today's mint stays beside it."""
    body = {
        "model": "gpt-4o-realtime-preview",
        "modalities": ["audio", "text"],
        "voice": "verse",
        "temperature": 0.7,
    }
    minted = _post(beta_sandbox, _BETA, body).json()
    assert minted.items() >= body.items()
    assert minted["client_secret"]["value"].startswith("ek_")
    assert minted["input_audio_format"] == "pcm16"
    assert _post(beta_sandbox, _MINT, _session()).status_code == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"type": "realtime"}, "type"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"temperature": 2.0}, "temperature"),
        ({"input_audio_format": "mp3"}, "input_audio_format"),
    ],
)
def test_the_beta_validates_flat_members(beta_sandbox: Sandbox, body: Any, param: str) -> None:
    """The error has a flat path, too."""
    answer = _post(beta_sandbox, _BETA, body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_without_the_beta_its_route_is_unknown(sandbox: Sandbox) -> None:
    """As at the vendor today."""
    answer = _post(sandbox, _BETA, {})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"Invalid URL (POST /v1{_BETA})"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/chat/completions", 404, "Invalid URL (GET /v1/chat/completions)"),
        ("GET", _MINT, 405, f"Not allowed to GET on /v1{_MINT}"),
        ("GET", "/realtime", 400, ""),
        ("GET", "/models/none", 404, "The model 'none' does not exist"),
    ],
)
def test_unknown_routes_and_methods_get_the_vendors_errors(
    sandbox: Sandbox, method: str, path: str, status: int, words: str
) -> None:
    """No answer is HTML, and each is logged."""
    answer = requests.request(method, sandbox.base_url + path, headers=KEY, timeout=10)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].startswith(words)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[" * 100_000,
        '{"session": {"type": "realtime", "tracing": {"metadata": ' + '{"a": ' * 900 + "1" + "}" * 903,
        '{"session": {"type": "realtime", "tracing": {"metadata": {"a": NaN}}}}',
        '{"session": {"type": "realtime", "tracing": {"metadata": {"a": 1e999}}}}',
    ],
    ids=["cut off", "deep", "deep in a member", "NaN", "Infinity"],
)
def test_a_body_that_is_not_json_is_refused(sandbox: Sandbox, body: str) -> None:
    """Whatever its content type says."""
    answer = requests.post(sandbox.base_url + _MINT, data=body, headers=KEY, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
    assert sandbox.mints()[-1]["body"] is None  # what was posted can be looked at all the same


def test_models_are_listed_and_described(sandbox: Sandbox) -> None:
    """As ``GET /v1/models`` and ``GET /v1/models/{id}`` do."""
    listed = requests.get(f"{sandbox.base_url}/models", headers=KEY, timeout=10).json()
    assert listed["object"] == "list"
    model = next(model for model in listed["data"] if model["id"] == "gpt-realtime-2.1")
    assert requests.get(f"{sandbox.base_url}/models/{model['id']}", headers=KEY, timeout=10).json() == model
    assert requests.get(f"{sandbox.base_url}/models", timeout=10).status_code == 401


def test_browsers_may_call(sandbox: Sandbox) -> None:
    """A preflight needs no key and allows what it asks for."""
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Headers": "authorization,x-stainless-os",
    }
    answer = requests.options(f"{sandbox.base_url}/realtime/calls", headers=asked, timeout=10)
    assert answer.ok
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-stainless-os"


def test_a_secret_expires() -> None:
    """At ``expires_at``."""
    clock = Clock()
    secrets = SecretStore(clock)
    secret = secrets.mint({}, 10)
    clock.now += 9.9
    assert secrets.find(secret.value) == secret
    clock.now += 0.1
    with pytest.raises(ApiError, match="Incorrect API key") as refused:
        secrets.find(secret.value)
    assert refused.value.code == "invalid_api_key"
    assert secret.value not in repr(secret)


def test_expired_secrets_are_dropped_from_memory() -> None:
    """Otherwise a long day of minting would fill the memory."""
    clock = Clock()
    secrets = SecretStore(clock)
    for _ in range(50):
        with secrets.claim(secrets.mint({}, 10)):
            pass
        clock.now += 1
    assert len(secrets) <= 10


def test_secrets_and_their_sessions_take_a_bounded_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may have them minted, each with a session of up to a megabyte; the newest are kept."""
    monkeypatch.setattr(credentials, "MAX_SECRETS", 100)
    monkeypatch.setattr(credentials, "MAX_BYTES", 10_000)
    secrets = SecretStore(Clock())
    small = [secrets.mint({}, 600) for _ in range(300)]
    assert len(secrets) == 100
    assert secrets.find(small[-1].value) == small[-1]
    large = [secrets.mint({"instructions": "x" * 1_000}, 600) for _ in range(50)]
    assert len(secrets) == 9
    assert secrets.find(large[-1].value) == large[-1]
    with pytest.raises(ApiError, match="Incorrect API key"):
        secrets.find(small[-1].value)


def test_recorded_requests_take_a_bounded_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are recorded before their key is looked at."""
    monkeypatch.setattr(recorder, "MAX_REQUESTS", 100)
    monkeypatch.setattr(recorder, "MAX_BYTES", 10_000)
    record = recorder.Recorder()
    for _ in range(300):
        record.begin("/v1/realtime/client_secrets", Headers(), b"{}")
    assert record.report()["attempts"] == 100
    for _ in range(50):
        record.begin("/v1/realtime/client_secrets", Headers(), b"x" * 1_000)
    assert record.report()["attempts"] == 10
    for _ in range(50):
        record.begin("/v1/realtime/client_secrets", Headers({"User-Agent": "x" * 2_000}), b"")
    assert record.report()["attempts"] == 5
