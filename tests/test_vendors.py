"""A vendor's bytes are tested by calling it: requests as they are sent, and recorded answers as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.core import errors
from service.core.model import Grant
from service.vendors.azure import Azure
from service.vendors.base import PublicEndpoint, Request, Response
from service.vendors.credentials import ApiKey
from service.vendors.openai import OpenAI
from service.vendors.openai_beta import OpenAIBeta
from service.vendors.responses import MAX_RETRY_AFTER, retry_after
from service.vendors.xai import XAI

USER = "f" * 64
ENDPOINT = PublicEndpoint("https://api.example/v1", organization="org-acme", project="proj_acme")
MINTED = {
    "value": "ek_68af296e8e408191a1120ab6383263c2",
    "expires_at": 1_756_310_470,
    "session": {"type": "realtime", "object": "realtime.session", "id": "sess_C9CiUVUzUzYIssh3ELY1d"},
}
BETA_MINTED = {
    "id": "sess_001",
    "object": "realtime.session",
    "model": "gpt-realtime",
    "voice": "ash",
    "client_secret": {"value": "ek_abc123", "expires_at": 1_234_567_890},
}
REFUSED_VOICE = {
    "error": {
        "message": "Invalid value: 'nobody'. Supported values are: 'alloy', 'ash' and 'marin'.",
        "type": "invalid_request_error",
        "param": "session.audio.output.voice",
        "code": "invalid_value",
    }
}


def grant(session: dict[str, Any] | None = None, **changes: Any) -> Grant:
    values = {"session_type": "realtime", "model": "gpt-realtime-2.1", "expires_in": 30}
    session = {"type": "realtime", "model": "gpt-realtime-2.1"} if session is None else session
    return Grant(session=session, **(values | changes))


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {"x-request-id": "req_1", **headers}, sent)


def sent(request: Request) -> tuple[str, str, Any]:
    return request.method, request.path, json.loads(request.body)


def test_a_mint_is_written_with_its_anchor_and_may_be_sent_twice() -> None:
    session = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Sei höflich."}
    request = OpenAI().mint(grant(session), USER)
    expires_after = {"anchor": "created_at", "seconds": 30}
    body = {"expires_after": expires_after, "session": session}
    assert sent(request) == ("POST", "/realtime/client_secrets", body)
    assert request.headers == {"Content-Type": "application/json", "OpenAI-Safety-Identifier": USER}
    assert request.retryable


def test_a_translation_goes_to_its_own_route_without_its_type() -> None:
    session = {"type": "translation", "model": "gpt-realtime-translate"}
    request = OpenAI().mint(grant(session, session_type="translation"), USER)
    method, path, body = sent(request)
    assert (method, path) == ("POST", "/realtime/translations/client_secrets")
    assert body["session"] == {"model": "gpt-realtime-translate"}


def test_the_beta_is_sent_the_flat_session_as_the_whole_body() -> None:
    request = OpenAIBeta().mint(grant({"type": "realtime", "voice": "ash"}), USER)
    assert sent(request) == ("POST", "/realtime/sessions", {"voice": "ash"})
    assert request.headers["OpenAI-Beta"] == "realtime=v1"


def test_no_request_of_a_vendor_holds_the_accounts_key() -> None:
    """The transport adds it, asking the credential for each request."""
    for vendor in (OpenAI(), OpenAIBeta(), DEPLOYED, XAI()):
        for request in (vendor.mint(grant(), USER), vendor.models()):
            assert "Authorization" not in request.headers


def test_todays_answer_is_kept_untouched() -> None:
    secret = OpenAI().read_mint(answer(MINTED), grant())
    assert (secret.value, secret.expires_at) == (MINTED["value"], MINTED["expires_at"])
    assert (secret.answer, secret.session) == (MINTED, MINTED["session"])
    assert secret.upstream_request_id == "req_1"
    assert MINTED["value"] not in repr(secret)


def test_a_fraction_of_a_second_is_kept_untouched_too() -> None:
    """As servers that are compatible may give it."""
    assert OpenAI().read_mint(answer({**MINTED, "expires_at": 9.5}), grant()).expires_at == 9.5


def test_the_betas_answer_gives_the_secret_out_of_the_session() -> None:
    secret = OpenAIBeta().read_mint(answer(BETA_MINTED), grant())
    assert (secret.value, secret.expires_at) == ("ek_abc123", 1_234_567_890)
    assert secret.session == {k: v for k, v in BETA_MINTED.items() if k != "client_secret"}


@pytest.mark.parametrize("vendor", [OpenAI(), OpenAIBeta(), Azure()], ids=lambda vendor: vendor.name)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b'{"value": "ek_trunc',
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {},
        {**MINTED, "value": ""},
        {**MINTED, "expires_at": "soon"},
        {**MINTED, "expires_at": True},
        {**MINTED, "expires_at": float("inf")},
        {**MINTED, "session": None},
        {**BETA_MINTED, "client_secret": "ek_abc123"},
    ],
    ids=str,
)
def test_an_answer_without_a_usable_secret_is_an_upstream_error(vendor: OpenAI, body: Any) -> None:
    with pytest.raises(errors.UpstreamError) as refused:
        vendor.read_mint(answer(body), grant())
    assert "req_1" in str(refused.value.reason)
    assert "ek_" not in str(refused.value.reason)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.RejectedCredentialsError),
        (403, errors.RejectedCredentialsError),
        (429, errors.UpstreamRateLimitedError),
        (502, errors.UpstreamUnavailableError),
        (503, errors.UpstreamUnavailableError),
        (504, errors.UpstreamUnavailableError),
        (302, errors.UpstreamError),
        (404, errors.UpstreamError),
        (500, errors.UpstreamError),
    ],
)
def test_each_status_has_its_error_without_the_vendors_words(
    status: int, error: type[errors.ServiceError]
) -> None:
    found = OpenAI().error(answer({"error": {"message": "vendor's words", "code": "some_code"}}, status))
    assert type(found) is error
    assert "vendor's words" not in found.message
    assert "some_code" in str(found.reason)


def test_words_about_the_callers_own_session_are_passed_on() -> None:
    with pytest.raises(errors.RejectedSessionError) as refused:
        OpenAI().read_mint(answer(REFUSED_VOICE, 400), grant())
    said = REFUSED_VOICE["error"]
    assert (refused.value.message, refused.value.param, refused.value.code) == (
        said["message"],
        said["param"],
        said["code"],
    )


@pytest.mark.parametrize("body", [b"", b"{}", {"error": "text"}, {"error": {"message": 1}}], ids=str)
def test_a_400_without_words_is_an_upstream_error(body: Any) -> None:
    assert type(OpenAI().error(answer(body, 400))) is errors.UpstreamError


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "Wed, 25 Nov 2026 17:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_the_vendors_wait_is_read_in_seconds(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_connection_names_the_account_and_not_its_key() -> None:
    today = OpenAI().connection("ek_1", grant(), ENDPOINT)
    assert today == {
        "url": "wss://api.example/v1/realtime?model=gpt-realtime-2.1",
        "protocols": [
            "realtime",
            "openai-insecure-api-key.ek_1",
            "openai-organization.org-acme",
            "openai-project.proj_acme",
        ],
        "calls_url": "https://api.example/v1/realtime/calls",
    }
    beta = OpenAIBeta().connection("ek_1", grant(), ENDPOINT)
    assert beta["protocols"] == [*today["protocols"], "openai-beta.realtime-v1"]


@pytest.mark.parametrize(
    ("session_type", "url", "calls"),
    [
        ("transcription", "wss://api.example/v1/realtime?intent=transcription", "/realtime/calls"),
        ("translation", "wss://api.example/v1/realtime/translations?model=m", "/realtime/translations/calls"),
    ],
)
def test_each_type_of_session_has_its_own_address(session_type: str, url: str, calls: str) -> None:
    found = OpenAI().connection("ek_1", grant(session_type=session_type, model="m"), ENDPOINT)
    assert found["url"] == url
    assert found["calls_url"] == f"https://api.example/v1{calls}"


def test_a_public_endpoint_has_no_place_for_a_key() -> None:
    assert set(PublicEndpoint.__dataclass_fields__) == {"base_url", "organization", "project"}


def test_a_key_is_never_shown_and_is_redacted_as_json_spells_it() -> None:
    key = ApiKey('sk-"quoted"')
    assert "quoted" not in repr(key)
    assert key.headers()["Authorization"] == 'Bearer sk-"quoted"'
    assert key.redact_key(b'{"m": "sk-\\"quoted\\""} sk-"quoted"') == b'{"m": "***"} ***'


DEPLOYED = Azure(deployments={"gpt-realtime-2.1": "acme-voice", "gpt-4o-transcribe": "acme-ears"})
AZURE_ENDPOINT = PublicEndpoint("https://acme.openai.azure.com/openai/v1")


def with_transcription(model: str, ears: str) -> dict[str, Any]:
    audio = {"input": {"transcription": {"model": ears, "language": "de"}}, "output": {"voice": "ash"}}
    return {"type": "realtime", "model": model, "audio": audio}


def test_azure_is_sent_deployments_where_the_grant_names_models() -> None:
    """The transcription in a conversation needs a deployment, too. What has no other name is sent as it is."""
    request = DEPLOYED.mint(grant(with_transcription("gpt-realtime-2.1", "gpt-4o-transcribe")), USER)
    session = with_transcription("acme-voice", "acme-ears")
    body = {"expires_after": {"anchor": "created_at", "seconds": 30}, "session": session}
    assert sent(request) == ("POST", "/realtime/client_secrets", body)

    plain = grant({"type": "realtime", "model": "own-name"}, model="own-name")
    assert json.loads(DEPLOYED.mint(plain, USER).body)["session"] == plain.session


def test_azures_answer_names_public_models_again() -> None:
    """Elsewhere it stays as it came, and a model that is no deployment's name stays what Azure says."""
    answered = {**MINTED, "session": with_transcription("acme-voice", "acme-ears") | {"id": "sess_1"}}
    secret = DEPLOYED.read_mint(answer(answered), grant())
    assert secret.session == with_transcription("gpt-realtime-2.1", "gpt-4o-transcribe") | {"id": "sess_1"}
    assert secret.answer == {**MINTED, "session": secret.session}

    underlying = {**MINTED, "session": {"type": "realtime", "model": "gpt-realtime-2.1-2026-07-07"}}
    assert DEPLOYED.read_mint(answer(underlying), grant()).answer == underlying


