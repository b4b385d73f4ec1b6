"""The contract's main parts in each dialect: today's API, the retired beta, and Azure, against the sandbox."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import requests
import websocket
from openai import AuthenticationError, AzureOpenAI, OpenAI

from tests.support.offers import OFFER
from tests.support.processes import run_command
from tests.support.realtime import CREATE, bearing, line, offering
from tests.support.service import API_KEY, Sandbox, TokenService, running_service, service_environ
from tests.support.tokens import sign
from tests.support.webrtc import listed

MODEL = "gpt-realtime-2.1"
EARS = "gpt-4o-transcribe"
MODELS = f"{MODEL},{EARS},gpt-realtime-translate,fault-429,fault-html"
DEPLOYED = MODELS.replace(MODEL, f"{MODEL}=my-voice").replace(EARS, f"{EARS}=my-ears")
VOICE = {"audio": {"output": {"voice": "ash"}}}


@dataclass(frozen=True)
class Dialect:
    """A running service, its sandbox, and what differs."""

    sandbox: Sandbox
    service: TokenService
    path: str
    drop_in: bool
    model_sent: str
    session: Mapping[str, Any] = field(default_factory=lambda: VOICE)


@pytest.fixture(scope="module", params=["ga", "beta", "azure"])
def dialect(request: pytest.FixtureRequest) -> Iterator[Dialect]:
    sandbox: Sandbox = request.getfixturevalue(
        {"ga": "sandbox", "beta": "beta_sandbox", "azure": "azure_sandbox"}[request.param]
    )
    environ = {
        "ga": {"ALLOWED_MODELS": MODELS},
        "beta": {"ALLOWED_MODELS": MODELS, "REALTIME_API": "beta"},
        "azure": {"ALLOWED_MODELS": DEPLOYED, "OPENAI_VENDOR": "azure", "OPENAI_API_KEY": "azure-key"},
    }[request.param]
    with running_service(sandbox.base_url, **environ) as service:
        sandbox.reset()
        today = request.param != "beta"
        yield Dialect(
            sandbox,
            service,
            "/v1/realtime/client_secrets" if today else "/v1/realtime/sessions",
            drop_in=today,
            model_sent="my-voice" if request.param == "azure" else MODEL,
            session=VOICE if today else {"voice": "ash"},
        )


def code(answer: requests.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_secret_is_minted_with_the_session_and_its_recipe(dialect: Dialect) -> None:
    dialect.sandbox.reset()
    answer = dialect.service.token({"model": MODEL, "session": dialect.session})

    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["value"].startswith("ek_")
    assert body["session"]["model"] == MODEL
    assert body["session"]["id"].startswith("sess_")
    assert f"model={dialect.model_sent}" in body["connection"]["url"]
    assert body["connection"]["calls_url"].startswith(f"{dialect.sandbox.base_url}/realtime/calls")
    assert {"Cache-Control", "X-Request-Id", "RateLimit", "RateLimit-Policy"} <= set(answer.headers)
    [minted] = dialect.sandbox.mints()
    sent = minted["body"]["session"] if dialect.drop_in else minted["body"]
    assert (minted["path"], sent["model"]) == (dialect.path, dialect.model_sent)
    key = "azure-key" if dialect.model_sent != MODEL else API_KEY
    assert minted["key_sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert len(minted["headers"]["OpenAI-Safety-Identifier"]) == 64


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ({"model": "gpt-nonsense"}, (403, "model_not_allowed", "model")),
        ({"session": {"type": "live"}}, (400, None, "session.type")),
        ({"model": "gpt-live-1.1"}, (None, None, "model")),
        ({"colour": 1}, (400, "unknown_parameter", "colour")),
        ({"model": "fault-429"}, (503, "upstream_rate_limited", None)),
        ({"model": "fault-html"}, (502, "upstream_error", None)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_is_the_same_in_every_dialect(
    dialect: Dialect, body: dict[str, Any], found: tuple[int | None, str | None, str | None]
) -> None:
    """Where the vendor's features differ, the status may; the member to blame never does."""
    answered = code(dialect.service.token(body))
    assert [a for a, f in zip(answered, found, strict=True) if f is not None] == [
        f for f in found if f is not None
    ]


