"""The vendor's own SDKs mint through the drop-in routes, and open sessions with what they get."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.support.examples import Demo, Tab, program
from tests.support.service import Sandbox, TokenService, running_service
from tests.support.tokens import sign

MODEL = "gpt-realtime-2.1"
TRANSCRIBER = "gpt-4o-transcribe"
TRANSLATOR = "gpt-realtime-translate"
SESSION: Any = {"type": "realtime", "model": MODEL}
TEXT: Any = {"output_modalities": ["text"]}
HALF_A_SECOND = base64.b64encode(b"\x00\x30" * 12_000).decode()


@pytest.fixture(scope="module")
def open_service(sandbox: Sandbox) -> Iterator[TokenService]:
    """A token service that mints every type of session, and a model whose upstream is down."""
    models = f"{MODEL},{TRANSCRIBER},{TRANSLATOR},fault-503"
    with running_service(sandbox.base_url, ALLOWED_MODELS=models) as service:
        yield service


@pytest.fixture
def client(open_service: TokenService) -> Iterator[OpenAI]:
    """The vendor's client with nothing changed but its base URL and key."""
    with OpenAI(base_url=f"{open_service.url}/v1", api_key=sign()) as client:
        yield client


def holder(sandbox: Sandbox, secret: str) -> OpenAI:
    """Make the vendor's client of somebody who holds a secret."""
    return OpenAI(base_url=sandbox.base_url, api_key=secret)


def wait_for(kind: str, session: Iterable[Any]) -> Any:
    """Read events up to the first of a kind."""
    return next(event for event in session if event.type == kind)


def test_a_conversation_is_minted_and_held(client: OpenAI, sandbox: Sandbox) -> None:
    """``client_secrets.create``, then ``realtime.connect`` with its value, up to the answer's end."""
    secret = client.realtime.client_secrets.create(session=SESSION)
    with holder(sandbox, secret.value).realtime.connect(model=MODEL) as session:
        session.response.create(response=TEXT)
        done = wait_for("response.done", session)
    assert done.response.status == "completed"


def test_a_conversation_is_minted_and_held_asynchronously(
    open_service: TokenService, sandbox: Sandbox
) -> None:
    """The asynchronous client does the same."""

    async def converse() -> str | None:
        async with AsyncOpenAI(base_url=f"{open_service.url}/v1", api_key=sign()) as client:
            secret = await client.realtime.client_secrets.create(session=SESSION)
        async with (
            AsyncOpenAI(base_url=sandbox.base_url, api_key=secret.value) as talker,
            talker.realtime.connect(model=MODEL) as session,
        ):
            await session.response.create(response=TEXT)
            async for event in session:
                if event.type == "response.done":
                    return event.response.status
        return None

    # In a thread of its own: Playwright keeps a loop running in this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        assert thread.submit(asyncio.run, converse()).result(30) == "completed"


def test_a_transcription_is_minted_and_held(client: OpenAI, sandbox: Sandbox) -> None:
    """The secret of a transcription session opens ``?intent=transcription``."""
    secret = client.realtime.client_secrets.create(
        session={"type": "transcription", "audio": {"input": {"transcription": {"model": TRANSCRIBER}}}}
    )
    assert secret.session.type == "transcription"
    with holder(sandbox, secret.value).realtime.connect(extra_query={"intent": "transcription"}) as session:
        session.input_audio_buffer.append(audio=HALF_A_SECOND)
        session.input_audio_buffer.commit()
        done = wait_for("conversation.item.input_audio_transcription.completed", session)
    assert done.transcript


def test_a_translation_is_minted_and_held(client: OpenAI, sandbox: Sandbox) -> None:
    """``translations.client_secrets.create``, whose body has no ``type``, then a translation socket."""
    secret = client.realtime.translations.client_secrets.create(
        session={"model": TRANSLATOR, "audio": {"output": {"language": "es"}}}
    )
    with holder(sandbox, secret.value).realtime.translations.connect(model=TRANSLATOR) as session:
        session.send({"type": "session.input_audio_buffer.append", "audio": HALF_A_SECOND})
        session.send({"type": "session.close"})
        kinds = [event.type for event in session]
    assert "session.output_audio.delta" in kinds
    assert kinds[-1] == "session.closed"


def test_a_used_secret_is_told_as_an_event(client: OpenAI, sandbox: Sandbox) -> None:
    """The SDK yields the vendor's ``error`` event, since refusals come in-band."""
    secret = client.realtime.client_secrets.create(session=SESSION)
    talker = holder(sandbox, secret.value)
    with talker.realtime.connect(model=MODEL) as session:
        assert session.recv().type == "session.created"
    with talker.realtime.connect(model=MODEL) as session:
        event = session.recv()
    assert event.type == "error"
    assert event.error.code == "ephemeral_token_already_used"