def test_of_two_names_for_one_deployment_the_answer_has_the_one_that_was_asked_for() -> None:
    vendor = Azure(deployments={"one": "acme-voice", "two": "acme-voice"})
    answered = {**MINTED, "session": {"type": "realtime", "model": "acme-voice"}}
    for name in ("one", "two"):
        assert vendor.read_mint(answer(answered), grant(model=name)).session["model"] == name


def test_azures_recipe_has_the_deployment_in_its_url_and_a_filter_on_its_calls() -> None:
    assert DEPLOYED.connection("ek_1", grant(), AZURE_ENDPOINT) == {
        "url": "wss://acme.openai.azure.com/openai/v1/realtime?model=acme-voice",
        "protocols": ["realtime", "openai-insecure-api-key.ek_1"],
        "calls_url": "https://acme.openai.azure.com/openai/v1/realtime/calls?webrtcfilter=on",
    }


@pytest.mark.parametrize(
    ("model", "path", "session"),
    [
        ("gpt-realtime-2.1", "/realtime/client_secrets", {"type": "realtime", "model": "acme-voice"}),
        (
            "gpt-4o-transcribe",
            "/realtime/client_secrets",
            {"type": "transcription", "audio": {"input": {"transcription": {"model": "acme-ears"}}}},
        ),
        (
            "gpt-realtime-translate",
            "/realtime/translations/client_secrets",
            {"model": "gpt-realtime-translate"},
        ),
    ],
)
def test_a_deployment_is_tried_by_a_secret_of_ten_seconds(
    model: str, path: str, session: dict[str, Any]
) -> None:
    request = DEPLOYED.try_model(model)
    assert request is not None
    body = {"expires_after": {"anchor": "created_at", "seconds": 10}, "session": session}
    assert sent(request) == ("POST", path, body)