def test_the_vendors_own_words_about_a_session_reach_the_caller(dialect: Dialect) -> None:
    wrong = {"audio": {"output": {"voice": 7}}} if dialect.drop_in else {"voice": 7}
    status, said, param = code(dialect.service.token({"session": wrong}))
    assert (status, said) in {(400, "invalid_type"), (400, "invalid_value")}
    assert str(param).endswith("voice")


def test_the_recipe_opens_a_session(dialect: Dialect) -> None:
    """By its subprotocols; on Azure, where nobody documents them, as a bearer token."""
    body = dialect.service.token({"session": dialect.session}).json()
    options = {"subprotocols": body["connection"]["protocols"]}
    if dialect.model_sent != MODEL:
        options = bearing(body["value"])
    query = "?" + body["connection"]["url"].partition("?")[2]
    with line(dialect.sandbox.base_url, query, **options) as client:
        client.send(CREATE)
        events = client.listen(lambda event: event["type"] == "response.done")
    assert events[0]["type"] == "session.created"
    assert events[-1]["response"]["status"] == "completed"


def test_every_type_of_session_that_the_dialect_has_is_minted(dialect: Dialect) -> None:
    bodies = {
        "intent=transcription": {"model": EARS, "session": {"type": "transcription"}},
        "translations?model=gpt-realtime-translate": {
            "model": "gpt-realtime-translate",
            "session": {"type": "translation", "audio": {"output": {"language": "es"}}},
        },
    }
    for part, body in bodies.items():
        answer = dialect.service.token(body)
        if dialect.drop_in:
            assert answer.status_code == 200, answer.text
            assert part in answer.json()["connection"]["url"]
        else:
            assert code(answer)[:2] == (400, "invalid_request")


def test_the_drop_in_routes_are_there_where_sdks_mint_in_the_dialect(dialect: Dialect) -> None:
    with OpenAI(base_url=f"{dialect.service.url}/v1", api_key=sign(), max_retries=0) as client:
        if not dialect.drop_in:
            with pytest.raises(Exception, match="REALTIME_API=beta has no client secrets"):
                client.realtime.client_secrets.create(session={"type": "realtime"})
            return
        secret = client.realtime.client_secrets.create(session={"type": "realtime", "model": MODEL})
        assert secret.session.type == "realtime"
        assert secret.session.model == MODEL


@pytest.fixture(scope="module")
def azure(azure_sandbox: Sandbox) -> Iterator[TokenService]:
    environ = {"ALLOWED_MODELS": DEPLOYED, "OPENAI_VENDOR": "azure", "OPENAI_API_KEY": "azure-key"}
    with running_service(azure_sandbox.base_url, **environ) as service:
        yield service


def test_the_sdks_azure_client_mints_and_talks_with_the_secret(
    azure: TokenService, azure_sandbox: Sandbox
) -> None:
    """A user's JWT is its Entra ID token, and so is the secret; its socket names the deployment."""
    with AzureOpenAI(base_url=f"{azure.url}/v1", azure_ad_token=sign(), api_version="") as client:
        secret = client.realtime.client_secrets.create(session={"type": "realtime", "model": MODEL})
    talker = AzureOpenAI(
        base_url=azure_sandbox.base_url,
        websocket_base_url=azure_sandbox.base_url.replace("http", "ws", 1),
        azure_ad_token=secret.value,
        api_version="",
    )
    with talker, talker.realtime.connect(model="my-voice") as session:
        session.response.create(response={"output_modalities": ["text"]})
        done = next(event for event in session if event.type == "response.done")
    assert done.response.status == "completed"


def test_the_sdks_plain_client_talks_on_azures_base_path(azure: TokenService, azure_sandbox: Sandbox) -> None:
    secret = azure.token().json()["value"]
    with (
        OpenAI(base_url=azure_sandbox.base_url, api_key=secret) as talker,
        talker.realtime.connect(model="my-voice") as session,
    ):
        session.response.create(response={"output_modalities": ["text"]})
        assert next(event for event in session if event.type == "response.done")