def test_a_secret_lives_as_long_as_the_service_says(client: OpenAI) -> None:
    """Without ``expires_after`` that is ``TOKEN_TTL``, 60 s, and not the vendor's 600; with it, what was asked."""
    now = time.time()
    default = client.realtime.client_secrets.create(session=SESSION)
    asked = client.realtime.client_secrets.create(
        session=SESSION, expires_after={"anchor": "created_at", "seconds": 300}
    )
    assert default.expires_at == pytest.approx(now + 60, abs=5)
    assert asked.expires_at == pytest.approx(now + 300, abs=5)


REFUSALS: list[Any] = [
    pytest.param(
        {"session": {**SESSION, "model": "gpt-realtime"}},
        (openai.PermissionDeniedError, "model_not_allowed", "session.model"),
        id="a model that is not allowed",
    ),
    pytest.param(
        {"session": {**SESSION, "output_modalities": ["smell"]}},
        (openai.BadRequestError, "invalid_value", "session.output_modalities[0]"),
        id="what the vendor refuses",
    ),
    pytest.param(
        {"session": SESSION, "extra_body": {"unheard_of": 1}},
        (openai.BadRequestError, "unknown_parameter", "unheard_of"),
        id="an unknown member",
    ),
    pytest.param(
        {"session": {**SESSION, "model": "fault-503"}},
        (openai.InternalServerError, "upstream_unavailable", None),
        id="a vendor that is down",
    ),
]


@pytest.mark.parametrize(("body", "expected"), REFUSALS)
def test_a_refusal_is_the_sdks_own_exception(
    client: OpenAI, body: dict[str, Any], expected: tuple[type[openai.APIStatusError], str, str | None]
) -> None:
    """With our code and param where the SDK looks for the vendor's, and the request's id."""
    kind, code, param = expected
    with pytest.raises(kind) as refused:
        client.with_options(max_retries=0).realtime.client_secrets.create(**body)
    assert (refused.value.code, refused.value.param) == (code, param)
    assert refused.value.request_id


def test_a_bad_jwt_is_an_authentication_error(client: OpenAI) -> None:
    """The SDK sends its key as the Bearer, and the key is the user's JWT."""
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="not-a-jwt").realtime.client_secrets.create(session=SESSION)
    assert refused.value.code == "invalid_token"


def test_a_rate_limit_is_a_rate_limit_error(sandbox: Sandbox) -> None:
    """Where the wait is over a minute the SDK does not retry of itself; the exception tells how long it is."""
    with (
        running_service(sandbox.base_url, RATE_LIMIT_PER_USER="1/hour") as service,
        OpenAI(base_url=f"{service.url}/v1", api_key=sign()) as client,
    ):
        client.realtime.client_secrets.create(session=SESSION)
        with pytest.raises(openai.RateLimitError) as refused:
            client.realtime.client_secrets.create(session=SESSION)
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["Retry-After"]) > 60


def test_the_sdk_gets_in_by_its_own_retry(sandbox: Sandbox) -> None:
    """It waits for as long as ``Retry-After`` says, which is then long enough."""
    limit = {"RATE_LIMIT_PER_USER": "1/2seconds", "RATE_LIMIT_STRATEGY": "moving-window"}
    with (
        running_service(sandbox.base_url, **limit) as service,
        OpenAI(base_url=f"{service.url}/v1", api_key=sign(), max_retries=1) as client,
    ):
        client.realtime.client_secrets.create(session=SESSION)
        second = client.realtime.client_secrets.with_raw_response.create(session=SESSION)
    assert second.retries_taken == 1


def test_node_mints_and_holds_every_type_of_session(tls_demo: Demo, run_node: Callable[..., str]) -> None:
    """The SDK for Node, over TLS as it insists, and with its own checks of every translation event."""
    printed = run_node(program("sdk/sessions.mjs"), tls_demo.environ())
    status, transcript, translation = json.loads(printed)
    assert status == "completed"
    assert transcript
    assert translation


def test_a_refusal_is_the_exception_of_the_sdk_for_node(tls_demo: Demo, run_node: Callable[..., str]) -> None:
    """The same classes, with the same code and param."""
    assert run_node(program("sdk/refusals.mjs"), tls_demo.environ()).splitlines() == [
        "AuthenticationError 401 invalid_token null",
        "PermissionDeniedError 403 model_not_allowed session.model",
        "BadRequestError 400 invalid_value session.output_modalities[0]",
        "BadRequestError 400 unknown_parameter unheard_of",
    ]


def test_the_sdk_works_in_a_browser_on_another_origin(
    cors_service: TokenService, tls_demo: Demo, app_origin: str, tab: Tab
) -> None:
    """Its ``x-stainless-*`` headers pass the preflight, and ``Retry-After`` of a refusal can be read."""
    with tab.page.expect_request(f"{cors_service.url}/**") as asked:
        logged = tab.run(
            program("sdk/browser.js"),
            at=f"{app_origin}/sdk/page.html",
            TOKEN_SERVICE=cors_service.url,
            JWT=sign(sub="the SDK in a browser"),
            OPENAI_BASE_URL=tls_demo.sandbox_url,
        )
    assert "x-stainless-lang" in asked.value.headers
    assert logged[0] == "true rate_limit_exceeded true"
    assert logged[1].startswith("completed ")