def test_a_live_deployment_is_not_tried_since_that_is_billed() -> None:
    assert DEPLOYED.try_model("gpt-live-1.1") is None
    assert OpenAI().try_model("gpt-realtime-2.1") is None


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "401", errors.RejectedCredentialsError),
        (401, "PermissionDenied", errors.RejectedCredentialsError),
        (404, "DeploymentNotFound", errors.UpstreamError),
        (429, "RateLimitReached", errors.UpstreamRateLimitedError),
        (400, "OperationNotSupported", errors.RejectedSessionError),
    ],
)
def test_azures_refusals_are_read_as_openais(status: int, code: str, kind: type[errors.ServiceError]) -> None:
    """Its errors have a code and a message, and no type."""
    refusal = DEPLOYED.error(answer({"error": {"code": code, "message": "Said so."}}, status))
    assert type(refusal) is kind
    assert code in (refusal.reason or "")


def test_a_key_travels_in_the_header_that_the_vendor_has_for_it() -> None:
    key = ApiKey("azure-key", header="api-key")
    assert key.headers() == {"api-key": "azure-key"}
    assert "azure-key" not in repr(key)


XAI_MINTED = {"value": "xai-realtime-client-secret-1", "expires_at": 1_787_135_000}


def test_xai_is_sent_neither_session_nor_anchor_nor_user() -> None:
    request = XAI().mint(grant(model="grok-voice-latest"), USER)
    assert sent(request) == ("POST", "/realtime/client_secrets", {"expires_after": {"seconds": 30}})
    assert request.headers == {"Content-Type": "application/json"}