def test_a_webrtc_client_posts_its_offer_to_the_recipes_address(
    azure: TokenService, azure_sandbox: Sandbox
) -> None:
    """With the secret alone: a key is refused there. The key finds the call afterwards."""
    answer = azure.token({"session": {"instructions": "Be brief."}}).json()
    calls_url = answer["connection"]["calls_url"]
    assert calls_url.endswith("/openai/v1/realtime/calls?webrtcfilter=on")

    def offer(**headers: str) -> requests.Response:
        headers = {"Content-Type": "application/sdp", **headers}
        return requests.post(calls_url, data=OFFER, headers=headers, timeout=20)

    assert "requires ephemeral tokens" in offer(**{"api-key": "azure-key"}).text
    opened = offer(Authorization=f"Bearer {answer['value']}")
    assert opened.status_code == 201, opened.text
    location = opened.headers["Location"]
    call = listed(azure_sandbox.base_url, location.rpartition("/")[2])
    assert call["session"]["instructions"] == "Be brief."
    ended = requests.post(
        f"{azure_sandbox.base_url}{location.removeprefix('/v1')}/hangup",
        headers={"api-key": "azure-key"},
        timeout=20,
    )
    assert ended.status_code == 200


def test_the_sandbox_refuses_what_azure_refuses(azure: TokenService, azure_sandbox: Sandbox) -> None:
    """A version, a wrong key, an unknown deployment; and a secret in a subprotocol, to be on the safe side."""
    url = f"{azure_sandbox.base_url}/realtime/client_secrets"
    body = {"session": {"type": "realtime", "model": "nobody-deployed-this"}}
    key = {"api-key": "azure-key"}
    assert requests.post(f"{url}?api-version=2025-04-01", headers=key, json={}, timeout=20).status_code == 400
    assert code(requests.post(url, headers=key, json=body, timeout=20))[:2] == (404, "DeploymentNotFound")
    for headers in ({}, {"api-key": "invalid-key"}, {"Authorization": "Bearer invalid-token"}):
        assert code(requests.post(url, headers=headers, json={}, timeout=20))[:2] == (401, "401")
    with (
        pytest.raises(AuthenticationError),
        OpenAI(base_url=azure_sandbox.base_url, api_key="invalid") as one,
    ):
        one.models.list()

    secret = azure.token().json()["value"]
    refused = pytest.raises(websocket.WebSocketBadStatusException, match="401")
    with refused, line(azure_sandbox.base_url, "?model=my-voice", **offering(secret)):
        pass


def test_check_tries_the_key_each_deployment_and_the_regions_models(azure_sandbox: Sandbox) -> None:
    models = f"{MODEL}=my-voice,gpt-live-1.1,{EARS}=nobody-deployed-this"
    environ = {"OPENAI_VENDOR": "azure", "OPENAI_API_KEY": "azure-key", "ALLOWED_MODELS": models}
    result = run_command("check", environ=service_environ(azure_sandbox.base_url, **environ))

    assert result.returncode == 1
    assert f"✓ key: accepted by {azure_sandbox.base_url}" in result.stdout
    assert f"✓ model {MODEL}: its deployment takes client secrets" in result.stdout
    assert "✓ model gpt-live-1.1: reachable" in result.stdout
    assert f"✗ model {EARS}: its deployment answered 404 (DeploymentNotFound)" in result.stdout
    assert "over a browser's WebSocket is undocumented" in result.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--azure", "--beta"), "Azure has no beta"),
        (("--deployment", "a=gpt-realtime-2.1"), "goes with --azure"),
        (("--azure", "--deployment", "a=gpt-nonsense"), "there is no model gpt-nonsense"),
    ],
)
def test_the_sandboxes_command_says_what_does_not_go_together(options: tuple[str, ...], words: str) -> None:
    refused = run_command("sandbox", *options, environ=service_environ("http://127.0.0.1:1/v1"))
    assert refused.returncode == 2
    assert words in refused.stderr