def test_xais_answer_has_no_session_so_ours_says_what_was_asked_for() -> None:
    """The answer itself stays untouched, for the vendor's own SDK."""
    secret = XAI().read_mint(answer(XAI_MINTED), grant(model="grok-voice-latest"))
    assert secret.value == XAI_MINTED["value"]
    assert secret.session == {"type": "realtime", "model": "grok-voice-latest"}
    assert secret.answer == XAI_MINTED


def test_a_client_of_xai_offers_its_secret_alone_and_has_no_webrtc() -> None:
    endpoint = PublicEndpoint("https://api.x.ai/v1")
    assert XAI().connection("s", grant(model="grok-voice-latest"), endpoint) == {
        "url": "wss://api.x.ai/v1/realtime?model=grok-voice-latest",
        "protocols": ["xai-client-secret.s"],
    }


SESSION_SHAPES: list[tuple[dict[str, Any], dict[str, Any], str | None]] = [
    ({}, {"type": "realtime", "model": "gpt-realtime-2.1"}, None),
    ({}, {"model": "gpt-realtime-2.1-2026-10-01"}, None),
    ({}, {"model": "gpt-realtime-2.1-2026-10-02"}, None),  # allowed too, and still the same model
    (
        {"session": {"type": "realtime", "model": "gpt-realtime-2.1-2026-10-02"}},
        {"model": "gpt-realtime-2.1"},
        "model gpt-realtime-2.1",
    ),
    ({}, {"type": "realtime.session"}, None),
    ({}, {}, None),
    ({}, {"type": "transcription"}, "type transcription"),
    ({}, {"type": ["realtime"], "model": {}}, None),
    ({}, {"type": "realtime", "model": "gpt-realtime-2.1-mini"}, "model gpt-realtime-2.1-mini"),
    (
        {"session_type": "transcription", "model": "gpt-live-transcribe"},
        {"type": "transcription", "audio": {"input": {"transcription": {"model": "gpt-realtime-whisper"}}}},
        "model gpt-realtime-whisper",
    ),
    ({"session_type": "transcription", "model": "gpt-live-transcribe"}, {"audio": None}, None),
]
MODELS = {
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-2026-10-02",
    "gpt-realtime-2.1-mini",
    "gpt-live-transcribe",
    "gpt-realtime-whisper",
}


@pytest.mark.parametrize(("asked", "answered", "mismatch"), SESSION_SHAPES, ids=str)
def test_a_session_of_another_type_or_of_another_allowed_model_is_another_requests(
    asked: dict[str, Any], answered: dict[str, Any], mismatch: str | None
) -> None:
    """The vendor may answer with a dated name of the model that was asked for."""
    found = OpenAI().layout.find_mismatch(answered, grant(**asked), MODELS)
    assert found == mismatch or (mismatch and mismatch in str(found))


@pytest.mark.parametrize(
    "value",
    ["ek_\ud800", "ek_\r\nX: y", "ek_\x00", "ek_é", "ek a", "ek,openai-beta.realtime-v1", "e" * 5000],
    ids=ascii,
)
def test_a_secret_that_no_header_can_carry_is_an_upstream_error(value: str) -> None:
    """Lone surrogates cannot even be written as UTF-8, and a comma would offer one more subprotocol."""
    body = json.dumps({**MINTED, "value": value}).encode()
    with pytest.raises(errors.UpstreamError) as refused:
        OpenAI().read_mint(answer(body), grant())
    assert "ek" not in str(refused.value.reason)


@pytest.mark.parametrize("said", [{"retry-after": "1000000000"}, {"retry-after-ms": "1e15"}], ids=str)
def test_an_absurd_wait_is_capped(said: dict[str, str]) -> None:
    """Clients keep to what they are told."""
    assert retry_after(said) == MAX_RETRY_AFTER == 600
